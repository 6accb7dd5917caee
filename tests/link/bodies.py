"""Hypothesis strategies for every message body, made from the same annotations as the codec."""

import dataclasses
import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies

from smart_matte_link.messages import (
    COVERAGE_ROLES,
    INPUT_ROLES,
    OUTPUT_ROLES,
    RULES,
    Begin,
    Hello,
    Output,
    Plane,
    Refine,
    Result,
)
from smart_matte_link.strict_json import BIDI_CONTROLS, Between, HexBytes, OneOf

BODY_CLASSES = [rule.body for rule in RULES.values() if rule.body is not None]

TEXT = strategies.characters(
    exclude_categories=("Cc", "Cs"), exclude_characters="".join(BIDI_CONTROLS)
)
JSON_VALUES = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**53) + 1, 2**53 - 1)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text(TEXT, max_size=20),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.text(TEXT, max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = strategies.dictionaries(strategies.text(TEXT, max_size=8), JSON_VALUES, max_size=3)
# Two levels above an object of options, one for the body: keep well below DEPTH_MAX.
SHALLOW_OBJECTS = strategies.dictionaries(
    strategies.text(TEXT, max_size=8), strategies.integers(0, 9) | strategies.text(TEXT), max_size=3
)


def bodies(body_class: type) -> strategies.SearchStrategy[Any]:
    """Valid instances of a body class."""
    if body_class in RELATED:
        return RELATED[body_class]
    hints = get_type_hints(body_class, include_extras=True)
    return strategies.builds(
        body_class, **{field.name: _values(hints[field.name]) for field in _fields(body_class)}
    )


def _fields(body_class: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(body_class)


def _values(hint: Any) -> strategies.SearchStrategy[Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _limited(*arguments)
    if origin in {Union, types.UnionType}:
        return strategies.none() | _values(arguments[0])
    if origin is dict:
        return SHALLOW_OBJECTS
    if hint is bool:
        return strategies.booleans()
    return bodies(hint)


def _limited(base: Any, limit: Any) -> strategies.SearchStrategy[Any]:
    if isinstance(limit, OneOf):
        return strategies.sampled_from(limit.choices)
    if isinstance(limit, HexBytes):
        return strategies.binary(min_size=limit.count, max_size=limit.count).map(bytes.hex)
    assert isinstance(limit, Between)
    if base is int:
        return strategies.integers(int(limit.low), int(limit.high))
    if base is float:
        return strategies.floats(limit.low, limit.high)
    if base is str:
        return strategies.text(TEXT, min_size=int(limit.low), max_size=min(limit.high, 30))
    inner = _values(get_args(base)[0])
    sizes = {"min_size": int(limit.low), "max_size": min(int(limit.high), 3)}
    return strategies.lists(inner, **sizes).map(tuple)


@strategies.composite
def planes(draw: strategies.DrawFn, roles: tuple[str, ...], required: str = "") -> Any:
    """Planes that may stand together in one body."""
    width, height = draw(strategies.integers(1, 8000)), draw(strategies.integers(1, 8000))
    chosen = draw(strategies.lists(strategies.sampled_from(roles), min_size=1, unique=True))
    if required and required not in chosen:
        chosen.append(required)
    return tuple(
        Plane(role, width, height, *draw(_layout(role)), draw(_encoding(role))) for role in chosen
    )


def _layout(role: str) -> strategies.SearchStrategy[tuple[str, str]]:
    orders = (
        ("GRAY",) if role in COVERAGE_ROLES else ("GRAY", "GRAYA", "RGB", "BGR", "RGBA", "BGRA")
    )
    samples = ("u8", "u16", "f16", "f32")
    return strategies.tuples(strategies.sampled_from(orders), strategies.sampled_from(samples))


def _encoding(role: str) -> strategies.SearchStrategy[str]:
    return strategies.sampled_from(("coverage",) if role in COVERAGE_ROLES else ("srgb", "linear"))


OUTPUTS = strategies.lists(
    strategies.sampled_from(OUTPUT_ROLES).flatmap(
        lambda role: _layout(role).map(lambda layout: Output(role, *layout))
    ),
    min_size=1,
    unique_by=lambda output: output.role,
).map(tuple)

DEADLINES = strategies.none() | strategies.floats(0, 86_400)

RELATED: dict[type, strategies.SearchStrategy[Any]] = {
    Begin: strategies.builds(
        Begin,
        planes(INPUT_ROLES, "image"),
        OUTPUTS,
        SHALLOW_OBJECTS,
        DEADLINES,
        strategies.booleans(),
    ),
    Refine: strategies.builds(
        Refine,
        strategies.binary(min_size=16, max_size=16).map(bytes.hex),
        OUTPUTS,
        SHALLOW_OBJECTS,
        DEADLINES,
    ),
    Result: strategies.builds(
        Result, planes(OUTPUT_ROLES), SHALLOW_OBJECTS, strategies.just("ab" * 16)
    ),
    Hello: strategies.builds(
        lambda low, more, nonce, text: Hello(low, low + more, nonce, text, text, (text,)),
        strategies.integers(1, 60_000),
        strategies.integers(0, 5_000),
        strategies.binary(min_size=32, max_size=32).map(bytes.hex),
        strategies.text(TEXT, min_size=1, max_size=30),
    ),
}
