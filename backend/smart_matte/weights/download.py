"""
One published file, fetched from the first of its addresses that delivers it.

What has arrived is kept in ``<name>.part`` beside the destination, with the server's ETag in
``<name>.part.json``, so that a download that was cut off or killed goes on where it stopped. A
pinned SHA-256 decides in the end: the destination appears in one step, and only with the right
bytes. Proxies are taken from the environment, as urllib does.
"""

import http.client
import json
import os
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import IO, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from rich.filesize import decimal

from smart_matte.errors import WeightsError
from smart_matte.weights.files import disk_troubles, sha256_of, write_whole
from smart_matte.weights.manifest import LOOPBACK, WeightsFile, is_allowed_url

Progress = Callable[[str, int, int], None]
"""Called with (file name, bytes so far, bytes in all); may raise to stop; what came is kept."""

CHUNK_BYTES = 1 << 20
WORTHWHILE_BYTES = 1 << 20  # a connection that brought this much more is no failure
HEADERS = {"User-Agent": "smart-matte", "Accept-Encoding": "identity"}
PASSING_STATUSES = {  # the same address may do better in a moment
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
LENGTH = re.compile(r"\d{1,18}")
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


@dataclass(frozen=True)
class Patience:
    """
    How long an address is given.

    Attributes:
        tries: failures in a row after which the next address is taken.
        first_pause_s: wait after the first failure; doubled after each further one.
        stall_s: how long a server may send nothing.
    """

    tries: int = 4
    first_pause_s: float = 0.5
    stall_s: float = 30.0


PATIENCE = Patience()


class _PassingError(Exception):
    """The same address may do better."""


class _FinalError(Exception):
    """Another address must do."""


class _HttpsRedirects(HTTPRedirectHandler):
    """Follows redirects to https alone (from this machine also to this machine)."""

    def redirect_request(  # noqa: PLR0917  (urllib's signature)
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        from_loopback = urlsplit(req.full_url).hostname in LOOPBACK
        if not (is_allowed_url(newurl) if from_loopback else urlsplit(newurl).scheme == "https"):
            fp.close()
            raise _FinalError("it redirects to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    file: WeightsFile, destination: Path, progress: Progress, patience: Patience = PATIENCE
) -> None:
    """
    Fetch one file; do nothing where it already lies complete.

    Callers of the same destination must hold a lock.

    Args:
        file: what to fetch.
        destination: where it appears, in one step, once it is complete and verified.
        progress: told how far it is.
        patience: how long to try.

    Raises:
        WeightsError: no address delivered it, or the disk is full; what came is kept.
    """
    with disk_troubles(
        destination.parent, file.bytes
    ):  # the network's errors are caught where they arise
        if destination.is_file() and sha256_of(destination) == file.sha256:
            return
        part = destination.with_name(destination.name + ".part")
        _download_from_any(file, part, progress, patience)
        part.replace(destination)
        _note_of(part).unlink(missing_ok=True)


def size_of_part(destination: Path) -> int:
    """How many bytes of a file have arrived so far."""
    return _size(destination.with_name(destination.name + ".part"))


def _download_from_any(
    file: WeightsFile, part: Path, progress: Progress, patience: Patience
) -> None:
    reasons = []
    for url in file.urls:
        try:
            _download_from(url, file, part, progress, patience)
        except _FinalError as error:
            reasons.append(f"{urlsplit(url).hostname}: {error}")
        else:
            return
    raise WeightsError(
        f"{file.name} could not be fetched ({'; '.join(reasons)}); try again later, it goes on"
        " where it stopped, or get the file elsewhere and run: smart-matte weights import"
        f" {file.name}"
    )


def _download_from(
    url: str, file: WeightsFile, part: Path, progress: Progress, patience: Patience
) -> None:
    """Fill *part* with the verified file from one address, over as many tries as it is given."""
    failures = 0
    furthest = _size(part)
    while True:
        try:
            resumed = _receive(url, file, part, progress, patience)
            _verify(file, part, resumed=resumed)
        except _PassingError as error:
            gained = _size(part) - furthest
            furthest = max(furthest, _size(part))
            failures = 1 if gained >= WORTHWHILE_BYTES else failures + 1
            if failures >= patience.tries:
                raise _FinalError(str(error)) from error
        else:
            return
        time.sleep(patience.first_pause_s * 2 ** (failures - 1))


def _verify(file: WeightsFile, part: Path, *, resumed: bool) -> None:
    if sha256_of(part) == file.sha256:
        return
    part.unlink()
    if resumed:  # perhaps two different files were joined: once more, from the start
        raise _PassingError("it sent a different file")
    raise _FinalError("it has a different file of that name, its SHA-256 is wrong")


def _receive(
    url: str, file: WeightsFile, part: Path, progress: Progress, patience: Patience
) -> bool:
    """Let *part* grow to its full size; returns whether it held something before."""
    if _size(part) == file.bytes:
        return True
    request = Request(url, headers=_headers(url, part))  # noqa: S310  (the opener checks)
    with _open(request, part, patience) as response:
        start = _start_of_body(response, file, part)
        with part.open("r+b" if start else "wb", buffering=0) as handle:
            if not start:
                etag = response.headers.get("ETag", "")
                write_whole(_note_of(part), json.dumps({"url": url, "etag": etag}).encode())
            handle.seek(start)
            _copy(response, handle, file, progress)
    return start > 0


def _headers(url: str, part: Path) -> dict[str, str]:
    """Ask for what is missing, and for all of it if the server's file has changed."""
    if not _size(part):
        return HEADERS
    etag = _noted_etag(url, part)
    # A weak ETag doesn't promise identical bytes, so it may not decide (RFC 9110, 13.1.5).
    unchanged = {"If-Range": etag} if etag and not etag.startswith("W/") else {}
    return {**HEADERS, "Range": f"bytes={_size(part)}-", **unchanged}


def _open(request: Request, part: Path, patience: Patience) -> http.client.HTTPResponse:
    if not is_allowed_url(request.full_url):
        raise _FinalError("the address is not https")
    try:
        response: http.client.HTTPResponse = build_opener(_HttpsRedirects).open(
            request, timeout=patience.stall_s
        )
    except HTTPError as error:
        with error:
            _judge_status(error.code, part)
    except (OSError, ValueError, http.client.HTTPException) as error:
        _judge_failure(error, patience)
    return response


def _judge_status(status: int, part: Path) -> NoReturn:
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
        raise _PassingError("it can't continue what had arrived")
    kind = _PassingError if status in PASSING_STATUSES else _FinalError
    raise kind(f"it answers HTTP {status}")


def _judge_failure(error: Exception, patience: Patience) -> NoReturn:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise _FinalError(f"its certificate can't be trusted, {reason.verify_message}") from error
    if isinstance(reason, TimeoutError):
        raise _PassingError(f"it sent nothing for {patience.stall_s:g} s") from error
    raise _PassingError(f"{str(reason) or type(reason).__name__}") from error


def _start_of_body(response: http.client.HTTPResponse, file: WeightsFile, part: Path) -> int:
    """Where in the file the body begins, having checked that it can be the right file."""
    if response.headers.get_content_type() == "text/html":
        raise _FinalError("it answers with a web page")
    start, total = _range_of_body(response.status, response.headers)
    if total is not None and total != file.bytes:
        raise _FinalError(f"its file has {decimal(total)} where {decimal(file.bytes)} are expected")
    if start not in {0, _size(part)}:
        part.unlink(missing_ok=True)
        raise _PassingError("it continues where nothing ended")
    return start


def _range_of_body(status: int, headers: Message) -> tuple[int, int | None]:
    """First byte of the body, and the size of the whole file where the server tells it."""
    if status == HTTPStatus.OK:
        length = headers.get("Content-Length", "")
        return 0, int(length) if LENGTH.fullmatch(length) else None
    content_range = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if status != HTTPStatus.PARTIAL_CONTENT or content_range is None:
        raise _FinalError(f"it answers HTTP {status} with no file")
    start, total = content_range.groups()
    return int(start), None if total == "*" else int(total)


def _copy(
    response: http.client.HTTPResponse, handle: IO[bytes], file: WeightsFile, progress: Progress
) -> None:
    """Append the body to *handle* until the file has its full size."""
    done = handle.tell()
    progress(file.name, done, file.bytes)
    while done < file.bytes:
        data = _read(response, min(CHUNK_BYTES, file.bytes - done))
        _write_all(handle, data)
        done += len(data)
        progress(file.name, done, file.bytes)
    os.fsync(handle.fileno())


def _write_all(handle: IO[bytes], data: bytes) -> None:
    """Write past the short writes of an unbuffered file."""
    rest = memoryview(data)
    while rest:
        rest = rest[handle.write(rest) :]


def _read(response: http.client.HTTPResponse, most_bytes: int) -> bytes:
    """Take what is there, at least one byte, without waiting for *most_bytes*."""
    try:
        data = response.read1(most_bytes)
    except TimeoutError as error:
        raise _PassingError("it stopped sending") from error
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(f"the connection broke, {error}") from error
    if not data:
        raise _PassingError("the connection ended before the file did")
    return data


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _note_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _noted_etag(url: str, part: Path) -> str:
    """The ETag under which *part* began, if it came from the same address; else ""."""
    try:
        note = json.loads(_note_of(part).read_text())
        return str(note["etag"]) if note["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
