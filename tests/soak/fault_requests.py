"""Requests that say which stage they are at, and faults that strike there."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from smart_matte_link import session as link_session
from smart_matte_link import starting
from smart_matte_link.client import Client
from smart_matte_link.errors import LinkError
from smart_matte_link.job import Answer, Wishes
from smart_matte_link.messages import MessageType, Output, Plane, Progress

STAGES = {
    "idle": 0.1,
    "connect": 0.004,
    "hello": 0.003,
    "upload": 0.02,
    "queue": 0.2,
    "loading": 0.25,
    "compute": 0.25,
    "download": 0.01,
}
"""Where a request can be, and for how many seconds at most after getting there it is struck."""

OPTIONS = {"loading": {"do": "load", "seconds": 0.3}, "compute": {"seconds": 0.3}}
SMALL = Plane("image", 64, 48, "RGBA", "u8", "srgb")
LARGE = Plane("image", 1600, 1600, "RGBA", "u8", "srgb")
OUTPUTS = (Output("alpha", "GRAY", "u8"), Output("foreground", "RGBA", "u8"))
SUMMED = 65536
"""So many bytes does the fake worker sum up for its alpha."""

DEADLINE_S = 60.0
POOL = Random(0).randbytes(2 * LARGE.byte_count)  # noqa: S311  (pixels, no secrets)

_here = threading.local()


def reached(stage: str) -> None:
    """The request of this thread has got to a stage."""
    strike = getattr(_here, "strike", None)
    if strike:
        strike.reached(stage)


class WatchedSession(link_session.Session):
    """Says which stage it is at."""

    def __init__(self, *arguments: object) -> None:
        reached("connect")
        super().__init__(*arguments)

    def _get_acquainted(self, *arguments: object):
        reached("hello")
        return super()._get_acquainted(*arguments)

    def send_chunk(self, *arguments: object) -> None:
        reached("upload")
        super().send_chunk(*arguments)

    def receive(self, *arguments: object):
        message = super().receive(*arguments)
        if message is not None and message.type is MessageType.CHUNK:
            reached("download")
        return message


@dataclass
class Try:
    """One try of a request: from when to when, and how it ended."""

    began: float
    ended: float = 0.0
    code: str = ""


class WatchedClient(Client):
    """
    The client, which remembers its tries and when it found a new backend.

    Attributes:
        tries: of the request under way, or the last one.
        epoch: of the backend that it is connected to.
        connected: when it first was.
    """

    tries: tuple[Try, ...] = ()
    epoch = ""
    connected = 0.0

    def _attempt(self, task, *wishes, **options):
        self.tries = ()

        def watched(session):
            this = Try(time.monotonic())
            self.tries += (this,)
            try:
                done = task(session)
            except LinkError as error:
                this.code = error.code
                raise
            else:
                this.code = "done"
                return done
            finally:
                this.ended = time.monotonic()

        return super()._attempt(watched, *wishes, **options)

    def _connected(self, *arguments):
        session = super()._connected(*arguments)
        if session.info.epoch != self.epoch:
            self.epoch, self.connected = session.info.epoch, time.monotonic()
        return session


class Strike:
    """
    A fault at a random moment of a stage of one request.

    Attributes:
        stage: which.
        moment: when it was done; 0 when the stage was never reached.
        victim: process id; 0 where nobody was there to be struck.
    """

    def __init__(self, stage: str, rng: Random, fault: Callable[[], int]) -> None:
        self.stage = stage
        self.moment, self.victim = 0.0, 0
        self._fault = fault
        self._delay_s = rng.uniform(0, STAGES[stage])
        self._count_down = rng.randrange(3) if stage in {"upload", "download"} else 0
        self._timer: threading.Timer | None = None

    def reached(self, stage: str) -> None:
        if stage != self.stage or self._timer:
            return
        self._count_down -= 1
        if self._count_down < 0:
            self._timer = threading.Timer(self._delay_s, self._do)
            self._timer.start()

    def take_back(self) -> None:
        """Wait until it is done, if it was begun."""
        if self._timer:
            self._timer.join()

    def _do(self) -> None:
        self.victim = self._fault()
        self.moment = time.monotonic()


@dataclass
class Outcome:
    """How a request ended: "done" or the error's code, right or not, and its times."""

    code: str = ""
    is_right: bool = True
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    tries: tuple[Try, ...] = ()

    @property
    def is_good(self) -> bool:
        return self.code == "done" and self.is_right

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def make_pixels(plane: Plane, rng: Random) -> bytes:
    start = rng.randrange(len(POOL) - plane.byte_count)
    return rng.randbytes(8) + POOL[start + 8 : start + plane.byte_count]


def is_right(answer: Answer, pixels: bytes) -> bool:
    """Whether it is what the fake worker makes of these pixels."""
    alpha = bytes([sum(pixels[:SUMMED]) % 256]) * (len(pixels) // 4)
    planes = answer.planes
    return bytes(planes["foreground"].pixels) == pixels and bytes(planes["alpha"].pixels) == alpha


def request(
    client: WatchedClient, rng: Random, strike: Strike | None = None, *, in_bands: bool = False
) -> Outcome:
    """One request; where it is struck, one that lingers at the strike's stage."""
    stage = strike.stage if strike else ""
    plane = LARGE if stage in {"upload", "download"} else SMALL
    pixels = make_pixels(plane, rng)
    wishes = Wishes(progress=_note_progress, deadline_s=DEADLINE_S)
    client.tries, _here.strike, outcome = (), strike, Outcome()
    try:
        if stage == "idle":
            reached("idle")
            time.sleep(rng.uniform(0, 2 * STAGES["idle"]))
            outcome.began = time.monotonic()
        source = iter([pixels]) if in_bands else pixels
        answer = client.cutout([(plane, source)], OUTPUTS, OPTIONS.get(stage, {}), wishes)
        outcome.code, outcome.is_right = "done", is_right(answer, pixels)
    except LinkError as error:
        outcome.code = error.code
    finally:
        outcome.ended, outcome.tries = time.monotonic(), client.tries
        _here.strike = None
        if strike:
            strike.take_back()
    return outcome


def _note_progress(progress: Progress) -> None:
    names = {"queued": "queue" if progress.ahead else "", "matting": "compute"}
    reached(names.get(progress.stage, progress.stage))


starting.Session = WatchedSession  # type: ignore[misc]
