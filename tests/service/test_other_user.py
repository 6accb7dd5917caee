"""Another user of the machine gets nothing: not the socket, not the token, not an answer."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker_harness import Backend, running, start_process

from smart_matte_link.connection import read_connection
from smart_matte_link.errors import LinkError

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can become another user"
)

NOBODY = 65534
TRIES = 60

AS_NOBODY = """
import json, os, socket, sys, time
from pathlib import Path
from smart_matte_link.authentication import new_nonce
from smart_matte_link.envelope import FRAME_BYTES_MAX, decode, encode
from smart_matte_link.messages import Hello, Proof, Shutdown, Status
from smart_matte_link.zmtp import Dealer, PeerLateError, PeerLostError

os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)


def errno_of(action):
    try:
        action()
    except OSError as error:
        return error.strerror
    return "allowed"


def connect(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)


def answers(endpoint, *bodies):
    heard = []
    try:
        dealer = Dealer(endpoint, FRAME_BYTES_MAX, time.monotonic() + 1)
    except (PeerLateError, PeerLostError) as error:
        return [type(error).__name__]
    try:
        for number, body in enumerate(bodies):
            dealer.send([encode(body, number)], time.monotonic() + 1)
        while dealer.wait(QUIET_S):
            frame = bytearray(dealer.next_frame(time.monotonic() + 1))
            dealer.read_into(memoryview(frame), time.monotonic() + 1)
            message = decode(frame, protocol=None)
            heard.append([message.type.name, getattr(message.body, "code", "")])
    except (PeerLateError, PeerLostError) as error:
        heard.append([type(error).__name__, ""])
    finally:
        dealer.close()
    return heard
"""


def as_nobody(lines: str, **names: object) -> dict:
    """What *lines* leave in ``found``, run by another user."""
    values = "".join(f"{name} = {value!r}\n" for name, value in {"NOBODY": NOBODY, **names}.items())
    done = subprocess.run(  # noqa: S603  (our own lines)
        [sys.executable, "-c", f"{values}{AS_NOBODY}\n{lines}\nprint(json.dumps(found))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def run_folder(folder: Path) -> Path:
    """A runtime folder yet to be created, in a folder that everybody may enter."""
    folder.chmod(0o755)
    return folder / "run"


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "umask 022", "umask 077"])
def backend(request: pytest.FixtureRequest, run_folder: Path) -> Iterator[Backend]:
    """A broker that was started under a umask."""
    before = os.umask(request.param)
    try:
        with running(run_folder) as backend:
            yield backend
    finally:
        os.umask(before)


def test_another_user_finds_reads_and_reaches_nothing(backend: Backend) -> None:
    socket_path = backend.info.endpoint.removeprefix("ipc://")
    found = as_nobody(
        """
found = {
    "list": errno_of(lambda: os.listdir(FOLDER)),
    "enter": errno_of(lambda: os.chdir(FOLDER)),
    "connection": errno_of(lambda: open(FOLDER + "/connection.json").read()),
    "lock": errno_of(lambda: open(FOLDER + "/backend.lock", "r+")),
    "new file": errno_of(lambda: open(FOLDER + "/new", "w")),
    "log": errno_of(lambda: os.listdir(FOLDER + "/log")),
    "move": errno_of(lambda: os.rename(FOLDER, FOLDER + "2")),
    "connects": sorted({errno_of(lambda: connect(SOCKET)) for _ in range(1000)}),
    "outside": errno_of(lambda: os.listdir(os.path.dirname(FOLDER))),
}""",
        FOLDER=str(backend.folder),
        SOCKET=socket_path,
    )
    assert found.pop("outside") == "allowed"
    assert found.pop("connects") == ["Permission denied"]
    assert set(found.values()) == {"Permission denied"}
    assert backend.is_healthy()


def test_modes_are_exact_whatever_the_umask(backend: Backend) -> None:
    backend.worker_pid()
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in backend.folder.rglob("*")}
    folders = {path for path in modes if path.is_dir()}
    names = {path.name.split("-")[0] for path in modes}
    assert names == {
        "log",
        "broker.log",
        "connection.json",
        "backend.lock",
        "backend.sock",
        "worker",
    }
    assert stat.S_IMODE(backend.folder.lstat().st_mode) == 0o700
    assert {modes[path] for path in folders} == {0o700}
    assert {mode for path, mode in modes.items() if path not in folders} == {0o600}


def test_folders_on_the_way_are_not_open_to_all(run_folder: Path) -> None:
    before = os.umask(0)
    try:
        with running(run_folder / "a" / "b"):
            pass
    finally:
        os.umask(before)
    for path in (run_folder, run_folder / "a"):
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o022


def test_a_socket_that_all_can_reach_still_knows_its_owner(run_folder: Path) -> None:
    """A second name for the socket, outside the private folder: the peer's uid decides."""
    with running(run_folder) as backend:
        path = run_folder.parent / "open.sock"
        os.link(backend.info.endpoint.removeprefix("ipc://"), path)
        path.chmod(0o666)
        found = as_nobody(
            """
found = {
    "connect": errno_of(lambda: connect(ENDPOINT[6:])),
    "hello": answers(ENDPOINT, Hello(1, 1, new_nonce(), "nobody", "0")),
}""",
            ENDPOINT=f"ipc://{path}",
            QUIET_S=0.3,
        )
        assert found == {"connect": "allowed", "hello": ["PeerLostError"]}
        assert backend.is_healthy()


def test_over_tcp_another_user_is_challenged_and_never_welcome(run_folder: Path) -> None:
    with running(run_folder, endpoint="tcp://127.0.0.1:*") as backend:
        found = as_nobody(
            """
def hello():
    return Hello(1, 1, new_nonce(), "nobody", "0")

found = {
    "connection": errno_of(lambda: open(FOLDER + "/connection.json").read()),
    "hello": answers(ENDPOINT, hello()),
    "status": answers(ENDPOINT, Status()),
    "status after hello": answers(ENDPOINT, hello(), Status()),
    "shutdown": answers(ENDPOINT, Shutdown(0)),
    "shutdown after hello": answers(ENDPOINT, hello(), Shutdown(0)),
    "proofs": [
        answers(ENDPOINT, hello(), Proof(os.urandom(32).hex()), Status()) for _ in range(TRIES)
    ],
}""",
            ENDPOINT=backend.info.endpoint,
            FOLDER=str(run_folder),
            TRIES=TRIES,
            QUIET_S=0.02,
        )
        challenge = ["CHALLENGE", ""]
        assert found.pop("connection") == "Permission denied"
        assert found.pop("hello") == [challenge]
        for proof in found.pop("proofs"):
            # Late answers may be missed: what counts is that there is nothing else.
            assert proof in ([], [challenge], [challenge, ["ERROR", "not_authorised"]])
        refused = ["ERROR", "bad_message"]
        assert found == {
            "status": [refused],
            "status after hello": [challenge, refused],
            "shutdown": [refused],
            "shutdown after hello": [challenge, refused],
        }
        assert "nobody 0 is here" not in backend.log()
        assert backend.is_healthy()


def occupy(path: Path, how: str) -> None:
    if how == "another's":
        path.mkdir(mode=0o700)
        os.chown(path, NOBODY, NOBODY)
    elif how == "a link to another's":
        occupy(path.with_name("elsewhere"), "another's")
        path.symlink_to(path.with_name("elsewhere"))
    elif how == "a link to one's own":
        path.with_name("elsewhere").mkdir(mode=0o700)
        path.symlink_to(path.with_name("elsewhere"))
    elif how == "a link to nothing":
        path.symlink_to(path.with_name("elsewhere"))
    elif how == "a file":
        path.touch(mode=0o600)
    else:
        path.mkdir()
        path.chmod(int(how, 8))


@pytest.mark.parametrize(
    "how",
    [
        "another's", "a link to another's", "a link to one's own", "a link to nothing", "a file",
        "0777", "0755", "0710", "0701",
    ],
)  # fmt: skip
def test_a_folder_that_others_may_have_prepared_is_refused(run_folder: Path, how: str) -> None:
    occupy(run_folder, how)
    process = start_process(run_folder)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 1
    assert str(run_folder) in error.decode()
    assert b"Traceback" not in error
    elsewhere = run_folder.with_name("elsewhere")
    for place in (run_folder, elsewhere):
        assert not place.is_dir() or not list(place.iterdir())
    with pytest.raises(LinkError, match=str(run_folder)):
        read_connection(run_folder)


def test_a_connection_file_of_another_user_is_not_believed(run_folder: Path) -> None:
    with running(run_folder) as backend:
        encoded = (run_folder / "connection.json").read_bytes()
        forged = run_folder / "forged"
        forged.write_bytes(encoded)
        forged.chmod(0o600)
        os.chown(forged, NOBODY, NOBODY)
        forged.replace(run_folder / "connection.json")
        with pytest.raises(LinkError, match="belongs to somebody else"):
            read_connection(run_folder)
        assert backend.process.wait(10) == 0
