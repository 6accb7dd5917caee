"""Every message between editors, broker and worker, as docs/protocol.md specifies them."""
# ruff: noqa: FA100  (strict_json reads these annotations while running, also in Python 3.9)

import secrets
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Any, NamedTuple, Optional

from smart_matte_link.strict_json import Between, HexBytes, OneOf, clean_text, refuse

SPECIFICATION = "1.0"
"""Version of docs/protocol.md: the first number is PROTOCOL_MAX, the second its editions."""

PROTOCOL_MIN = 1
"""Oldest wire protocol that this code speaks."""

PROTOCOL_MAX = 1
"""Newest wire protocol that this code speaks."""

CAPABILITIES = ("refine",)
"""What this code can do beyond the bare exchange; each side uses only what both name."""

SIDE_MAX_PX = 65_535
PIXELS_MAX = 120_000_000
JOB_BYTES_MAX = 2_400_000_000
"""All planes of one direction of a job: 120 MP of float RGBA and a float selection."""

CHUNK_BYTES_MAX = 4 * 1024 * 1024
"""Largest pixel body. The experiments showed 4 MiB faster and safer than larger ones."""

CREDIT_CHUNKS_MAX = 1024
"""Most chunks that one grant may allow."""

CHANNELS = {"GRAY": 1, "GRAYA": 2, "RGB": 3, "BGR": 3, "RGBA": 4, "BGRA": 4}
"""Channel orders, as the bytes lie in memory, and how many channels each has."""

SAMPLE_BYTES = {"u8": 1, "u16": 2, "f16": 2, "f32": 4}
"""Sample types (little-endian) and their bytes; integers in full scale, floats with white at 1."""

ENCODINGS = ("srgb", "linear", "coverage")
"""sRGB-coded colour, linear-light colour with sRGB's primaries, a share of the pixel [0, 1]."""

INPUT_ROLES = ("image", "selection", "trimap")
OUTPUT_ROLES = ("alpha", "foreground", "trimap")
COVERAGE_ROLES = ("selection", "trimap", "alpha")
"""Planes of one channel that say how much of a pixel is covered."""

ERROR_CODES = {
    "busy": "The queue is full, or this client has enough jobs waiting; retry_after_s says when.",
    "draining": "The backend is going away and takes no new jobs.",
    "not_authorised": "The other side did not prove that it knows the token.",
    "version": "The two sides have no protocol version in common.",
    "bad_message": "A message breaks this specification.",
    "bad_geometry": "Declared planes are impossible, too large, or not the bytes that came.",
    "not_kept": "The job that was to be refined is not kept (any more), or not this client's.",
    "picture": "The picture can't be worked on; the message is the engine's own sentence.",
    "selection": "The selection can't work with this picture; the engine's own sentence.",
    "weights": "A model's weights are missing or broken; the engine's own sentence.",
    "option": "An option has an impossible value; the engine's own sentence.",
    "out_of_memory": "Memory ran out, also with smaller tiles and on the CPU.",
    "cancelled": "The client cancelled the job.",
    "deadline": "The job's deadline passed, or a step of the exchange took too long.",
    "worker_died": "The process that computed the job died; it is being replaced.",
    "hung": "The process that computed the job stopped answering and was killed.",
    "internal": "A fault in the backend; its log has the rest.",
    "unreachable": "No backend runs, and none could be started (made by the client).",
    "lost": "The connection to the backend ended or fell silent (made by the client).",
}
"""Every error code. A client shows an unknown code's message like any other."""

Count = Annotated[int, Between(0, 2**53 - 1)]
Ordinal = Annotated[int, Between(1, 65_535)]
Side = Annotated[int, Between(1, SIDE_MAX_PX, "bad_geometry")]
Fraction = Annotated[float, Between(0, 1)]
Seconds = Annotated[float, Between(0, 86_400)]
Name = Annotated[str, Between(1, 100)]
Sentence = Annotated[str, Between(0, 2000)]
Names = Annotated[tuple[Name, ...], Between(0, 64)]
Bytes16 = Annotated[str, HexBytes(16)]
Bytes32 = Annotated[str, HexBytes(32)]
Order = Annotated[str, OneOf(tuple(CHANNELS), "bad_geometry")]
Sample = Annotated[str, OneOf(tuple(SAMPLE_BYTES), "bad_geometry")]
Encoding = Annotated[str, OneOf(ENCODINGS, "bad_geometry")]


@dataclass(frozen=True)
class ConnectionInfo:
    """What the connection file says; connection.py reads and writes it."""

    specification: Name
    pid: Count
    started: Name
    endpoint: Annotated[str, Between(1, 300)]
    token: Bytes32
    backend_version: Name
    epoch: Bytes16


# Parts of bodies ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plane:
    """Rows from the top, pixels from the left, channels interleaved, nothing between rows."""

    role: Annotated[str, OneOf((*INPUT_ROLES, "alpha", "foreground"), "bad_geometry")]
    width: Side
    height: Side
    order: Order
    sample: Sample
    encoding: Encoding

    def __post_init__(self) -> None:
        if self.order not in CHANNELS or self.sample not in SAMPLE_BYTES:
            refuse("A plane has an unknown channel order or sample type.", "bad_geometry")
        if self.width * self.height > PIXELS_MAX:
            refuse(
                f"A plane of {self.width} x {self.height} is over 120 megapixels.", "bad_geometry"
            )
        if (self.role in COVERAGE_ROLES) != (self.encoding == "coverage"):
            refuse(f"A plane with role {self.role} can't be {self.encoding}.", "bad_geometry")
        if self.role in COVERAGE_ROLES and self.order != "GRAY":
            refuse(f"A plane with role {self.role} has one channel.", "bad_geometry")

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * CHANNELS[self.order] * SAMPLE_BYTES[self.sample]

    @property
    def byte_count(self) -> int:
        """Bytes of the whole plane."""
        return self.height * self.row_bytes


@dataclass(frozen=True)
class Output:
    """A plane that the client wants back; its size and coding are the image's."""

    role: Annotated[str, OneOf(OUTPUT_ROLES, "bad_geometry")]
    order: Order
    sample: Sample

    def __post_init__(self) -> None:
        if self.role in COVERAGE_ROLES and self.order != "GRAY":
            refuse(f"A plane with role {self.role} has one channel.", "bad_geometry")

    def plane_for(self, image: Plane) -> Plane:
        """The plane that this is for a picture."""
        encoding = image.encoding if self.role == "foreground" else "coverage"
        return Plane(self.role, image.width, image.height, self.order, self.sample, encoding)


@dataclass(frozen=True)
class Limits:
    """What this backend accepts; never more than the protocol's own limits."""

    chunk_bytes: Annotated[int, Between(4096, CHUNK_BYTES_MAX)]
    pixels: Annotated[int, Between(1, PIXELS_MAX)]
    job_bytes: Annotated[int, Between(1, JOB_BYTES_MAX)]
    jobs_per_client: Annotated[int, Between(1, 1024)]
    lease_s: Annotated[float, Between(1, 600)]


@dataclass(frozen=True)
class Device:
    """Something that networks run on: "cpu", "cuda:0", "mps"."""

    name: Name
    description: Sentence = ""
    memory_bytes: Count = 0


@dataclass(frozen=True)
class Model:
    """A matting model or segmenter that this backend knows."""

    name: Name
    kind: Annotated[str, OneOf(("matter", "segmenter"))]
    is_installed: bool
    is_loaded: bool = False


@dataclass(frozen=True)
class WorkerStatus:
    """One worker process."""

    pid: Count
    device: Name
    state: Annotated[str, OneOf(("starting", "idle", "busy", "stopping"))]
    models: Names = ()
    memory_bytes: Count = 0


# Bodies: getting acquainted ----------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """The first message on a connection."""

    protocol_min: Ordinal
    protocol_max: Ordinal
    nonce: Bytes32
    application: Name
    application_version: Name
    capabilities: Names = ()

    def __post_init__(self) -> None:
        if self.protocol_min > self.protocol_max:
            refuse("A range of protocol versions is the wrong way round.")


@dataclass(frozen=True)
class Challenge:
    """The backend proves that it knows the token, and asks for the same."""

    nonce: Bytes32
    proof: Bytes32


@dataclass(frozen=True)
class Proof:
    """The client proves that it knows the token."""

    proof: Bytes32


@dataclass(frozen=True)
class Welcome:
    """The client is known; what this backend is and can."""

    protocol: Ordinal
    backend_version: Name
    epoch: Bytes16
    limits: Limits
    capabilities: Names = ()
    devices: Annotated[tuple[Device, ...], Between(0, 64)] = ()
    models: Annotated[tuple[Model, ...], Between(0, 64)] = ()


@dataclass(frozen=True)
class Upgrade:
    """Instead of welcome: no protocol version in common. Only shutdown may follow."""

    protocol_min: Ordinal
    protocol_max: Ordinal
    backend_version: Name
    older: Annotated[str, OneOf(("client", "backend"))]


# Bodies: a job -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Begin:
    """A new job; the bytes of all planes follow, in this order, as chunks."""

    planes: Annotated[tuple[Plane, ...], Between(1, 3, "bad_geometry")]
    outputs: Annotated[tuple[Output, ...], Between(1, 3, "bad_geometry")]
    options: dict[str, Any] = field(default_factory=dict)
    deadline_s: Optional[Seconds] = None
    keep: bool = False

    def __post_init__(self) -> None:
        _check_planes(self.planes, INPUT_ROLES)
        _check_roles([output.role for output in self.outputs], OUTPUT_ROLES)
        if not any(plane.role == "image" for plane in self.planes):
            refuse("A job has no image.", "bad_geometry")

    @property
    def byte_count(self) -> int:
        """Bytes of all planes."""
        return sum(plane.byte_count for plane in self.planes)


@dataclass(frozen=True)
class End:
    """All chunks of this direction are sent."""

    byte_count: Count


@dataclass(frozen=True)
class Grant:
    """The receiver of chunks allows so many more of them."""

    chunks: Annotated[int, Between(1, CREDIT_CHUNKS_MAX)]


@dataclass(frozen=True)
class Progress:
    """Where a job is; *ahead* counts the jobs that run before it."""

    stage: Name
    fraction: Fraction
    ahead: Count = 0


@dataclass(frozen=True)
class Result:
    """A job is done; the bytes of all planes follow, in this order, as chunks."""

    planes: Annotated[tuple[Plane, ...], Between(1, 3, "bad_geometry")]
    report: dict[str, Any]
    epoch: Bytes16
    kept: bool = False

    def __post_init__(self) -> None:
        _check_planes(self.planes, OUTPUT_ROLES)

    @property
    def byte_count(self) -> int:
        """Bytes of all planes."""
        return sum(plane.byte_count for plane in self.planes)


@dataclass(frozen=True)
class Refine:
    """A new job from another's kept raw result: no pixels are sent, no network runs."""

    source: Bytes16
    outputs: Annotated[tuple[Output, ...], Between(1, 3, "bad_geometry")]
    options: dict[str, Any] = field(default_factory=dict)
    deadline_s: Optional[Seconds] = None

    def __post_init__(self) -> None:
        _check_roles([output.role for output in self.outputs], OUTPUT_ROLES)


@dataclass(frozen=True)
class Cancel:
    """The client no longer wants this job."""


@dataclass(frozen=True)
class Error:
    """A job has failed, or (outside jobs) the connection has."""

    code: Name
    message: Sentence
    hint: Sentence = ""
    retry_after_s: Optional[Seconds] = None


# Bodies: everything else -------------------------------------------------------------------------


@dataclass(frozen=True)
class Ping:
    """Are you there?"""

    number: Count


@dataclass(frozen=True)
class Pong:
    """Yes; with the ping's number."""

    number: Count


@dataclass(frozen=True)
class Status:
    """How is the backend?"""


@dataclass(frozen=True)
class StatusReply:
    """What ``smart-matte status`` shows."""

    backend_version: Name
    protocol: Ordinal
    epoch: Bytes16
    pid: Count
    uptime_s: Annotated[float, Between(0, 1e10)]
    state: Annotated[str, OneOf(("running", "draining"))]
    clients: Count
    jobs_waiting: Count
    jobs_running: Count
    jobs_ended: Count
    log_file: Sentence = ""
    devices: Annotated[tuple[Device, ...], Between(0, 64)] = ()
    models: Annotated[tuple[Model, ...], Between(0, 64)] = ()
    workers: Annotated[tuple[WorkerStatus, ...], Between(0, 64)] = ()
    versions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shutdown:
    """Take no new jobs, end the running ones within *drain_s*, exit."""

    drain_s: Seconds = 10.0


@dataclass(frozen=True)
class Draining:
    """The backend takes no new jobs from now on and exits soon."""

    reason: Annotated[str, OneOf(("shutdown", "signal", "idle"))]


@dataclass(frozen=True)
class Facts:
    """What a worker is and holds; at its start and whenever that changes."""

    pid: Count
    device: Name
    devices: Annotated[tuple[Device, ...], Between(0, 64)] = ()
    models: Annotated[tuple[Model, ...], Between(0, 64)] = ()
    memory_bytes: Count = 0
    versions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unload:
    """The worker forgets its models and what it kept."""


# The table ---------------------------------------------------------------------------------------


class MessageType(IntEnum):
    """The header's type byte."""

    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    WELCOME = 4
    UPGRADE = 5
    ERROR = 6
    SHUTDOWN = 7
    DRAINING = 8
    PING = 16
    PONG = 17
    STATUS = 18
    STATUS_REPLY = 19
    BEGIN = 32
    CHUNK = 33
    END = 34
    GRANT = 35
    PROGRESS = 36
    RESULT = 37
    REFINE = 38
    CANCEL = 39
    FACTS = 64
    UNLOAD = 65


class Rule(NamedTuple):
    """
    What holds for one message type.

    Attributes:
        body: the class of its JSON body; None for raw pixels.
        about: "job" (the header names one), "connection" (job id zero) or "either".
        senders: who may send it: "client", "backend" (broker to client), "broker" (to a worker),
            "worker".
    """

    body: Optional[type]
    about: str
    senders: tuple[str, ...]


_BOTH = ("client", "backend", "broker", "worker")

RULES = {
    MessageType.HELLO: Rule(Hello, "connection", ("client",)),
    MessageType.CHALLENGE: Rule(Challenge, "connection", ("backend",)),
    MessageType.PROOF: Rule(Proof, "connection", ("client",)),
    MessageType.WELCOME: Rule(Welcome, "connection", ("backend",)),
    MessageType.UPGRADE: Rule(Upgrade, "connection", ("backend",)),
    MessageType.ERROR: Rule(Error, "either", ("backend", "worker")),
    MessageType.SHUTDOWN: Rule(Shutdown, "connection", ("client", "broker")),
    MessageType.DRAINING: Rule(Draining, "connection", ("backend",)),
    MessageType.PING: Rule(Ping, "connection", _BOTH),
    MessageType.PONG: Rule(Pong, "connection", _BOTH),
    MessageType.STATUS: Rule(Status, "connection", ("client",)),
    MessageType.STATUS_REPLY: Rule(StatusReply, "connection", ("backend",)),
    MessageType.BEGIN: Rule(Begin, "job", ("client", "broker")),
    MessageType.CHUNK: Rule(None, "job", _BOTH),
    MessageType.END: Rule(End, "job", _BOTH),
    MessageType.GRANT: Rule(Grant, "job", _BOTH),
    MessageType.PROGRESS: Rule(Progress, "job", ("backend", "worker")),
    MessageType.RESULT: Rule(Result, "job", ("backend", "worker")),
    MessageType.REFINE: Rule(Refine, "job", ("client", "broker")),
    MessageType.CANCEL: Rule(Cancel, "job", ("client", "broker")),
    MessageType.FACTS: Rule(Facts, "connection", ("worker",)),
    MessageType.UNLOAD: Rule(Unload, "connection", ("broker",)),
}

TYPE_OF = {rule.body: kind for kind, rule in RULES.items() if rule.body is not None}
"""The message type of each body class."""

LASTING_TYPES: frozenset[MessageType] = frozenset(
    kind for kind in MessageType if kind < MessageType.PING
)
"""Messages that stay readable by every version: their headers always say protocol 1."""


def sent_by(sender: str) -> frozenset[MessageType]:
    """The message types that "client", "backend", "broker" or "worker" may send."""
    return frozenset(kind for kind, rule in RULES.items() if sender in rule.senders)


def new_job_id() -> bytes:
    """128 random bits: no other client guesses them."""
    return secrets.token_bytes(16)


def choose_protocol(protocol_min: int, protocol_max: int) -> Optional[int]:
    """The newest protocol version that both sides speak; None without one."""
    newest = min(protocol_max, PROTOCOL_MAX)
    return newest if newest >= max(protocol_min, PROTOCOL_MIN) else None


def make_error(
    code: str, message: str, hint: str = "", retry_after_s: Optional[float] = None
) -> Error:
    """An error that can be sent whatever its sentences hold."""
    if code not in ERROR_CODES:
        raise ValueError(code)
    return Error(code, clean_text(message, 2000), clean_text(hint, 2000), retry_after_s)


def _check_planes(planes: tuple[Plane, ...], roles: tuple[str, ...]) -> None:
    _check_roles([plane.role for plane in planes], roles)
    if len({(plane.width, plane.height) for plane in planes}) > 1:
        refuse("The planes of a job differ in size.", "bad_geometry")
    byte_count = sum(plane.byte_count for plane in planes)
    if byte_count > JOB_BYTES_MAX:
        refuse(f"Planes of {byte_count} bytes are over {JOB_BYTES_MAX}.", "bad_geometry")


def _check_roles(found: list[str], allowed: tuple[str, ...]) -> None:
    for role, count in Counter(found).items():
        if role not in allowed or count > 1:
            refuse(f"A plane with role {role} has no place here, or stands twice.", "bad_geometry")
