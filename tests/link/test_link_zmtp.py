"""The DEALER against libzmq's ROUTER, and against everything that isn't one."""

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq
from raw_server import GREETING, READY, drip, raw_server, read_exactly, say, say_and_wait

from smart_matte_link.envelope import FRAME_BYTES_MAX
from smart_matte_link.errors import ProtocolError
from smart_matte_link.zmtp import Dealer, PeerLateError, PeerLostError

FOUR_MIB = 4 * 1024 * 1024
SIZES = [0, 1, 2, 32, 254, 255, 256, 257, 65_535, 65_536, FOUR_MIB - 1, FOUR_MIB, FRAME_BYTES_MAX]
HELLO_FRAME = b"\x00\x05hello"


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


def receive(dealer: Dealer, seconds: float = 10) -> bytes:
    deadline = soon(seconds)
    frame = bytearray(dealer.next_frame(deadline))
    dealer.read_into(memoryview(frame), deadline)
    return bytes(frame)


@contextlib.contextmanager
def dealing(endpoint: str, seconds: float = 10) -> Iterator[Dealer]:
    with contextlib.closing(Dealer(endpoint, FRAME_BYTES_MAX, soon(seconds))) as dealer:
        yield dealer


@contextlib.contextmanager
def router(bind: str, **options: int | bytes) -> Iterator[tuple[zmq.Socket[bytes], str]]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.setsockopt(zmq.LINGER, 0)
        server.setsockopt(zmq.RCVTIMEO, 10_000)
        for name, value in options.items():
            server.setsockopt(getattr(zmq, name), value)
        server.bind(bind)
        yield server, server.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()


@pytest.fixture(params=["ipc", "tcp"])
def bind(request: pytest.FixtureRequest, folder: Path) -> str:
    return f"ipc://{folder}/router" if request.param == "ipc" else "tcp://127.0.0.1:*"


def test_frames_of_every_size_go_there_and_back_through_libzmq(bind: str) -> None:
    options = {"ZAP_DOMAIN": b"x", "MAXMSGSIZE": FRAME_BYTES_MAX}
    with router(bind, **options) as (server, endpoint), dealing(endpoint) as dealer:
        for size in SIZES:
            payload = os.urandom(min(size, 1024)) + bytes(max(size - 1024, 0))
            parts = [payload[:32], memoryview(payload)[32:]]
            sender = threading.Thread(target=dealer.send, args=(parts, soon()))
            sender.start()
            identity, arrived = server.recv_multipart()
            sender.join()
            assert arrived == payload, size
            server.send_multipart([identity, payload])
            assert receive(dealer) == payload, size


def test_many_messages_in_a_row_keep_their_order(bind: str) -> None:
    with router(bind) as (server, endpoint), dealing(endpoint) as dealer:
        for number in range(500):
            dealer.send([b"%d" % number], soon())
        for number in range(500):
            identity, arrived = server.recv_multipart()
            assert arrived == b"%d" % number
            server.send_multipart([identity, arrived * 100])
        for number in range(500):
            assert receive(dealer) == b"%d" % number * 100


def test_several_clients_are_told_apart(bind: str) -> None:
    with router(bind) as (server, endpoint), contextlib.ExitStack() as stack:
        dealers = [stack.enter_context(dealing(endpoint)) for _ in range(5)]
        for number, dealer in enumerate(dealers):
            dealer.send([b"%d" % number], soon())
        for _ in dealers:
            server.send_multipart(server.recv_multipart())
        assert [receive(dealer) for dealer in dealers] == [b"0", b"1", b"2", b"3", b"4"]


def test_libzmq_drops_who_sends_more_than_it_allows(bind: str) -> None:
    with router(bind, MAXMSGSIZE=1000) as (_, endpoint), dealing(endpoint) as dealer:
        dealer.send([bytes(1001)], soon())
        with pytest.raises(PeerLostError):
            dealer.wait(5)


def test_a_frame_that_is_too_long_is_refused_before_it_is_read(bind: str) -> None:
    with router(bind) as (server, endpoint), dealing(endpoint) as dealer:
        dealer.send([b"hello"], soon())
        identity, _ = server.recv_multipart()
        server.send_multipart([identity, bytes(FRAME_BYTES_MAX + 1)])
        with pytest.raises(ProtocolError, match="4194337 bytes"):
            dealer.next_frame(soon())


def test_a_message_of_several_frames_is_refused(bind: str) -> None:
    with router(bind) as (server, endpoint), dealing(endpoint) as dealer:
        dealer.send([b"hello"], soon())
        identity, _ = server.recv_multipart()
        server.send_multipart([identity, b"a", b"b"])
        with pytest.raises(ProtocolError, match="several frames"):
            dealer.next_frame(soon())


def test_libzmqs_heartbeats_are_answered(folder: Path) -> None:
    options = {"HEARTBEAT_IVL": 100, "HEARTBEAT_TIMEOUT": 1000, "ROUTER_MANDATORY": 1}
    with router(f"ipc://{folder}/r", **options) as (server, endpoint), dealing(endpoint) as dealer:
        dealer.send([b"hello"], soon())
        identity, _ = server.recv_multipart()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(receive, dealer)
            time.sleep(1.5)  # longer than libzmq waits for an answer
            server.send_multipart([identity, b"still there"])
            assert answer.result() == b"still there"


def test_the_end_of_the_router_is_noticed(bind: str) -> None:
    with router(bind) as (server, endpoint), dealing(endpoint) as dealer:
        dealer.send([b"hello"], soon())
        server.recv_multipart()
        server.close()
        with pytest.raises(PeerLostError):
            dealer.wait(5)


def test_a_router_that_wants_curve_is_none_for_us(bind: str) -> None:
    _, secret = zmq.curve_keypair()
    options = {"CURVE_SERVER": 1, "CURVE_SECRETKEY": secret}
    refusals = pytest.raises((ProtocolError, PeerLostError))
    with router(bind, **options) as (_, endpoint), refusals:
        dealing(endpoint, 2).__enter__()


def test_waiting_ends_when_something_comes_or_the_time_is_over(bind: str) -> None:
    with router(bind) as (server, endpoint), dealing(endpoint) as dealer:
        assert not dealer.wait(0)
        assert not dealer.wait(0.05)
        dealer.send([b"hello"], soon())
        server.send_multipart(server.recv_multipart())
        assert dealer.wait(5)
        assert dealer.wait(0)
        assert receive(dealer) == b"hello"
        assert not dealer.wait(0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no interval timers")
def test_interrupted_calls_lose_nothing(bind: str) -> None:
    interruptions = []
    before = signal.signal(signal.SIGALRM, lambda *_: interruptions.append(1))
    payload = os.urandom(FOUR_MIB)

    def echo(server: zmq.Socket[bytes]) -> None:
        for _ in range(5):
            server.send_multipart(server.recv_multipart())

    with router(bind) as (server, endpoint), dealing(endpoint) as dealer:
        thread = threading.Thread(target=echo, args=(server,))
        thread.start()
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            for _ in range(5):
                dealer.send([payload], soon())
                dealer.wait(5)
                assert receive(dealer) == payload
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            thread.join()
    assert interruptions


TRANSCRIPT = GREETING + READY + b"\x02" + (300).to_bytes(8, "big") + bytes(300)


def test_a_server_that_dies_at_any_byte_is_lost_and_nothing_else(folder: Path) -> None:
    cut = 0

    def script(connection: socket.socket) -> None:
        say(TRANSCRIPT[:cut])(connection)

    with raw_server(folder, script) as endpoint:
        for cut in range(len(TRANSCRIPT)):  # noqa: B007  (the server reads it)
            with pytest.raises(PeerLostError):  # noqa: SIM117  (the handshake may fail as well)
                with dealing(endpoint) as dealer:
                    receive(dealer)
        cut = len(TRANSCRIPT)
        with dealing(endpoint) as dealer:
            assert receive(dealer) == bytes(300)
            with pytest.raises(PeerLostError):
                dealer.wait(5)


def test_a_server_that_goes_silent_at_any_byte_is_late(folder: Path) -> None:
    cut = 0
    places = [0, 1, 9, 10, 11, 12, 63, 64, 65, 66, 80, 105, 106, 107, 114, 115, 116, 300, 414]

    def script(connection: socket.socket) -> None:
        say_and_wait(TRANSCRIPT[:cut])(connection)

    with raw_server(folder, script) as endpoint:
        for cut in places:  # noqa: B007  (the server reads it)
            with pytest.raises(PeerLateError):  # noqa: SIM117  (the handshake may fail as well)
                with dealing(endpoint, 0.05) as dealer:
                    receive(dealer, 0.05)


def test_one_byte_at_a_time_is_as_good_as_all_at_once(folder: Path) -> None:
    with raw_server(folder, drip(TRANSCRIPT)) as endpoint, dealing(endpoint) as dealer:
        assert receive(dealer) == bytes(300)


def test_a_server_that_drips_for_ever_is_late(folder: Path) -> None:
    with raw_server(folder, drip(TRANSCRIPT, 0.02)) as endpoint:
        started = time.monotonic()
        with pytest.raises(PeerLateError):
            dealing(endpoint, 0.3).__enter__()
        assert time.monotonic() - started < 5


def ready(properties: bytes) -> bytes:
    body = b"\x05READY" + properties
    return b"\x04" + bytes((len(body),)) + body


STRANGERS = {
    "an HTTP server": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" + bytes(64),
    "an SSH server": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" + bytes(64),
    "a TLS server": b"\x15\x03\x01\x00\x02\x02\x50" + bytes(64),
    "zeros": bytes(128),
    "ZMTP 1": b"\x01\x00" + bytes(64),
    "ZMTP 2": b"\xff" + bytes(7) + b"\x01\x7f\x01\x05\x00\x00" + bytes(64),
    "PLAIN": GREETING.replace(b"NULL", b"PLAIN")[:64],
    "CURVE": GREETING.replace(b"NULL", b"CURVE")[:64],
    "a mechanism in lower case": GREETING.replace(b"NULL", b"null"),
    "no mechanism": GREETING.replace(b"NULL", bytes(4)),
    "a message before READY": GREETING + HELLO_FRAME,
    "another command before READY": GREETING + b"\x04\x05\x04PING",
    "ERROR for READY": GREETING + b"\x04\x0a\x05ERROR\x03bad",
    "READY from a PUB": GREETING + ready(b"\x0bSocket-Type\x00\x00\x00\x03PUB"),
    "READY without a socket type": GREETING + ready(b""),
    "READY with half a name": GREETING + ready(b"\x0bSocket"),
    "READY with half a length": GREETING + ready(b"\x0bSocket-Type\x00\x00"),
    "READY with half a value": GREETING + ready(b"\x0bSocket-Type\x00\x00\x00\x07ROUTER"),
    "READY with a huge value": GREETING + ready(b"\x0bSocket-Type\xff\xff\xff\xffROUTER"),
    "a command without a name": GREETING + b"\x04\x00",
    "a command whose name is too long": GREETING + b"\x04\x02\x05R",
    "a READY of 64 KiB": GREETING + b"\x06" + (65_536).to_bytes(8, "big"),
    "a READY of 2^63": GREETING + b"\x06" + (2**63).to_bytes(8, "big"),
    "flags that mean nothing": GREETING + READY + b"\x08\x00",
    "a command with more": GREETING + READY + b"\x05\x00",
    "a frame of 2^63": GREETING + READY + b"\x02" + (2**63).to_bytes(8, "big"),
    "a frame of 2^64 - 1": GREETING + READY + b"\x02" + b"\xff" * 8,
    "a frame of 4 GiB": GREETING + READY + b"\x02" + (2**32).to_bytes(8, "big"),
    "a frame one byte too long": GREETING
    + READY
    + b"\x02"
    + (FRAME_BYTES_MAX + 1).to_bytes(8, "big"),
    "an endless multipart message": GREETING + READY + b"\x01\x01a" * 100,
}


@pytest.mark.parametrize("transcript", STRANGERS.values(), ids=STRANGERS.keys())
def test_who_speaks_otherwise_is_refused_at_once(folder: Path, transcript: bytes) -> None:
    refusal = pytest.raises(ProtocolError)
    with raw_server(folder, say_and_wait(transcript)) as endpoint, refusal, dealing(endpoint) as us:
        receive(us)


def test_each_flipped_bit_of_a_greeting_is_taken_or_refused_in_time(folder: Path) -> None:
    position = 0

    def flipped(connection: socket.socket) -> None:
        transcript = bytearray(TRANSCRIPT)
        transcript[position // 8] ^= 1 << position % 8
        say(bytes(transcript))(connection)

    refused = set()
    with raw_server(folder, flipped) as endpoint:
        for position in range(8 * len(GREETING + READY)):
            try:
                with dealing(endpoint) as dealer:
                    frame = receive(dealer)
                assert frame == bytes(300) or position >= 8 * len(GREETING)
            except (ProtocolError, PeerLostError):
                refused.add(position // 8)
    assert refused >= {0, 9, 10, 12, 13, 14, 15, 16, 64, 65}
    assert not refused & {*range(1, 9), 11, *range(32, 64)}


def test_an_error_command_is_the_end(folder: Path) -> None:
    with (
        raw_server(
            folder, say_and_wait(GREETING + READY + b"\x04\x0a\x05ERROR\x03bad")
        ) as endpoint,
        dealing(endpoint) as dealer,
        pytest.raises(PeerLostError),
    ):
        receive(dealer)


def test_a_ping_is_answered_with_its_own_context_and_unknown_commands_are_skipped(
    folder: Path,
) -> None:
    answers = []

    def script(connection: socket.socket) -> None:
        connection.sendall(
            GREETING
            + READY
            + b"\x04\x0e\x04PING\x00\x10context"
            + b"\x04\x05\x04NEWS"
            + HELLO_FRAME
        )
        read_exactly(connection, len(GREETING) + 2 + 28)
        answers.append(read_exactly(connection, 14))

    with raw_server(folder, script) as endpoint, dealing(endpoint) as dealer:
        assert receive(dealer) == b"hello"
        with contextlib.suppress(PeerLostError):
            dealer.wait(5)
    assert answers == [b"\x04\x0c\x04PONGcontext"]


def test_a_server_that_reads_slowly_gets_everything(folder: Path) -> None:
    arrived = bytearray()

    def script(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.sendall(GREETING + READY)
        while data := connection.recv(5000):
            arrived.extend(data)

    payload = os.urandom(2_000_000)
    with raw_server(folder, script) as endpoint, dealing(endpoint) as dealer:
        dealer.send([payload[:32], payload[32:]], soon(30))
    assert arrived.endswith(b"\x02" + len(payload).to_bytes(8, "big") + payload)


def test_a_server_that_never_reads_is_late(folder: Path) -> None:
    release = threading.Event()

    def script(connection: socket.socket) -> None:
        connection.sendall(GREETING + READY)
        release.wait(10)

    with raw_server(folder, script) as endpoint, dealing(endpoint) as dealer:
        with pytest.raises(PeerLateError):
            dealer.send([bytes(8 * FOUR_MIB)], soon(0.3))
        release.set()


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "ipc",
        "http://127.0.0.1:80",
        "tcp://192.168.1.1:5555",
        "tcp://example.org:80",
        "tcp://0.0.0.0:80",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:http",
        "tcp://127.0.0.1",
        "pgm://127.0.0.1:1",
    ],
)
def test_endpoints_beyond_this_machine_or_beyond_sense_are_refused(endpoint: str) -> None:
    with pytest.raises(ProtocolError):
        dealing(endpoint).__enter__()


def test_nobody_at_the_endpoint_is_lost(folder: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(folder / "stale"))
    stale.close()
    (folder / "file").touch()
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    endpoints = [f"ipc://{folder}/{name}" for name in ("missing", "stale", "file", "x" * 200)]
    for endpoint in [*endpoints, f"tcp://127.0.0.1:{port}", "tcp://127.0.0.1:99999"]:
        with pytest.raises(PeerLostError):
            dealing(endpoint).__enter__()


def test_a_deadline_that_has_passed_is_late_at_once(bind: str) -> None:
    with router(bind) as (_, endpoint):
        with pytest.raises(PeerLateError):
            Dealer(endpoint, FRAME_BYTES_MAX, time.monotonic() - 1)
        with dealing(endpoint) as dealer:
            with pytest.raises(PeerLateError):
                dealer.send([b"x"], time.monotonic() - 1)
            with pytest.raises(PeerLateError):
                dealer.next_frame(time.monotonic() - 1)


def test_no_file_descriptor_stays_open_whatever_goes_wrong(folder: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("only Linux lists a process's descriptors")

    def open_sockets() -> int:
        count = 0
        for link in Path("/proc/self/fd").iterdir():
            try:
                count += str(link.readlink()).startswith("socket:")
            except OSError as error:
                assert error.errno == errno.ENOENT  # noqa: PT017  (the listing's own descriptor)
        return count

    before = open_sockets()
    for transcript in (b"", bytes(64), GREETING, GREETING + READY[:20], b"HTTP/1.1 400"):
        refusals = pytest.raises((ProtocolError, PeerLateError))
        with raw_server(folder, say_and_wait(transcript)) as endpoint, refusals:
            dealing(endpoint, 0.1).__enter__()
    with pytest.raises(PeerLostError):
        dealing(f"ipc://{folder}/missing").__enter__()
    assert open_sockets() == before
