"""Whatever a server does, the file that appears is the right one, or none appears."""

import errno
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request

import misbehaving_server as behaving
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving_server import Behaviour, Server
from published import describe_file

from smart_matte.errors import Cancelled, WeightsError
from smart_matte.weights.download import (
    WORTHWHILE_BYTES,
    Patience,
    _FinalError,
    _HttpsRedirects,
    download,
)
from smart_matte.weights.manifest import WeightsFile

CONTENT = bytes(range(256)) * 40
IMPATIENT = Patience(tries=3, first_pause_s=0.0, stall_s=0.3)


class Fetching:
    """One file, where it goes, and what was told on the way."""

    def __init__(self, server: Server, folder: Path, content: bytes = CONTENT) -> None:
        server.content = content
        self.server = server
        self.file = describe_file(content, (server.url(),))
        self.destination = folder / "tiny.pth"
        self.part = folder / "tiny.pth.part"
        self.told: list[tuple[str, int, int]] = []

    def __call__(self, *urls: str) -> None:
        file = WeightsFile(
            self.file.name, self.file.bytes, self.file.sha256, urls or self.file.urls
        )
        download(file, self.destination, self._progress, IMPATIENT)

    def _progress(self, name: str, bytes_done: int, bytes_total: int) -> None:
        assert not self.destination.exists()
        self.told.append((name, bytes_done, bytes_total))

    def is_right(self) -> bool:
        return self.destination.read_bytes() == self.server.content and not self.leftovers()

    def leftovers(self) -> list[Path]:
        return [path for path in self.destination.parent.iterdir() if path != self.destination]


@pytest.fixture
def fetching(server: Server, tmp_path: Path) -> Fetching:
    folder = tmp_path / "here"
    folder.mkdir()
    return Fetching(server, folder)


def test_a_file_arrives_whole_and_nothing_else_stays(fetching: Fetching) -> None:
    fetching()
    assert fetching.is_right()
    assert fetching.told[0] == ("tiny.pth", 0, len(CONTENT))
    assert fetching.told[-1] == ("tiny.pth", len(CONTENT), len(CONTENT))


def test_a_complete_file_is_not_asked_for_again(fetching: Fetching) -> None:
    fetching.destination.write_bytes(CONTENT)
    fetching()
    assert fetching.server.requests == []


def test_a_damaged_file_at_the_destination_is_replaced(fetching: Fetching) -> None:
    fetching.destination.write_bytes(CONTENT[:-1] + b"?")
    download(fetching.file, fetching.destination, lambda *_: None, IMPATIENT)
    assert fetching.is_right()


@pytest.mark.parametrize(
    "behaviour",
    [
        behaving.ignoring_ranges,
        behaving.without_length,
        behaving.cut_off_after(1000),
        behaving.cut_off_after(0),
        behaving.reset_after(1000),
        behaving.silent,
        behaving.stalled_after(1000),
        behaving.status(500),
        behaving.status(503),
        behaving.status(429),
    ],
)
def test_one_misfortune_is_overcome(fetching: Fetching, behaviour: Behaviour) -> None:
    fetching.server.plan = [behaviour]
    fetching()
    assert fetching.is_right()


def test_a_download_that_was_cut_off_is_continued_not_repeated(fetching: Fetching) -> None:
    fetching.server.plan = [behaving.cut_off_after(6000), behaving.cut_off_after(3000)]
    fetching()
    assert fetching.is_right()
    assert fetching.server.sent_bytes == len(CONTENT)
    assert [seen.get("Range") for seen in fetching.server.requests] == [
        None,
        "bytes=6000-",
        "bytes=9000-",
    ]
    assert fetching.server.requests[1]["If-Range"] == behaving.ETAG


def test_a_weak_etag_is_not_used_to_decide_about_a_range(fetching: Fetching) -> None:
    fetching.server.etag = 'W/"first"'
    fetching.server.plan = [behaving.cut_off_after(6000)]
    fetching()
    assert fetching.is_right()
    assert "If-Range" not in fetching.server.requests[1]
    assert fetching.server.sent_bytes == len(CONTENT)


def test_a_server_without_etags_is_continued_too(fetching: Fetching) -> None:
    fetching.server.etag = ""
    fetching.server.plan = [behaving.cut_off_after(6000)]
    fetching()
    assert fetching.is_right()
    assert fetching.server.sent_bytes == len(CONTENT)


def test_a_server_that_ignores_ranges_starts_from_zero(fetching: Fetching) -> None:
    fetching.server.plan = [behaving.cut_off_after(6000), behaving.ignoring_ranges]
    fetching()
    assert fetching.is_right()
    assert fetching.server.sent_bytes == 6000 + len(CONTENT)


@pytest.mark.parametrize("behaviour", [behaving.well, behaving.ignoring_if_range])
def test_a_file_that_changed_meanwhile_starts_from_zero(
    fetching: Fetching, behaviour: Behaviour
) -> None:
    def cut_off_while_older(handler: behaving.Handler) -> None:
        handler.server.content = b"older" * (len(CONTENT) // 5)
        behaving.cut_off_after(6000)(handler)
        handler.server.content, handler.server.etag = CONTENT, '"second"'

    fetching.server.plan = [cut_off_while_older, behaviour]
    fetching()
    assert fetching.is_right()


def test_two_files_joined_unnoticed_are_found_out_and_fetched_anew(fetching: Fetching) -> None:
    fetching.part.write_bytes(b"?" * 6000)  # no ETag is remembered that could tell
    fetching()
    assert fetching.is_right()
    assert [seen.get("Range") for seen in fetching.server.requests] == ["bytes=6000-", None]


def test_a_range_that_cannot_be_had_starts_from_zero(fetching: Fetching) -> None:
    fetching.part.write_bytes(CONTENT[:6000])
    fetching.server.plan = [behaving.status(416)]
    fetching()
    assert fetching.is_right()
    assert "Range" not in fetching.server.requests[1]


def test_a_continuation_from_another_place_starts_from_zero(fetching: Fetching) -> None:
    def from_elsewhere(handler: behaving.Handler) -> None:
        handler.headers.replace_header("Range", "bytes=5000-")
        behaving.well(handler)

    fetching.part.write_bytes(CONTENT[:6000])
    fetching.server.plan = [from_elsewhere]
    fetching()
    assert fetching.is_right()
    assert "Range" not in fetching.server.requests[1]


def test_a_part_that_is_too_long_starts_from_zero(fetching: Fetching) -> None:
    fetching.part.write_bytes(CONTENT + b"more")
    fetching()
    assert fetching.is_right()


def test_a_part_that_is_complete_needs_no_server(fetching: Fetching) -> None:
    fetching.part.write_bytes(CONTENT)
    fetching()
    assert fetching.is_right()
    assert fetching.server.requests == []


def test_every_place_to_stop_at_is_resumed_from(server: Server, tmp_path: Path) -> None:
    content = b"0123456789abcdef"
    for n_bytes in range(len(content) + 1):
        fetching = Fetching(server, tmp_path, content)
        server.sent_bytes = 0
        fetching.part.write_bytes(content[:n_bytes])
        fetching()
        assert fetching.destination.read_bytes() == content
        assert server.sent_bytes == len(content) - n_bytes
        fetching.destination.unlink()


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 16), max_size=2),
    left_over=st.binary(max_size=20),
    noted=st.binary(max_size=20),
)
def test_no_left_over_and_no_cuts_ever_yield_a_wrong_file(
    server_for_examples: Fetching, cuts: list[int], left_over: bytes, noted: bytes
) -> None:
    fetching = server_for_examples
    fetching.destination.unlink(missing_ok=True)
    fetching.part.write_bytes(left_over)
    fetching.part.with_name("tiny.pth.part.json").write_bytes(noted)
    fetching.server.plan = [behaving.cut_off_after(n_bytes) for n_bytes in cuts]
    try:
        fetching()
    except WeightsError:
        assert not fetching.destination.exists()
        fetching.server.plan = []
        fetching()
    assert fetching.is_right()


@pytest.fixture(scope="module")
def server_for_examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetching]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield Fetching(server, tmp_path_factory.mktemp("examples"), b"0123456789abcdef")
        server.shutdown()


def test_a_line_that_keeps_breaking_but_brings_much_is_no_failure(
    server: Server, tmp_path: Path
) -> None:
    fetching = Fetching(server, tmp_path, os.urandom(6 * WORTHWHILE_BYTES))
    server.plan = [behaving.cut_off_after(WORTHWHILE_BYTES)] * 5
    fetching()
    assert fetching.is_right()
    assert server.sent_bytes == len(server.content)


def test_a_line_that_keeps_breaking_and_starting_anew_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    fetching = Fetching(server, tmp_path, os.urandom(3 * WORTHWHILE_BYTES))
    breaking = behaving.cut_off_after(2 * WORTHWHILE_BYTES, behaving.ignoring_ranges)
    server.plan = [breaking] * 10
    with pytest.raises(WeightsError, match="connection ended"):
        fetching()
    assert len(server.requests) == IMPATIENT.tries
    assert not fetching.destination.exists()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (behaving.silent, r"sent nothing for 0\.3 s"),
        (behaving.stalled_after(0), "stopped sending"),
        (behaving.stalled_after(6000), "stopped sending"),
    ],
)
def test_a_server_that_stalls_is_noticed(
    fetching: Fetching, behaviour: Behaviour, reason: str
) -> None:
    fetching.server.plan = [behaviour] * 9
    with pytest.raises(WeightsError, match=reason):
        fetching()
    assert len(fetching.server.requests) == IMPATIENT.tries


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (behaving.status(404), "HTTP 404"),
        (behaving.status(403), "HTTP 403"),
        (behaving.status(204), "HTTP 204"),
        (behaving.web_page, "web page"),
        (behaving.redirect("http://example.com/tiny.pth"), "not https"),
        (behaving.redirect("ftp://127.0.0.1/tiny.pth"), "not https"),
        (behaving.redirect("file:///etc/passwd"), "HTTP 302"),  # urllib refuses it by itself
    ],
)
def test_what_will_not_change_is_not_tried_again(
    fetching: Fetching, behaviour: Behaviour, reason: str
) -> None:
    fetching.server.plan = [behaviour] * 9
    with pytest.raises(WeightsError, match=reason):
        fetching()
    assert len(fetching.server.requests) == 1
    assert not fetching.destination.exists()


def test_a_malformed_redirect_is_a_sentence(fetching: Fetching) -> None:
    fetching.server.plan = [behaving.redirect("http://[")] * 9
    with pytest.raises(WeightsError, match="could not be fetched"):
        fetching()


def test_a_redirect_is_followed_and_continued_behind(fetching: Fetching) -> None:
    redirect = behaving.redirect(fetching.server.url("elsewhere"))
    fetching.server.plan = [redirect, behaving.cut_off_after(6000), redirect]
    fetching()
    assert fetching.is_right()
    assert fetching.server.requests[3]["Range"] == "bytes=6000-"
    assert fetching.server.requests[3]["If-Range"] == behaving.ETAG


@pytest.mark.parametrize(
    ("origin", "target", "is_followed"),
    [
        ("https://a.example/", "https://b.example/", True),
        ("https://a.example/", "http://b.example/", False),
        ("https://a.example/", "http://127.0.0.1/", False),
        ("http://127.0.0.1/", "http://127.0.0.1/", True),
        ("http://127.0.0.1/", "http://b.example/", False),
    ],
)
def test_redirects_never_leave_https(origin: str, target: str, *, is_followed: bool) -> None:
    def follow() -> object:
        with open(os.devnull, "rb") as body:  # noqa: PTH123  (a stand-in for the answer)
            return _HttpsRedirects().redirect_request(
                Request(origin),  # noqa: S310  (nothing is opened)
                body,
                302,
                "Found",
                {},
                target,
            )

    if is_followed:
        assert follow() is not None
    else:
        with pytest.raises(_FinalError, match="not https"):
            follow()


@pytest.mark.parametrize("url", ["http://example.com/x", "ftp://example.com/x", "file:///x"])
def test_only_https_is_opened(fetching: Fetching, url: str) -> None:
    with pytest.raises(WeightsError, match="not https"):
        fetching(url)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that nobody has reason to trust, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path / "certificate.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(  # noqa: S603  (a program that was looked up, with our own words)
        [openssl, *request.split(), *names, "-keyout", str(path), "-out", str(tmp_path / "cert")],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (tmp_path / "cert").read_bytes())
    return path


@pytest.mark.parametrize("is_trusted", [True, False])
def test_https_is_believed_only_with_a_trusted_certificate(
    fetching: Fetching, certificate: Path, monkeypatch: pytest.MonkeyPatch, *, is_trusted: bool
) -> None:
    server = fetching.server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("no_proxy", "localhost")
    url = f"https://localhost:{server.server_port}/"
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        fetching(url)
        assert fetching.is_right()
    else:
        with pytest.raises(WeightsError, match="certificate can't be trusted"):
            fetching(url)
        assert server.requests == []


def test_a_wrong_file_is_thrown_away_and_the_next_address_taken(fetching: Fetching) -> None:
    def another(handler: behaving.Handler) -> None:
        handler.head(200, len(CONTENT))
        handler.body(b"?" * len(CONTENT))

    fetching.server.plan = [another]
    fetching(fetching.server.url("first"), fetching.server.url("second"))
    assert fetching.is_right()
    assert len(fetching.server.requests) == 2


def test_a_wrong_file_everywhere_leaves_nothing(fetching: Fetching) -> None:
    expected = fetching.file
    fetching.server.content = b"?" * len(CONTENT)
    with pytest.raises(WeightsError, match="SHA-256"):
        download(expected, fetching.destination, lambda *_: None, IMPATIENT)
    assert not fetching.destination.exists()
    assert not fetching.part.exists()


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_file_of_another_size_is_refused_before_it_is_read(
    fetching: Fetching, difference: int
) -> None:
    fetching.part.write_bytes(CONTENT[:6000])
    fetching.server.content = b"?" * (len(CONTENT) + difference)
    with pytest.raises(WeightsError, match="expected"):
        fetching()
    assert fetching.part.read_bytes() == CONTENT[:6000]


def test_the_next_address_continues_what_another_began(fetching: Fetching) -> None:
    fetching.server.plan = [behaving.cut_off_after(6000), *[behaving.status(503)] * 2]
    fetching(fetching.server.url("first"), fetching.server.url("second"))
    assert fetching.is_right()
    assert fetching.server.requests[-1]["Range"] == "bytes=6000-"
    assert "If-Range" not in fetching.server.requests[-1]
    assert fetching.server.sent_bytes == len(CONTENT)


def test_the_sentence_names_every_address_and_what_to_do(fetching: Fetching) -> None:
    fetching.server.plan = [behaving.status(404)]
    nobody = f"http://localhost:{free_port()}/"
    with pytest.raises(WeightsError) as caught:
        fetching(fetching.server.url(), nobody)
    sentence = str(caught.value)
    assert "127.0.0.1: it answers HTTP 404" in sentence
    assert "localhost: " in sentence
    assert "smart-matte weights import tiny.pth" in sentence


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_stopping_keeps_what_came(fetching: Fetching) -> None:
    def stop_midway(_name: str, bytes_done: int, _bytes_total: int) -> None:
        if bytes_done:
            raise Cancelled("stopped")

    fetching.server.plan = [behaving.stalled_after(6000)]
    with pytest.raises(Cancelled):
        download(fetching.file, fetching.destination, stop_midway, IMPATIENT)
    kept = fetching.part.stat().st_size
    assert 0 < kept <= 6000
    fetching()
    assert fetching.is_right()
    assert fetching.server.requests[1]["Range"] == f"bytes={kept}-"


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_is_a_sentence_and_leaves_no_file(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    # A real full disk: test_weights_install.py, where this machine lets a test mount one.
    monkeypatch.setattr(os, function, full)
    with pytest.raises(WeightsError, match="is full"):
        fetching()
    monkeypatch.undo()
    assert not fetching.destination.exists()
    fetching()
    assert fetching.is_right()


def test_a_disk_that_refuses_is_a_sentence(fetching: Fetching) -> None:
    fetching.part.mkdir()
    with pytest.raises(WeightsError, match=r"can't be used .*SMART_MATTE_WEIGHTS"):
        fetching()
