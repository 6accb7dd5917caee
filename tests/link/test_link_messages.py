"""Bodies and envelopes: what was written is read, and nothing else is."""

import contextlib
import dataclasses
import json
from typing import Any
from zlib import crc32

import pytest
from bodies import BODY_CLASSES, JSON_VALUES, OBJECTS, bodies
from hypothesis import given, settings, strategies

from smart_matte_link.envelope import (
    HEADER,
    HEADER_BYTES,
    NO_JOB,
    Inflow,
    Numbering,
    chunk_header,
    decode,
    encode,
    renumber,
)
from smart_matte_link.errors import LinkError, ProtocolError
from smart_matte_link.messages import (
    CHUNK_BYTES_MAX,
    ERROR_CODES,
    LASTING_TYPES,
    RULES,
    TYPE_OF,
    Begin,
    Cancel,
    End,
    Hello,
    MessageType,
    Output,
    Ping,
    Plane,
    Progress,
    Rule,
    Status,
    Welcome,
    choose_protocol,
    make_error,
    new_job_id,
    sent_by,
)
from smart_matte_link.strict_json import JSON_BYTES_MAX, from_json, parse, to_json

JOB = b"\x01" * 16


def job_for(body_class: type) -> bytes:
    return JOB if RULES[TYPE_OF[body_class]].about == "job" else NO_JOB


@pytest.mark.parametrize("body_class", BODY_CLASSES, ids=lambda body: body.__name__)
@settings(max_examples=30, deadline=None)
@given(data=strategies.data(), seq=strategies.integers(0, 2**32 - 1))
def test_every_body_survives_its_way_there_unchanged(
    body_class: type, data: strategies.DataObject, seq: int
) -> None:
    body = data.draw(bodies(body_class))
    frame = encode(body, seq, job_for(body_class), 1)
    assert decode(frame, protocol=1) == (TYPE_OF[body_class], job_for(body_class), seq, body)


@given(pixels=strategies.binary(min_size=1, max_size=300), seq=strategies.integers(0, 2**32 - 1))
def test_a_chunk_survives_its_way_there_unchanged(pixels: bytes, seq: int) -> None:
    message = decode(chunk_header(pixels, seq, JOB) + pixels, protocol=1)
    assert message == (MessageType.CHUNK, JOB, seq, pixels)


def test_the_largest_chunk_is_read_without_being_copied() -> None:
    pixels = bytes(CHUNK_BYTES_MAX)
    frame = chunk_header(pixels, 0, JOB) + pixels
    assert decode(frame, protocol=1).body.obj is frame


@settings(max_examples=300)
@given(frame=strategies.binary(max_size=200))
def test_random_bytes_are_refused_in_words(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(frame, protocol=1)


@settings(max_examples=300)
@given(position=strategies.integers(0), bit=strategies.integers(0, 7))
def test_no_single_flipped_bit_goes_unnoticed_but_in_the_job_id_and_number(
    position: int, bit: int
) -> None:
    frame = bytearray(encode(Progress("matting", 0.25), 3, JOB))
    position %= len(frame)
    frame[position] ^= 1 << bit
    if 8 <= position < 28:
        message = decode(frame, protocol=1)
        assert (message.job, message.seq) != (JOB, 3)
    else:
        with pytest.raises(ProtocolError):
            decode(frame, protocol=1)


@settings(max_examples=300)
@given(body=OBJECTS | JSON_VALUES)
@pytest.mark.parametrize("body_class", [Begin, Hello, Welcome], ids=lambda body: body.__name__)
def test_json_of_any_other_shape_is_refused_in_words(
    body_class: type, body: dict[str, Any]
) -> None:
    with pytest.raises(ProtocolError):
        from_json(body_class, json.dumps(body).encode())


@given(
    body=bodies(Welcome),
    extra=OBJECTS.filter(
        lambda extra: not {f.name for f in dataclasses.fields(Welcome)} & {*extra}
    ),
)
def test_unknown_keys_are_ignored(body: Welcome, extra: dict[str, Any]) -> None:
    encoded = json.dumps(json.loads(to_json(body)) | extra).encode()
    assert from_json(Welcome, encoded) == body


@pytest.mark.parametrize("body_class", BODY_CLASSES, ids=lambda body: body.__name__)
@settings(max_examples=5, deadline=None)
@given(data=strategies.data())
def test_a_missing_mandatory_key_is_refused(body_class: type, data: strategies.DataObject) -> None:
    whole = json.loads(to_json(data.draw(bodies(body_class))))
    for field in dataclasses.fields(body_class):
        part = {name: value for name, value in whole.items() if name != field.name}
        is_mandatory = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if is_mandatory:
            with pytest.raises(ProtocolError, match=field.name):
                from_json(body_class, json.dumps(part).encode())
        else:
            from_json(body_class, json.dumps(part).encode())


@pytest.mark.parametrize("body_class", BODY_CLASSES, ids=lambda body: body.__name__)
@settings(max_examples=5, deadline=None)
@given(data=strategies.data())
def test_a_value_of_another_type_is_refused(body_class: type, data: strategies.DataObject) -> None:
    whole = json.loads(to_json(data.draw(bodies(body_class))))
    for name, value in whole.items():
        for other in (None, True, 1, 1.5, "a", [], {}, [[]], ["a", 1]):
            is_alike = type(other) is type(value) or {type(other), type(value)} == {int, float}
            is_optional = other is None and name in {"deadline_s", "retry_after_s"}
            if not is_alike and not is_optional:
                with pytest.raises(ProtocolError):
                    from_json(body_class, json.dumps(whole | {name: other}).encode())


PROGRESS = encode(Progress("matting", 0.5), 1, JOB)
PING = encode(Ping(1), 0)


def changed(frame: bytes, **fields: Any) -> bytes:
    """The frame with other header fields; the checksum is made to fit unless it is given."""
    names = ("magic", "protocol", "type", "flags", "job", "seq", "checksum")
    values = dict(zip(names, HEADER.unpack(frame[:HEADER_BYTES]), strict=True))
    body = fields.pop("body", frame[HEADER_BYTES:])
    values["checksum"] = crc32(body)
    values.update(fields)
    return HEADER.pack(*values.values()) + body


def with_body(body: bytes) -> bytes:
    return changed(PROGRESS, body=body)


ENVELOPES = {
    "31 wrong magic": changed(PROGRESS, magic=b"SMT2"),
    "31 http": b"GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAccept: */*\r\n\r\n",
    "32 nothing": b"",
    "32 half a header": PROGRESS[:31],
    "33 protocol 0": changed(PROGRESS, protocol=0),
    "33 protocol 65535": changed(PROGRESS, protocol=65535),
    "33 protocol 2 in a lasting message": changed(
        encode(make_error("busy", "Full."), 0), protocol=2
    ),
    "34 type 0": changed(PROGRESS, type=0),
    "34 type 255": changed(PROGRESS, type=255),
    "34 type between two groups": changed(PROGRESS, type=15),
    "35 flags": changed(PROGRESS, flags=1),
    "35 all flags": changed(PROGRESS, flags=255),
    "36 wrong checksum": changed(PROGRESS, checksum=0),
    "36 body cut": PROGRESS[:-1],
    "36 body longer": PROGRESS + b" ",
    "44 empty chunk": chunk_header(b"", 0, JOB),
    "44 chunk too large": chunk_header(bytes(CHUNK_BYTES_MAX + 1), 0, JOB)
    + bytes(CHUNK_BYTES_MAX + 1),
    "45 no job id": changed(PROGRESS, job=NO_JOB),
    "45 job id of all ones": changed(PROGRESS, job=b"\xff" * 16),
    "45 job id in a ping": changed(PING, job=JOB),
    "49 json of 64 KiB and 1": with_body(b'{"stage":"a","fraction":0,"x":"%s"}' % (b"a" * 65536)),
    "50 depth 10000": with_body(b'{"stage":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    "50 depth 9": with_body(b'{"x":' + b"[" * 8 + b"]" * 8 + b',"stage":"a","fraction":0}'),
    "50 never closed": with_body(b"[" * 60_000),
    "50 quotes that never end": with_body(b'{"' + b'\\"' * 30_000),
    "51 integer of 10000 digits": with_body(
        b'{"stage":"a","fraction":0,"ahead":' + b"9" * 10_000 + b"}"
    ),
    "51 integer of 17 digits": with_body(b'{"stage":"a","fraction":0,"ahead":10000000000000000}'),
    "51 integer just too large": with_body(b'{"stage":"a","fraction":0,"ahead":9007199254740992}'),
    "51 number too large": with_body(b'{"stage":"a","fraction":1e999}'),
    "51 number too large anywhere": with_body(b'{"stage":"a","fraction":0,"x":-1e999}'),
    "52 key twice": with_body(b'{"stage":"a","stage":"b","fraction":0}'),
    "52 key twice inside": with_body(b'{"stage":"a","fraction":0,"x":{"y":1,"y":1}}'),
    "53 NaN": with_body(b'{"stage":"a","fraction":NaN}'),
    "53 Infinity": with_body(b'{"stage":"a","fraction":Infinity}'),
    "53 -Infinity": with_body(b'{"stage":"a","fraction":0,"x":-Infinity}'),
    "54 not UTF-8": with_body(b'{"stage":"\xff","fraction":0}'),
    "54 overlong UTF-8": with_body(b'{"stage":"\xc0\xaf","fraction":0}'),
    "54 half a surrogate pair": with_body(b'{"stage":"\\ud800","fraction":0}'),
    "54 NUL": with_body(b'{"stage":"a\\u0000","fraction":0}'),
    "54 line feed": with_body(b'{"stage":"a\\nb","fraction":0}'),
    "54 escape": with_body(b'{"stage":"a\\u001b[2J","fraction":0}'),
    "54 C1 control": with_body(b'{"stage":"a\\u009b","fraction":0}'),
    "54 right-to-left override": with_body(b'{"stage":"a\\u202e","fraction":0}'),
    "54 odd character in a key": with_body(b'{"stage":"a","fraction":0,"\\u2066":1}'),
    "54 odd character deep inside": with_body(b'{"stage":"a","fraction":0,"x":[{"y":"\\u0007"}]}'),
    "55 null for a text": with_body(b'{"stage":null,"fraction":0}'),
    "55 list for a text": with_body(b'{"stage":["a"],"fraction":0}'),
    "55 true for a number": with_body(b'{"stage":"a","fraction":true}'),
    "55 true for an integer": with_body(b'{"stage":"a","fraction":0,"ahead":true}'),
    "55 text for a number": with_body(b'{"stage":"a","fraction":"0"}'),
    "56 1e3 for an integer": with_body(b'{"stage":"a","fraction":0,"ahead":1e3}'),
    "56 1.0 for an integer": with_body(b'{"stage":"a","fraction":0,"ahead":1.0}'),
    "57 mandatory key missing": with_body(b'{"stage":"a"}'),
    "58 text too long": with_body(b'{"stage":"%s","fraction":0}' % (b"a" * 101)),
    "58 text empty": with_body(b'{"stage":"","fraction":0}'),
    "58 free text too long": with_body(b'{"stage":"a","fraction":0,"x":"%s"}' % (b"a" * 5000)),
    "58 fraction over 1": with_body(b'{"stage":"a","fraction":1.0001}'),
    "58 fraction below 0": with_body(b'{"stage":"a","fraction":-0.0001}'),
    "58 negative count": with_body(b'{"stage":"a","fraction":0,"ahead":-1}'),
    "60 pickle": with_body(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."),
    "60 gzip": with_body(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00"),
    "60 msgpack": with_body(b"\x82\xa5stage\xa1a\xa8fraction\x00"),
    "60 empty body": with_body(b""),
    "60 a list": with_body(b'["stage"]'),
    "60 a text": with_body(b'"stage"'),
    "60 nothing but space": with_body(b"   "),
    "60 two values": with_body(b'{"stage":"a","fraction":0}{}'),
    "60 a comment": with_body(b'{"stage":"a","fraction":0}//'),
    "60 byte order mark": with_body(b'\xef\xbb\xbf{"stage":"a","fraction":0}'),
}


@pytest.mark.parametrize("frame", ENVELOPES.values(), ids=ENVELOPES.keys())
def test_a_malformed_message_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(frame, protocol=1)
    assert caught.value.code == "bad_message"
    assert 10 < len(str(caught.value)) < 200
    decode(PROGRESS, protocol=1)


@pytest.mark.parametrize(
    "frame",
    [
        with_body(b'{"stage":"a","fraction":0}'),
        with_body(b'{"stage":"a","fraction":1}'),
        with_body(b' { "stage" : "\\u05d0\\u05d1" , "fraction" : 5e-1 } '),
        with_body(b'{"stage":"a","fraction":0,"x":' + b"[" * 7 + b"]" * 7 + b"}"),
        with_body(b'{"stage":"[[[[[[[[[[","fraction":0}'),
        with_body(b'{"stage":"a\\"[[[[[[[[[[","fraction":0}'),
        with_body(b'{"stage":"a","fraction":0,"ahead":9007199254740991}'),
    ],
)
def test_what_is_just_within_the_rules_is_read(frame: bytes) -> None:
    assert decode(frame, protocol=1).type is MessageType.PROGRESS


@pytest.mark.parametrize("sender", ["client", "backend", "broker", "worker"])
@pytest.mark.parametrize("kind", MessageType)
def test_a_side_may_send_its_own_messages_only(kind: MessageType, sender: str) -> None:
    rule: Rule = RULES[kind]
    job = JOB if rule.about == "job" else NO_JOB
    frame = HEADER.pack(b"SMT1", 1, kind, 0, job, 0, crc32(b"{}")) + b"{}"
    complaint = complaint_about(frame, sent_by(sender), 1)
    assert ("may not be sent" in complaint) == (sender not in rule.senders)


def complaint_about(frame: bytes, *arguments: Any) -> str:
    """What decode says against a frame; nothing when it likes it."""
    try:
        decode(frame, *arguments)
    except ProtocolError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", MessageType)
def test_before_the_welcome_only_lasting_messages_are_read(kind: MessageType) -> None:
    job = JOB if RULES[kind].about == "job" else NO_JOB
    frame = HEADER.pack(b"SMT1", 1, kind, 0, job, 0, crc32(b"{}")) + b"{}"
    assert ("where none was agreed" in complaint_about(frame)) == (kind not in LASTING_TYPES)


def test_lasting_messages_say_protocol_1_in_every_version() -> None:
    assert decode(encode(make_error("busy", "Full."), 0, protocol=7), protocol=7)
    assert decode(encode(Ping(1), 0, protocol=7), protocol=7)
    with pytest.raises(ProtocolError, match="protocol 7 where 6"):
        decode(encode(Ping(1), 0, protocol=7), protocol=6)


@pytest.mark.parametrize(
    "numbers", [[1], [0, 0], [0, 2], [0, 1, 0], [0, 1, 3], [2**32 - 1]], ids=str
)
def test_repeated_skipped_and_reversed_numbers_are_refused(numbers: list[int]) -> None:
    numbering = Numbering()
    messages = [decode(encode(Cancel(), number, JOB), protocol=1) for number in numbers]
    for message in messages[:-1]:
        numbering.check(message)
    with pytest.raises(ProtocolError, match="was next"):
        numbering.check(messages[-1])
    numbering.check(messages[-1]._replace(seq=len(messages) - 1))


def test_each_job_and_the_connection_have_numbers_of_their_own() -> None:
    numbering = Numbering()
    assert [numbering.take(JOB), numbering.take(), numbering.take(JOB)] == [0, 0, 1]
    numbering.forget(JOB)
    assert [numbering.take(JOB), numbering.take()] == [0, 1]


def test_a_frame_can_be_renumbered_without_touching_its_body() -> None:
    frame = bytearray(encode(Progress("matting", 0.5), 1, JOB))
    renumber(frame, 77)
    assert decode(frame, protocol=1) == (MessageType.PROGRESS, JOB, 77, Progress("matting", 0.5))


@pytest.mark.parametrize(
    ("declared", "chunks", "counted"),
    [(10, [10, 1], 11), (10, [9], 9), (10, [9], 10), (10, [10], 9), (10, [], 0), (0, [1], 1)],
)
def test_more_or_fewer_bytes_than_declared_are_refused(
    declared: int, chunks: list[int], counted: int
) -> None:
    inflow = Inflow(declared)

    def receive() -> None:
        for chunk in chunks:
            inflow.add(chunk)
        inflow.finish(counted)

    with pytest.raises(ProtocolError) as caught:
        receive()
    assert caught.value.code == "bad_geometry"


def test_the_first_byte_too_many_is_refused_before_the_end() -> None:
    inflow = Inflow(10)
    inflow.add(10)
    with pytest.raises(ProtocolError):
        inflow.add(1)
    assert inflow.received == 10


def test_exactly_the_declared_bytes_are_taken() -> None:
    inflow = Inflow(10)
    inflow.add(3)
    inflow.add(7)
    inflow.finish(10)


IMAGE = {
    "role": "image",
    "width": 4,
    "height": 3,
    "order": "RGBA",
    "sample": "u8",
    "encoding": "srgb",
}
ALPHA = {"role": "alpha", "order": "GRAY", "sample": "u8"}
SELECTION = IMAGE | {"role": "selection", "order": "GRAY", "encoding": "coverage"}


def begin(*planes: dict[str, Any], outputs: Any = (ALPHA,)) -> bytes:
    return json.dumps({"planes": planes, "outputs": outputs}).encode()


GEOMETRIES = {
    "61 width 0": begin(IMAGE | {"width": 0}),
    "62 height 0": begin(IMAGE | {"height": 0}),
    "63 width negative": begin(IMAGE | {"width": -1}),
    "64 width 65536": begin(IMAGE | {"width": 65_536}),
    "64 width 2^31": begin(IMAGE | {"width": 2**31}),
    "64 width 2^32 + 1": begin(IMAGE | {"width": 2**32 + 1}),
    "65 65535 x 65535": begin(IMAGE | {"width": 65_535, "height": 65_535}),
    "66 bytes over 2^32": begin(
        IMAGE | {"width": 65_535, "height": 65_535, "sample": "f32", "order": "RGBA"}
    ),
    "67 no channels": begin(IMAGE | {"order": ""}),
    "67 6 channels": begin(IMAGE | {"order": "RGBAXY"}),
    "67 CMYK": begin(IMAGE | {"order": "CMYK"}),
    "67 channels in lower case": begin(IMAGE | {"order": "rgba"}),
    "68 f64": begin(IMAGE | {"sample": "f64"}),
    "68 big-endian": begin(IMAGE | {"sample": ">u2"}),
    "68 object": begin(IMAGE | {"sample": "O"}),
    "68 complex": begin(IMAGE | {"sample": "c8"}),
    "68 unknown encoding": begin(IMAGE | {"encoding": "adobe-rgb"}),
    "71 120 MP and a little": begin(IMAGE | {"width": 12_001, "height": 10_000}),
    "72 over 2.4 GB": begin(
        IMAGE | {"width": 12_000, "height": 10_000, "sample": "f32"},
        SELECTION | {"width": 12_000, "height": 10_000, "sample": "f32"},
        SELECTION | {"role": "trimap", "width": 12_000, "height": 10_000},
    ),
    "92 selection of another size": begin(IMAGE, SELECTION | {"width": 5}),
    "no image": begin(SELECTION),
    "no planes": begin(),
    "four planes": begin(IMAGE, SELECTION, SELECTION, SELECTION),
    "two images": begin(IMAGE, IMAGE),
    "two selections": begin(IMAGE, SELECTION, SELECTION),
    "an output as input": begin(IMAGE, SELECTION | {"role": "alpha"}),
    "an unknown role": begin(IMAGE, SELECTION | {"role": "depth"}),
    "a selection in colour": begin(IMAGE, SELECTION | {"order": "RGB"}),
    "a selection in sRGB": begin(IMAGE, SELECTION | {"encoding": "srgb"}),
    "an image of coverage": begin(IMAGE | {"encoding": "coverage"}),
    "no outputs": begin(IMAGE, outputs=()),
    "an output twice": begin(IMAGE, outputs=(ALPHA, ALPHA)),
    "an input as output": begin(IMAGE, outputs=(ALPHA | {"role": "image"},)),
    "an alpha in colour": begin(IMAGE, outputs=(ALPHA | {"order": "RGBA"},)),
}

MALFORMED_BEGINS = {
    "64 width 2^63": begin(IMAGE | {"width": 2**63}),
    "56 width 1e3": begin(IMAGE).replace(b'"width": 4', b'"width": 1e3'),
    "55 width true": begin(IMAGE | {"width": True}),
    "55 width null": begin(IMAGE | {"width": None}),
    "planes no list": json.dumps({"planes": IMAGE, "outputs": [ALPHA]}).encode(),
    "a plane no object": json.dumps({"planes": [4], "outputs": [ALPHA]}).encode(),
    "options no object": json.dumps(
        {"planes": [IMAGE], "outputs": [ALPHA], "options": []}
    ).encode(),
    "deadline negative": json.dumps(
        {"planes": [IMAGE], "outputs": [ALPHA], "deadline_s": -1}
    ).encode(),
    "keep 1": json.dumps({"planes": [IMAGE], "outputs": [ALPHA], "keep": 1}).encode(),
}


@pytest.mark.parametrize("encoded", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_impossible_planes_are_refused(encoded: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_json(Begin, encoded)
    assert caught.value.code == "bad_geometry"


@pytest.mark.parametrize("encoded", MALFORMED_BEGINS.values(), ids=MALFORMED_BEGINS.keys())
def test_a_malformed_begin_is_refused(encoded: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_json(Begin, encoded)
    assert caught.value.code == "bad_message"


@pytest.mark.parametrize(
    ("changes", "byte_count"),
    [
        ({}, 48),
        ({"width": 1, "height": 1, "order": "GRAY"}, 1),
        ({"width": 30_000, "height": 1}, 120_000),
        ({"width": 1, "height": 30_000, "sample": "f16", "order": "GRAYA"}, 120_000),
        ({"width": 12_000, "height": 10_000, "sample": "f32"}, 1_920_000_000),
        ({"width": 65_535, "height": 1831, "order": "BGR", "sample": "u16"}, 719_967_510),
        ({"stride": 99}, 48),
    ],
    ids=str,
)
def test_planes_at_the_limits_are_taken_and_counted(
    changes: dict[str, Any], byte_count: int
) -> None:
    assert from_json(Begin, begin(IMAGE | changes)).byte_count == byte_count


def test_an_unknown_layout_is_refused_also_when_made_by_hand() -> None:
    with pytest.raises(ProtocolError):
        Plane("image", 4, 3, "CMYK", "u8", "srgb")
    with pytest.raises(ProtocolError):
        Output("alpha", "RGB", "u8")


def test_what_json_cannot_hold_is_refused_before_it_is_sent() -> None:
    plane = Plane("image", 4, 3, "RGBA", "u8", "srgb")
    output = Output("alpha", "GRAY", "u8")
    for value in (float("nan"), float("inf"), b"bytes", object(), "\ud800", "a" * JSON_BYTES_MAX):
        with pytest.raises(ProtocolError):
            encode(Begin((plane,), (output,), {"x": value}), 0, JOB)


def test_an_error_can_be_sent_whatever_its_sentences_hold() -> None:
    error = make_error("picture", "a\nb\x00\u202e\ud800" + "x" * 5000, "\x1b[2J")
    read = decode(encode(error, 0), protocol=1).body
    assert read == error
    assert read.message.startswith("a b   xxx")
    assert len(read.message) == 2000
    with pytest.raises(ValueError, match="nonsense"):
        make_error("nonsense", "")


@pytest.mark.parametrize(("low", "high", "chosen"), [(1, 1, 1), (1, 9, 1), (2, 9, None), (1, 2, 1)])
def test_the_newest_common_protocol_is_chosen(low: int, high: int, chosen: int | None) -> None:
    assert choose_protocol(low, high) == chosen


def test_job_ids_are_new_each_time() -> None:
    assert len({new_job_id() for _ in range(1000)}) == 1000


def test_a_protocol_error_is_shown_like_any_other() -> None:
    assert issubclass(ProtocolError, LinkError)
    assert str(LinkError("busy", "It is full.", "Try later.")) == "It is full. Try later."
    assert all(text.endswith(".") or ")." in text for text in ERROR_CODES.values())


@given(encoded=strategies.binary(max_size=100) | strategies.text(max_size=100).map(str.encode))
def test_the_parser_returns_or_refuses_but_never_anything_else(encoded: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse(encoded)


@pytest.mark.parametrize("body", [Status(), Cancel(), End(0)], ids=repr)
def test_bodies_without_fields_are_written_as_objects(body: object) -> None:
    assert json.loads(to_json(body)) == dataclasses.asdict(body)  # type: ignore[call-overload]
