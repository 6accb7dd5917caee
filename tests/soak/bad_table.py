"""
What a broken or hostile peer may send, one entry for each: list (d) of the research.

Bytes on the socket, envelopes, JSON, geometry, and messages in the wrong place. Pixels and picture
modes are the engine's business, and tested there.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from broker_harness import HELLO, IMAGE, OUTPUTS, PIXELS
from ground import COMMAND, HANDSHAKE, LONG

from smart_matte_link.envelope import (
    FRAME_BYTES_MAX,
    HEADER,
    MAGIC,
    NO_JOB,
    chunk_header,
    encode,
)
from smart_matte_link.messages import (
    Begin,
    Cancel,
    Draining,
    End,
    Error,
    Facts,
    Grant,
    MessageType,
    Ping,
    Progress,
    Proof,
    Refine,
    Shutdown,
    Status,
    Unload,
)
from smart_matte_link.zmtp import GREETING, SIGNATURE

JOB, OTHER_JOB, ALL_ONES = bytes(range(1, 17)), bytes(range(17, 33)), b"\xff" * 16
PING = b'{"number":1}'
NOISE = Random(1).randbytes(1 << 20)  # noqa: S311  (no secret)
MESSAGE, GEOMETRY = "bad_message", "bad_geometry"


@dataclass(frozen=True)
class Case:
    """
    One bad input.

    Attributes:
        stage: how far the connection is: "socket", "stranger", "challenged", "welcome", "job".
        payload: what is sent then; bytes of a socket, or messages.
        codes: the answers that are right; "closed" where there is nobody yet to give a code.
    """

    stage: str
    payload: bytes | tuple[bytes, ...]
    codes: tuple[str, ...] = (MESSAGE,)


def frame(kind: int, body: bytes, job: bytes = NO_JOB, seq: int = 2, **changes: object) -> bytes:
    """A message, as a rule the third of the connection."""
    fields = {"magic": MAGIC, "protocol": 1, "flags": 0, "crc": zlib.crc32(body), **changes}
    names = (fields["magic"], fields["protocol"], kind, fields["flags"], job, seq, fields["crc"])
    return HEADER.pack(*names) + body


def command(name: bytes, data: bytes, flags: int = COMMAND) -> bytes:
    body = bytes([len(name)]) + name + data
    return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body


def on_sockets() -> Iterator[tuple[str, Case]]:
    plain, curve = (
        GREETING.replace(b"NULL".ljust(20, b"\0"), name.ljust(20, b"\0"))
        for name in (b"PLAIN", b"CURVE")
    )
    of_type = b"\x0bSocket-Type"
    told = {
        "HTTP GET": b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\n\r\n",
        "HTTP POST of ZMTP 1 frames": b"POST / HTTP/1.1\r\n\r\n" + b"\x01\x00\x7d\x00" * 75,
        "WebSocket": b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "TLS": bytes.fromhex("16030100c4010000c00303") + bytes(200),
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(64),
        "zeros": bytes(1000),
        "noise": NOISE,
        "noise after the greeting": GREETING + NOISE[: 1 << 16],
        "ZMTP 1": b"\x01\x00" + b"\x05\x00SMT1" * 20,
        "ZMTP 1 of a long identity": b"\xff" + struct.pack(">Q", 300) + bytes(400),
        "ZMTP 2": SIGNATURE + b"\x01\x05\x00\x00" + b"\x00\x04SMT1" * 20,
        "ZMTP 2.0 of a ROUTER": SIGNATURE + b"\x01\x06\x00\x00" + b"\x00\x04SMT1" * 20,
        "PLAIN": plain + command(b"HELLO", b"\x04user\x04word"),
        "CURVE": curve + command(b"HELLO", bytes(194)),
        "a mechanism of noise": GREETING[:12] + b"\x80" * 20 + GREETING[32:],
        "no READY": GREETING + b"\x00\x04SMT1",
        "READY cut in a property": GREETING + command(b"READY", of_type + b"\0\0"),
        "READY of 2^31 bytes of type": GREETING + command(b"READY", of_type + b"\x7f\xff\xff\xffD"),
        "READY of no socket": GREETING + command(b"READY", of_type + b"\0\0\0\4NONE"),
        "READY of a PUB": GREETING + command(b"READY", of_type + b"\0\0\0\3PUB"),
        "READY of a PULL": GREETING + command(b"READY", of_type + b"\0\0\0\4PULL"),
        "HELLO instead of READY": GREETING + command(b"HELLO", bytes(194)),
        "a command without a name": GREETING + bytes([COMMAND, 0]),
        "2^63 bytes": HANDSHAKE + bytes([LONG]) + struct.pack(">Q", 1 << 63),
        "2^64 - 1 bytes": HANDSHAKE + bytes([LONG]) + b"\xff" * 8,
        "4 GiB, then silence": HANDSHAKE + bytes([LONG]) + struct.pack(">Q", 1 << 32),
        "a byte over the limit": HANDSHAKE + bytes([LONG]) + struct.pack(">Q", FRAME_BYTES_MAX + 1),
        "a command of 2^40 bytes": HANDSHAKE + b"\x06" + struct.pack(">Q", 1 << 40),
        "a SUBSCRIBE of 5 MiB": HANDSHAKE + command(b"SUBSCRIBE", bytes(5 << 20)),
    }
    for name, data in told.items():
        yield name, Case("socket", data, ("closed",))


def bad_envelopes() -> Iterator[tuple[str, Case]]:
    kind = MessageType.PING
    told = {
        "wrong magic": frame(kind, PING, magic=b"SMT2"),
        "magic in small letters": frame(kind, PING, magic=b"smt1"),
        "empty": b"",
        "one byte": b"S",
        "magic alone": b"SMT1",
        "31 bytes": frame(kind, PING)[:31],
        "protocol 0": frame(kind, PING, protocol=0),
        "protocol 2": frame(kind, PING, protocol=2),
        "protocol 65535": frame(kind, PING, protocol=65535),
        "protocol in the other order": frame(kind, PING, protocol=256),
        **{f"type {code}": frame(code, PING) for code in (0, 9, 20, 40, 63, 66, 128, 255)},
        **{f"flag {1 << bit}": frame(kind, PING, flags=1 << bit) for bit in range(8)},
        "checksum": frame(kind, PING, crc=1),
        "checksum 0": frame(kind, PING, crc=0),
        "number repeated": frame(kind, PING, seq=1),
        "number 0 again": frame(kind, PING, seq=0),
        "number skipped": frame(kind, PING, seq=3),
        "number 2^31": frame(kind, PING, seq=1 << 31),
        "number 2^32 - 1": frame(kind, PING, seq=(1 << 32) - 1),
        "a job where none may be": frame(kind, PING, job=JOB),
        "no job where one has to be": frame(MessageType.BEGIN, b"{}"),
        "a job of all ones": frame(MessageType.BEGIN, b"{}", job=ALL_ONES, seq=0),
        "a first number that isn't 0": encode(Begin((IMAGE,), OUTPUTS), 1, JOB),
        "no body": frame(kind, b""),
        "64 KiB and a byte": frame(kind, PING.ljust((1 << 16) + 1)),
        "4 MiB of JSON": frame(kind, PING.ljust(4 << 20)),
        "a chunk of nothing": frame(MessageType.CHUNK, b"", JOB, 0),
        "a chunk of no job": frame(MessageType.CHUNK, b"x", JOB, 0),
    }
    for name, message in told.items():
        yield name, Case("welcome", (message,))


def bad_json() -> Iterator[tuple[str, Case]]:
    texts = {
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
        "msgpack": b"\x81\xa6number\x01",
        "gzip": b"\x1f\x8b\x08\x00" + bytes(20),
        "nothing but spaces": b"   ",
        "half an object": b'{"number":',
        "two objects": b'{"number":1}{"number":1}',
        "a comma too many": b'{"number":1,}',
        "single quotes": b"{'number':1}",
        "a byte order mark": b'\xef\xbb\xbf{"number":1}',
        "UTF-16": '{"number":1}'.encode("utf-16"),
        "UTF-8 that is none": b'{"number":1,"x":"\xff"}',
        "an overlong slash": b'{"number":1,"x":"\xc0\xaf"}',
        "half a surrogate pair": b'{"number":1,"x":"\\ud800"}',
        "NUL": b'{"number":1,"x":"\\u0000"}',
        "a line end in a text": b'{"number":1,"x":"a\\nb"}',
        "right to left": '{"number":1,"x":"\u202egnp.exe"}'.encode(),
        "right to left in a key": '{"number":1,"\u2066x":0}'.encode(),
        "a text of 4097": b'{"number":1,"x":"%s"}' % (b"x" * 4097),
        "a key of 4097": b'{"number":1,"%s":0}' % (b"x" * 4097),
        "depth 9": b'{"number":1,"x":' + b"[" * 8 + b"]" * 8 + b"}",
        "depth 10,000": b"[" * 10_000,
        "depth 60,000": b'{"x":' * 12_000,
        "a key twice": b'{"number":1,"number":1}',
        "a key twice, deep": b'{"number":1,"x":{"y":1,"y":2}}',
        "NaN": b'{"number":NaN}',
        "Infinity": b'{"number":1,"x":-Infinity}',
        "1e999": b'{"number":1,"x":1e999}',
        "10,000 digits": b'{"number":' + b"9" * 10_000 + b"}",
        "2^53": b'{"number":9007199254740992}',
        "-1": b'{"number":-1}',
        "1.0": b'{"number":1.0}',
        "1e3": b'{"number":1e3}',
        "true": b'{"number":true}',
        "null": b'{"number":null}',
        "a text for a number": b'{"number":"1"}',
        "a list for a number": b'{"number":[1]}',
        "no field": b"{}",
        "a list": b"[]",
        "a number": b"1",
        "null alone": b"null",
        "a text alone": b'"number"',
    }
    for name, text in texts.items():
        yield f"JSON: {name}", Case("welcome", (frame(MessageType.PING, text),))


def begin_with(plane: dict | None = None, **changes: object) -> bytes:
    """A BEGIN whose image or whose other fields are changed; None leaves a field out."""
    image = {
        "role": "image", "width": 8, "height": 4,
        "order": "RGBA", "sample": "u8", "encoding": "srgb", **(plane or {}),
    }  # fmt: skip
    body = {
        "planes": [image],
        "outputs": [{"role": "alpha", "order": "GRAY", "sample": "u8"}],
        **changes,
    }
    text = json.dumps({name: value for name, value in body.items() if value is not None})
    return frame(MessageType.BEGIN, text.encode(), JOB, 0)


def bad_geometry() -> Iterator[tuple[str, Case]]:
    sides = (0, -1, 65_536, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 63, 8.0, True, "8", [8], None)
    for side in sides:
        name = json.dumps(side)
        yield f"width {name}", Case("welcome", (begin_with({"width": side}),), (GEOMETRY, MESSAGE))
        yield (
            f"height {name}",
            Case("welcome", (begin_with({"height": side}),), (GEOMETRY, MESSAGE)),
        )
    planes: dict[str, dict] = {
        "65,535 x 65,535": {"width": 65_535, "height": 65_535},
        "120 million pixels and more": {"width": 60_000, "height": 2001},
        **{f"order {order}": {"order": order} for order in ("CMYK", "rgba", "", "RGBX", "LAB", 4)},
        **{
            f"sample {sample}": {"sample": sample} for sample in ("f64", ">u2", "O", "c8", "u8 ", 8)
        },
        **{f"encoding {text}": {"encoding": text} for text in ("adobe", "coverage", "SRGB")},
        **{f"role {role}": {"role": role} for role in ("alpha", "foreground", "mask", "", 1)},
    }
    for name, plane in planes.items():
        yield name, Case("welcome", (begin_with(plane),), (GEOMETRY, MESSAGE))


def bad_begins() -> Iterator[tuple[str, Case]]:
    image = {
        "role": "image",
        "width": 8,
        "height": 4,
        "order": "RGBA",
        "sample": "u8",
        "encoding": "srgb",
    }
    selection = {**image, "role": "selection", "order": "GRAY", "encoding": "coverage"}
    alpha = {"role": "alpha", "order": "GRAY", "sample": "u8"}
    bodies: dict[str, dict] = {
        "no planes": {"planes": []},
        "planes left out": {"planes": None},
        "a plane without a width": {"planes": [{"role": "image"}]},
        "two images": {"planes": [image, image]},
        "four planes": {"planes": [image, selection, selection, selection]},
        "a selection alone": {"planes": [selection]},
        "a selection of another size": {"planes": [image, {**selection, "width": 9}]},
        "a selection in colour": {"planes": [image, {**selection, "order": "RGB"}]},
        "no outputs": {"outputs": []},
        "an output twice": {"outputs": [alpha, alpha]},
        "four outputs": {"outputs": [alpha] * 4},
        "an alpha in colour": {"outputs": [{**alpha, "order": "RGB"}]},
        "an image as output": {"outputs": [{**alpha, "role": "image"}]},
        "options as a list": {"options": []},
        "options as a text": {"options": "matter=fba"},
        "a deadline of -1": {"deadline_s": -1},
        "a deadline of two days": {"deadline_s": 172_800},
        "a deadline as text": {"deadline_s": "soon"},
        "keep as 1": {"keep": 1},
        "a model of 4097 characters": {"options": {"matter": "x" * 4097}},
        "a model of 60,000 characters": {"options": {"matter": "x" * 60_000}},
    }
    for name, changes in bodies.items():
        yield name, Case("welcome", (begin_with(**changes),), (GEOMETRY, MESSAGE))


def out_of_place() -> Iterator[tuple[str, Case]]:
    hello = encode_hello()
    before = {
        "status": encode(Status(), 0),
        "ping": encode(Ping(1), 0),
        "shutdown": encode(Shutdown(), 0),
        "proof": encode(Proof("0" * 64), 0),
        "begin": encode(Begin((IMAGE,), OUTPUTS), 0, JOB),
        "cancel": encode(Cancel(), 0, JOB),
        "noise": NOISE[:1000],
        "4 MiB": NOISE[: 1 << 16] * 64,
        "nothing": b"",
        "a hello of versions 2 to 1": frame(MessageType.HELLO, _hello(2, 1), seq=0),
        "a hello of version 0": frame(MessageType.HELLO, _hello(0, 1), seq=0),
        "a hello with a short nonce": frame(MessageType.HELLO, _hello(1, 1, "0" * 63), seq=0),
        "a hello with a nonce in capitals": frame(MessageType.HELLO, _hello(1, 1, "A" * 64), seq=0),
        "a hello without a name": frame(MessageType.HELLO, _hello(1, 1, application=""), seq=0),
    }
    for name, message in before.items():
        yield f"before hello: {name}", Case("stranger", (message,))
    between = {
        "status": encode(Status(), 1),
        "hello": frame(MessageType.HELLO, hello[HEADER.size :], seq=1),
        "shutdown": encode(Shutdown(), 1),
        "begin": encode(Begin((IMAGE,), OUTPUTS), 0, JOB),
        "proof too early by number": encode(Proof("0" * 64), 2),
        "short proof": frame(MessageType.PROOF, b'{"proof":"00"}', seq=1),
    }
    for name, message in between.items():
        yield f"before proof: {name}", Case("challenged", (message,))
    wrong = (encode(Proof("0" * 64), 1),)
    yield "a wrong proof", Case("challenged", wrong, ("not_authorised",))
    bodies = (Facts(1, "cpu"), Unload(), Draining("idle"), Error("busy", "No."))
    for body in (*bodies, Proof("0" * 64)):
        yield f"a client's {type(body).__name__}", Case("welcome", (encode(body, 2),))
    yield "hello again", Case("welcome", (frame(MessageType.HELLO, hello[HEADER.size :]),))
    for body in (Cancel(), Grant(1), End(1), Progress("matting", 0.5)):
        name = f"{type(body).__name__} of a job that never was"
        yield name, Case("welcome", (encode(body, 0, JOB),))
    source = Refine(OTHER_JOB.hex(), OUTPUTS)
    yield "refine of nothing", Case("welcome", (encode(source, 0, JOB),), ("not_kept",))
    short = frame(MessageType.REFINE, b'{"source":"00","outputs":[]}', JOB, 0)
    yield "refine of half an id", Case("welcome", (short,), (MESSAGE, GEOMETRY))
    forever = frame(MessageType.SHUTDOWN, b'{"drain_s":1e9}')
    yield "a shutdown in 30 years", Case("welcome", (forever,))


def within_jobs() -> Iterator[tuple[str, Case]]:
    """The second message of JOB, which has its credit."""
    half = _chunk(PIXELS[:64], 1)
    told: dict[str, tuple[tuple[bytes, ...], tuple[str, ...]]] = {
        "a byte too many": ((_chunk(PIXELS + b"x", 1),), (GEOMETRY,)),
        "4 MiB too many": ((_chunk(bytes(4 << 20), 1),), (GEOMETRY,)),
        "a byte too few": ((_chunk(PIXELS[:-1], 1), encode(End(128), 2, JOB)), (GEOMETRY,)),
        "nothing at all": ((encode(End(0), 1, JOB),), (GEOMETRY,)),
        "an end that counts wrong": ((_chunk(PIXELS, 1), encode(End(127), 2, JOB)), (GEOMETRY,)),
        "a chunk after all": ((_chunk(PIXELS, 1), _chunk(b"x", 2)), (GEOMETRY,)),
        "an empty chunk": ((frame(MessageType.CHUNK, b"", JOB, 1),), (MESSAGE,)),
        "a chunk repeated": ((half, half), (MESSAGE,)),
        "a chunk skipped": ((_chunk(PIXELS, 2),), (MESSAGE,)),
        "a chunk changed": ((frame(MessageType.CHUNK, PIXELS, JOB, 1, crc=7),), (MESSAGE,)),
        "chunks beyond the credit": (tuple(_chunk(b"x", seq) for seq in range(1, 80)), (MESSAGE,)),
        "begin again": ((encode(Begin((IMAGE,), OUTPUTS), 1, JOB),), (MESSAGE,)),
        "its id in a refine": ((encode(Refine(JOB.hex(), OUTPUTS), 1, JOB),), (MESSAGE,)),
        "credit of 0": ((frame(MessageType.GRANT, b'{"chunks":0}', JOB, 1),), (MESSAGE,)),
        "credit of 1025": ((frame(MessageType.GRANT, b'{"chunks":1025}', JOB, 1),), (MESSAGE,)),
        "an end that isn't JSON": ((frame(MessageType.END, b"128", JOB, 1),), (MESSAGE,)),
        "a negative end": ((frame(MessageType.END, b'{"byte_count":-1}', JOB, 1),), (MESSAGE,)),
        "a worker's progress": ((encode(Progress("matting", 0.5), 1, JOB),), (MESSAGE,)),
    }
    for name, (messages, codes) in told.items():
        yield f"within a job: {name}", Case("job", messages, codes)


def _hello(low: int, high: int, nonce: str = "0" * 64, application: str = "x") -> bytes:
    values = {"protocol_min": low, "protocol_max": high, "nonce": nonce}
    return json.dumps({**values, "application": application, "application_version": "0"}).encode()


def encode_hello() -> bytes:
    return frame(MessageType.HELLO, _hello(HELLO.protocol_min, HELLO.protocol_max), seq=0)


def _chunk(pixels: bytes, seq: int) -> bytes:
    return chunk_header(pixels, seq, JOB) + pixels


SOURCES: tuple[Callable[[], Iterator[tuple[str, Case]]], ...] = (
    on_sockets,
    bad_envelopes,
    bad_json,
    bad_geometry,
    bad_begins,
    out_of_place,
    within_jobs,
)


def all_cases() -> dict[str, Case]:
    """By what is wrong."""
    cases: dict[str, Case] = {}
    for source in SOURCES:
        for name, case in source():
            if name in cases:
                raise ValueError(name)
            cases[name] = case
    return cases
