import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smart_matte.engine.cutout import Cutout
from smart_matte.engine.report import Report
from smart_matte.errors import SelectionError
from smart_matte.service.planes import (
    BAND_SAMPLES,
    cut_into_chunks,
    linear_from_srgb,
    source_image,
    srgb_from_linear,
    to_sample,
    trimap_from_plane,
)
from smart_matte_link.messages import Output, Plane

EVERY_U16 = np.arange(65536, dtype="<u2")
EVERY_U8 = np.arange(256, dtype="<u1")


def test_the_srgb_curve_is_that_of_the_standard() -> None:
    coded = np.linspace(0, 1, 10_001)
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(linear_from_srgb(coded.astype(np.float32)), linear, atol=2e-7)
    np.testing.assert_allclose(srgb_from_linear(linear.astype(np.float32)), coded, atol=3e-7)


@pytest.mark.parametrize("every", [EVERY_U8, EVERY_U16])
def test_linear_light_and_back_changes_no_integer(every: np.ndarray) -> None:
    full = np.float32(np.iinfo(every.dtype).max)
    there = srgb_from_linear(every.astype(np.float32) / full)
    sample = "u8" if every is EVERY_U8 else "u16"
    np.testing.assert_array_equal(to_sample(linear_from_srgb(there), sample), every)


def test_the_curve_takes_whatever_a_float_layer_holds() -> None:
    odd = np.array([0.0, -0.0, -5, 1e-40, 12.5, 3e38, -3e38, np.inf, np.nan], np.float32)
    coded = srgb_from_linear(odd)
    assert np.isfinite(coded[:7]).all()
    assert np.isinf(coded[7])
    assert np.isnan(coded[8])
    assert coded[4] > 1


def test_every_integer_survives_as_float_and_back() -> None:
    for every, sample in ((EVERY_U8, "u8"), (EVERY_U16, "u16")):
        np.testing.assert_array_equal(to_sample(to_sample(every, "f32"), sample), every)
    np.testing.assert_array_equal(to_sample(EVERY_U8, "u16"), EVERY_U8.astype(int) * 257)
    np.testing.assert_array_equal(to_sample(to_sample(EVERY_U8, "u16"), "u8"), EVERY_U8)


def test_values_beyond_full_are_clipped_into_what_can_hold_less() -> None:
    odd = np.array([-1e9, -0.1, 0.5, 1.5, 1e9], np.float32)
    np.testing.assert_array_equal(to_sample(odd, "u8"), [0, 0, 128, 255, 255])
    np.testing.assert_array_equal(to_sample(odd, "u16"), [0, 0, 32768, 65535, 65535])
    assert np.isfinite(to_sample(odd, "f16")).all()
    assert to_sample(odd, "f32") is odd


@given(arrays(np.float32, (3, 5), elements=st.floats(-2, 2, width=32)))
def test_a_trimap_is_full_zero_or_unknown(values: np.ndarray) -> None:
    values[0, :3] = 0.25, 0, 1  # some of each kind, as a trimap has to have
    trimap = trimap_from_plane(values)
    np.testing.assert_array_equal(trimap == 1, values >= 1)
    np.testing.assert_array_equal(trimap == 0, values <= 0)
    assert set(np.unique(trimap)) <= {0.0, 0.5, 1.0}


def test_a_trimap_of_integers_has_its_own_full_value() -> None:
    trimap = trimap_from_plane(np.array([[0, 1, 254, 255]], np.uint8))
    np.testing.assert_array_equal(trimap, [[0, 0.5, 0.5, 1]])
    trimap = trimap_from_plane(np.array([[0, 1, 65534, 65535]], np.uint16))
    np.testing.assert_array_equal(trimap, [[0, 0.5, 0.5, 1]])


def test_a_trimap_without_numbers_is_refused() -> None:
    with pytest.raises(SelectionError, match="not numbers"):
        trimap_from_plane(np.array([[np.nan, 0.5]], np.float32))


@pytest.mark.parametrize(
    ("values", "missing"),
    [([0, 128], "no foreground"), ([128, 255], "no background"), ([0, 255], "nothing unknown")],
)
def test_a_trimap_that_lacks_a_kind_is_not_taken_for_a_selection(
    values: list[int], missing: str
) -> None:
    with pytest.raises(SelectionError, match=missing):
        trimap_from_plane(np.array([values], np.uint8))


def noise(shape: tuple[int, ...], sample: str, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).random(shape, np.float32)
    return to_sample(values, sample)


@pytest.mark.parametrize("order", ["BGR", "BGRA"])
def test_bgr_is_swapped_in_place_in_every_band(order: str) -> None:
    width, height = 65_535, 3 * BAND_SAMPLES // 65_535 + 1
    samples = noise((height, width, len(order)), "u8")
    wire = samples.copy()
    plane = Plane("image", width, height, order, "u8", "srgb")
    image = source_image(plane, samples)
    assert image.samples is samples
    np.testing.assert_array_equal(image.samples, wire[..., [2, 1, 0, 3][: len(order)]])


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000, 1 << 22])
@pytest.mark.parametrize("encoding", ["srgb", "linear"])
@pytest.mark.parametrize("is_gray", [False, True])
def test_the_bytes_of_a_result_are_those_its_planes_declare_however_they_are_cut(
    chunk_bytes: int,
    encoding: str,
    is_gray: bool,  # noqa: FBT001
) -> None:
    width, height = 13, 9
    order, channels = ("GRAY", 1) if is_gray else ("RGB", 3)
    plane = Plane("image", width, height, order, "u16", encoding)
    image = source_image(plane, noise((height, width, channels), "u16"))
    trimap = np.repeat(np.float32([0, 0.5, 1]), 3)[:, None].repeat(width, axis=1)
    own = image.samples[..., 0] if is_gray else image.samples
    if encoding == "linear":
        own = to_sample(own, "f32")[::-1]
    cutout = Cutout(noise((height, width), "f32", 2), own, trimap, Report())
    outputs = (
        Output("foreground", "BGRA", "u16"),
        Output("trimap", "GRAY", "u16"),
        Output("alpha", "GRAY", "f16"),
    )
    planes = tuple(output.plane_for(plane) for output in outputs)
    chunks = [bytes(chunk) for chunk in cut_into_chunks(planes, image, cutout, chunk_bytes)]
    assert max(map(len, chunks)) <= chunk_bytes
    data = b"".join(chunks)
    assert len(data) == sum(plane.byte_count for plane in planes)
    foreground = np.frombuffer(data[: width * height * 8], "<u2").reshape(height, width, 4)
    is_known = trimap != 0.5
    np.testing.assert_array_equal(
        foreground[is_known][:, 2::-1], np.broadcast_to(image.samples, (height, width, 3))[is_known]
    )
    assert (foreground[..., 3] == 65535).all()
    grays = np.frombuffer(data[width * height * 8 : width * height * 10], "<u2")
    assert set(grays) == {0, 32768, 65535}


def test_an_output_takes_another_sample_type_than_the_picture() -> None:
    plane = Plane("image", 4, 1, "RGB", "f32", "srgb")
    image = source_image(plane, np.float32([[[0, 0.5, 1]] * 4]))
    cutout = Cutout(np.zeros((1, 4), np.float32), image.samples, np.zeros((1, 4)), Report())
    planes = (Output("foreground", "RGB", "u8").plane_for(plane),)
    (chunk,) = cut_into_chunks(planes, image, cutout, 1 << 20)
    assert bytes(chunk) == bytes([0, 128, 255] * 4)
