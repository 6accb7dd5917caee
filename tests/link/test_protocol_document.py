"""docs/protocol.md and the definitions say the same, in both directions."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest

from smart_matte_link import envelope, messages, strict_json
from smart_matte_link.connection import FILE_NAME, FOLDER_VARIABLE
from smart_matte_link.strict_json import INTEGER_MAX, Between, HexBytes, OneOf

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text(
    encoding="utf-8"
)
Rows = list[list[str]]


def tables() -> dict[tuple[str, str], Rows]:
    """Each table's rows by the heading that it stands under and its first column's title."""
    found: dict[tuple[str, str], Rows] = {}
    heading = ""
    for block in re.split(r"\n\n+|(?=\n#)", DOCUMENT):
        lines = block.strip().splitlines()
        if lines and lines[0].startswith("#"):
            heading = lines[0].lstrip("# ")
        if lines and lines[0].startswith("|"):
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            assert (heading, cells[0][0]) not in found
            found[heading, cells[0][0]] = cells[2:]
    return found


TABLES = tables()
FIELD_TABLES = {heading: rows for (heading, first), rows in TABLES.items() if first == "field"}
CLASSES = {
    name: value
    for name, value in vars(messages).items()
    if dataclasses.is_dataclass(value) and value.__module__ == messages.__name__
}


def describe(hint: Any) -> str:
    """A field's type in the document's words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return describe_limited(*arguments)
    if origin is Union:
        return describe(arguments[0])
    if dataclasses.is_dataclass(hint):
        return f"`{hint.__name__}`"
    return {bool: "true or false", dict: "object"}[origin or hint]


def describe_limited(base: Any, limit: Any) -> str:
    if isinstance(limit, OneOf):
        return "one of " + ", ".join(f"`{choice}`" for choice in limit.choices)
    if isinstance(limit, HexBytes):
        return f"{limit.count} bytes in hexadecimal"
    assert isinstance(limit, Between)
    span = f"{limit.low:,.0f} to {limit.high:,.0f}"
    if base is int:
        return (
            "integer from 0" if (limit.low, limit.high) == (0, INTEGER_MAX) else f"integer {span}"
        )
    if base is float:
        return f"number {span}"
    if base is str:
        return f"text of {span}"
    return f"list of {span} {describe(get_args(base)[0])}"


def describe_default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"`{json.dumps(field.default_factory())}`"
    if field.default is dataclasses.MISSING:
        return "\N{EN DASH}"
    return "absent" if field.default is None else f"`{json.dumps(field.default)}`"


def test_every_body_is_described_and_every_description_has_a_body() -> None:
    assert FIELD_TABLES.keys() == CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_fields_types_and_defaults_are_the_documented_ones(name: str) -> None:
    hints = get_type_hints(CLASSES[name], include_extras=True)
    expected = [
        [f"`{field.name}`", describe(hints[field.name]), describe_default(field)]
        for field in dataclasses.fields(CLASSES[name])
    ]
    assert [row[:3] for row in FIELD_TABLES[name]] == expected
    assert all(len(row) == 4 and row[3] for row in FIELD_TABLES[name])


def test_message_types_are_the_documented_ones() -> None:
    expected = [
        [
            str(int(kind)),
            f"`{kind.name.lower()}`",
            rule.about,
            ", ".join(rule.senders),
            "pixels" if rule.body is None else f"`{rule.body.__name__}`",
        ]
        for kind, rule in messages.RULES.items()
    ]
    assert TABLES["3. The messages", "number"] == expected
    assert messages.RULES.keys() == set(messages.MessageType)


def test_error_codes_are_the_documented_ones() -> None:
    documented = [(code.strip("`"), meaning) for code, meaning in TABLES["8. Errors", "code"]]
    assert documented == list(messages.ERROR_CODES.items())


def test_capabilities_are_the_documented_ones() -> None:
    documented = [row[0].strip("`") for row in TABLES["9. Versions", "capability"]]
    assert documented == list(messages.CAPABILITIES)


@pytest.mark.parametrize(
    ("first_column", "defined"),
    [
        ("order", messages.CHANNELS),
        ("sample", messages.SAMPLE_BYTES),
        ("encoding", dict.fromkeys(messages.ENCODINGS)),
    ],
)
def test_layouts_are_the_documented_ones(first_column: str, defined: dict[str, Any]) -> None:
    rows = TABLES["Plane", first_column]
    assert [row[0].strip("`") for row in rows] == list(defined)
    for row in rows:
        expected = defined[row[0].strip("`")]
        assert expected is None or int(row[1]) == expected


def test_limits_are_the_documented_ones() -> None:
    documented = {
        row[0].strip("`"): int(row[1].replace(",", "")) for row in TABLES["10. All limits", "name"]
    }
    defined = {
        name: value
        for module in (strict_json, messages, envelope)
        for name, value in vars(module).items()
        if re.fullmatch(r"\w+_MAX(_PX)?|HEADER_BYTES", name)
    }
    del defined["PROTOCOL_MAX"]
    assert documented == defined


def test_the_envelope_is_the_documented_one() -> None:
    rows = TABLES["2. The envelope", "offset"]
    sizes = [int(row[1]) for row in rows]
    assert [int(row[0]) for row in rows] == [sum(sizes[:place]) for place in range(len(sizes))]
    assert sum(sizes) == envelope.HEADER_BYTES
    assert dict(zip((row[2] for row in rows), sizes, strict=True)) == {
        "magic": 4,
        "protocol": 2,
        "type": 1,
        "flags": 1,
        "job id": 16,
        "number": 4,
        "checksum": 4,
    }
    assert f"`{envelope.MAGIC.decode()}`" in rows[0][3]
    assert int(rows[5][0]) == envelope.SEQ_OFFSET


def test_versions_and_file_names_are_the_documented_ones() -> None:
    assert (
        f"Specification {messages.SPECIFICATION}, for protocol version {messages.PROTOCOL_MAX}."
        in DOCUMENT
    )
    assert messages.SPECIFICATION.split(".")[0] == str(messages.PROTOCOL_MAX)
    assert f"`{FILE_NAME}`" in DOCUMENT
    assert f"`${FOLDER_VARIABLE}`" in DOCUMENT


def test_messages_1_to_15_are_the_lasting_ones() -> None:
    assert {kind for kind in messages.MessageType if kind <= 15} == messages.LASTING_TYPES
    assert "Messages 1 to 15 and the envelope itself never change" in DOCUMENT
