"""JSON bodies to frozen dataclasses and back, refusing whatever is not exactly right."""

from __future__ import annotations

import dataclasses
import json
import math
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, Callable, NoReturn, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as read_annotations

from smart_matte_link.errors import ProtocolError

JSON_BYTES_MAX = 64 * 1024
"""Largest JSON body; pixels never travel as JSON."""

DEPTH_MAX = 8
"""Deepest nesting of objects and lists; the deepest body of ours uses five levels."""

INTEGER_MAX = 2**53 - 1
"""Largest magnitude of an integer: what every JSON reader keeps exactly."""

TEXT_MAX = 4096
"""Longest text, in characters; fields have lower limits of their own."""

BIDI_CONTROLS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a line read differently from what it holds."""

HEX_DIGITS = frozenset("0123456789abcdef")

Body = TypeVar("Body")
Check = Callable[[Any, str], Any]

_dataclass_checks: dict[type, Check] = {}


@dataclass(frozen=True)
class Between:
    """Smallest and largest value of a number or length of a text or list; the code otherwise."""

    low: float
    high: float
    code: str = "bad_message"


@dataclass(frozen=True)
class OneOf:
    """The only texts that a field may hold; the code otherwise."""

    choices: tuple[str, ...]
    code: str = "bad_message"


@dataclass(frozen=True)
class HexBytes:
    """A text that holds so many bytes as lower-case hexadecimal digits."""

    count: int


def refuse(sentence: str, code: str = "bad_message") -> NoReturn:
    """Raise ProtocolError."""
    raise ProtocolError(code, sentence)


def to_json(body: object) -> bytes:
    """
    Write a dataclass as JSON; fields that are None are left out.

    Raises:
        ProtocolError: the text is longer than JSON_BYTES_MAX, or holds what JSON can't.
    """
    try:
        text = json.dumps(
            _to_plain(body), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        encoded = text.encode()
    except (TypeError, ValueError) as error:
        refuse(f"A {type(body).__name__} can't be written as JSON: {error}.")
    if len(encoded) > JSON_BYTES_MAX:
        refuse(f"A {type(body).__name__} of {len(encoded)} bytes is over {JSON_BYTES_MAX}.")
    return encoded


def from_json(body_class: type[Body], encoded: bytes) -> Body:
    """
    Read a dataclass from JSON.

    Types are exact: ``true`` is no integer, ``1e3`` is no integer, ``null`` is only for optional
    fields. Unknown keys are ignored, missing ones without a default are refused.

    Raises:
        ProtocolError: says which field is wrong and how.
    """
    value: Body = _dataclass_check(body_class)(parse(encoded), body_class.__name__)
    return value


def parse(encoded: bytes) -> Any:  # noqa: ANN401  (any JSON value)
    """
    Parse JSON strictly: size, depth, duplicates, non-finite numbers, odd characters.

    Raises:
        ProtocolError: the text is not the JSON that this protocol allows.
    """
    if len(encoded) > JSON_BYTES_MAX:
        refuse(f"A JSON body of {len(encoded)} bytes is over {JSON_BYTES_MAX}.")
    try:
        text = encoded.decode()
    except UnicodeDecodeError:
        refuse("A JSON body is not UTF-8.")
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_int=_parse_integer,
            parse_float=_parse_number,
            parse_constant=lambda name: refuse(f"{name} is not a JSON number."),
        )
    except (ValueError, RecursionError):
        refuse("A body is not JSON.")
    _check_texts(value)
    return value


def clean_text(text: str, length_max: int) -> str:
    """Make any text fit to be sent: odd characters become spaces, what is too long is cut."""
    cleaned = "".join(" " if _is_odd(character) else character for character in text)
    return cleaned if len(cleaned) <= length_max else cleaned[: length_max - 1] + "…"


def _to_plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: _to_plain(item) for name, item in items if item is not None}
    if isinstance(value, (tuple, list)):
        return [_to_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _to_plain(item) for name, item in value.items()}
    return value


def _check_depth(text: str) -> None:
    """Count brackets before the parser, which would recurse into them."""
    depth, in_text, escaped = 0, False, False
    for character in text:
        if in_text:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_text = False
        elif character == '"':
            in_text = True
        elif character in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                refuse(f"A JSON body is nested deeper than {DEPTH_MAX}.")
        elif character in "]}":
            depth -= 1


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        refuse("A JSON object holds a key twice.")
    return result


def _parse_integer(digits: str) -> int:
    if len(digits) > len(str(-INTEGER_MAX)) or abs(int(digits)) > INTEGER_MAX:
        refuse(f"An integer of {len(digits)} characters is beyond {INTEGER_MAX}.")
    return int(digits)


def _parse_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        refuse("A number is too large.")
    return number


def _check_texts(value: object) -> None:
    if isinstance(value, str):
        if len(value) > TEXT_MAX:
            refuse(f"A text is longer than {TEXT_MAX} characters.")
        if any(map(_is_odd, value)):
            refuse("A text holds control characters, bidirectional controls or half a character.")
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_texts(name)
            _check_texts(item)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)


def _is_odd(character: str) -> bool:
    if character < "\x7f":
        return character < " "
    return unicodedata.category(character) in {"Cc", "Cs"} or character in BIDI_CONTROLS


def _dataclass_check(body_class: Any) -> Check:  # noqa: ANN401  (a dataclass)
    """The function that turns a parsed JSON object into *body_class*; built once."""
    if body_class not in _dataclass_checks:
        _dataclass_checks[body_class] = _build_dataclass_check(body_class)
    return _dataclass_checks[body_class]


def _build_dataclass_check(body_class: Any) -> Check:  # noqa: ANN401  (a dataclass)
    hints = read_annotations(body_class, include_extras=True)
    checks = {field.name: _check_for(hints[field.name]) for field in dataclasses.fields(body_class)}
    required = {
        field.name
        for field in dataclasses.fields(body_class)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def check(value: Any, where: str) -> Any:  # noqa: ANN401  (any JSON value)
        if type(value) is not dict:
            refuse(f"{where} is not an object.")
        missing = sorted(required - value.keys())
        if missing:
            refuse(f"{where} has no {', '.join(missing)}.")
        known = {
            name: check(value[name], f"{where}.{name}")
            for name, check in checks.items()
            if name in value
        }
        return body_class(**known)

    return check


def _check_for(hint: Any) -> Check:  # noqa: ANN401  (a type annotation)
    """Build the function that checks and converts a value for one annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _limited(_check_for(arguments[0]), arguments[1])
    if origin is Union:
        return _optional(_check_for(arguments[0]))
    if origin is tuple:
        return _list_check(_check_for(arguments[0]))
    if dataclasses.is_dataclass(hint):
        return _dataclass_check(hint)
    return PLAIN_CHECKS[origin or hint]


def _exactly(kind: type, name: str) -> Check:
    def check(value: Any, where: str) -> Any:  # noqa: ANN401  (any JSON value)
        if type(value) is not kind:
            refuse(f"{where} is not {name}.")
        return value

    return check


def _check_number(value: Any, where: str) -> float:  # noqa: ANN401  (any JSON value)
    if type(value) not in {int, float}:
        refuse(f"{where} is not a number.")
    return float(value)


PLAIN_CHECKS: dict[type, Check] = {
    int: _exactly(int, "an integer"),
    str: _exactly(str, "a text"),
    bool: _exactly(bool, "true or false"),
    dict: _exactly(dict, "an object"),
    float: _check_number,
}


def _optional(inner: Check) -> Check:
    return lambda value, where: None if value is None else inner(value, where)


def _list_check(inner: Check) -> Check:
    def check(value: Any, where: str) -> tuple[Any, ...]:  # noqa: ANN401  (any JSON value)
        if type(value) is not list:
            refuse(f"{where} is not a list.")
        return tuple(inner(item, f"{where}[{place}]") for place, item in enumerate(value))

    return check


def _size(value: Any) -> float:  # noqa: ANN401  (a number, text or list)
    """What a Between limits."""
    if isinstance(value, (int, float)):
        return value
    return len(value)


def _limited(inner: Check, limit: Between | OneOf | HexBytes) -> Check:
    def check(value: Any, where: str) -> Any:  # noqa: ANN401  (any JSON value)
        value = inner(value, where)
        if isinstance(limit, Between):
            size = _size(value)
            if not limit.low <= size <= limit.high:
                refuse(
                    f"{where} is {size:g}; it has to be {limit.low:g} to {limit.high:g}.",
                    limit.code,
                )
        elif isinstance(limit, OneOf):
            if value not in limit.choices:
                refuse(f"{where} is not one of {', '.join(limit.choices)}.", limit.code)
        elif len(value) != 2 * limit.count or not set(value) <= HEX_DIGITS:
            refuse(f"{where} is not {limit.count} bytes in hexadecimal.")
        return value

    return check
