import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_matte.engine.options import Options
from smart_matte.errors import Cancelled, OptionError, OutputError, PictureError, SelectionError
from smart_matte.service.jobs import (
    Inputs,
    Stopped,
    error_from,
    read_options,
    read_refining_options,
)
from smart_matte_link.errors import ProtocolError
from smart_matte_link.messages import Plane, make_error

PLANES = (
    Plane("image", 5, 3, "BGRA", "u16", "srgb"),
    Plane("selection", 5, 3, "GRAY", "u8", "coverage"),
)
BYTE_COUNT = 5 * 3 * (8 + 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, BYTE_COUNT), max_size=20))
def test_planes_are_the_same_however_their_bytes_are_cut(sizes: list[int]) -> None:
    data = bytes(range(BYTE_COUNT))
    inputs = Inputs(PLANES)
    rest = memoryview(data)
    for size in (*sizes, BYTE_COUNT):
        if rest:
            inputs.add(rest[:size])
            rest = rest[size:]
    inputs.finish(BYTE_COUNT)
    wire = np.frombuffer(data[:120], "<u2").reshape(3, 5, 4)
    np.testing.assert_array_equal(inputs.take_image().samples, wire[..., [2, 1, 0, 3]])
    selection = np.frombuffer(data[120:], np.uint8).reshape(3, 5)
    np.testing.assert_array_equal(inputs.take_selection(), selection)


def test_a_chunk_is_copied() -> None:
    chunk = bytearray(b"\x07" * BYTE_COUNT)
    inputs = Inputs(PLANES)
    inputs.add(memoryview(chunk))
    chunk[:] = bytes(BYTE_COUNT)
    assert (inputs.take_image().samples == 0x0707).all()


@pytest.mark.parametrize("sent", [0, 1, BYTE_COUNT - 1])
def test_missing_bytes_are_refused(sent: int) -> None:
    inputs = Inputs(PLANES)
    if sent:
        inputs.add(memoryview(bytes(sent)))
    for count in (sent, BYTE_COUNT):
        with pytest.raises(ProtocolError, match="135 bytes were declared"):
            inputs.finish(count)


def test_bytes_beyond_those_declared_are_refused_and_change_nothing() -> None:
    inputs = Inputs(PLANES)
    inputs.add(memoryview(bytes(BYTE_COUNT)))
    with pytest.raises(ProtocolError, match="More than the declared"):
        inputs.add(memoryview(b"\x01"))
    selection = inputs.take_selection()
    assert selection is not None
    assert not selection.any()


def test_what_never_came_is_zero() -> None:
    assert not Inputs(PLANES).take_image().samples.any()


def test_options_are_read_by_their_names() -> None:
    values = {"classes": ["cat", "dog"], "outer_radius_px": 3, "holes": False, "decontaminate": 5}
    expected = Options(classes=("cat", "dog"), outer_radius_px=3, holes=False, decontaminate=5)
    assert read_options(values) == expected
    assert read_options({}) == Options()
    assert read_options({"outer_radius_px": None}) == Options()


@pytest.mark.parametrize(
    "values",
    [
        {"": 1},
        {"Matter": "fba"},
        {"decontaminate": None},
        {"decontaminate": float("nan")},
        {"holes": "true"},
        {"holes": None},
        {"own_alpha": 1},
        {"shift_edge": True},
        {"shift_edge": -101},
        {"classes": {}},
        {"classes": [["cat"]]},
        {"device": 3},
        {"inner_radius_px": True},
        {"inner_radius_px": [1]},
        {"low_probability": 2},
    ],
)
def test_impossible_options_are_refused_in_words(values: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=r"\w+ .*\."):
        read_options(values)


def test_refining_keeps_what_is_left_out_and_refuses_what_needs_the_models() -> None:
    before = Options(matter="closed-form", decontaminate=30)
    assert read_refining_options({}, before) == before
    assert read_refining_options({"matter": "closed-form"}, before) == before
    changes = {"decontaminate": 0, "shift_edge": -20, "own_alpha": False}
    assert read_refining_options(changes, before) == before.with_changes(**changes)
    with pytest.raises(OptionError, match="matter can't be changed by refining"):
        read_refining_options({"matter": "fba"}, before)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PictureError("x"), "picture"),
        (SelectionError("x"), "selection"),
        (OptionError("x"), "option"),
        (Cancelled("x"), "cancelled"),
        (OutputError("x"), "internal"),
        (ProtocolError("bad_geometry", "x"), "bad_geometry"),
        (Stopped(make_error("deadline", "x")), "deadline"),
        (MemoryError(), "out_of_memory"),
        (np._core._exceptions._ArrayMemoryError((9, 9), np.dtype("f4")), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "out_of_memory",
        ),
        (ValueError("secret"), "internal"),
        (OSError(28, "No space left on device", "/secret/path"), "internal"),
    ],
)
def test_every_error_has_a_code_and_tells_no_secret(error: Exception, code: str) -> None:
    told = error_from(error)
    assert told.code == code
    assert "secret" not in told.message + told.hint
