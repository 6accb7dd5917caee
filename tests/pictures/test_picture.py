import numpy as np
import numpy.typing as npt
import pytest
from picture_files import noise

from smart_matte.pictures.picture import from_unit, to_unit


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_unit_samples_are_rounded_to_a_types_full_scale(dtype: npt.DTypeLike, white: int) -> None:
    samples = noise((7, 9), np.float32)
    samples[0, :3] = 0, 0.5, 1

    scaled = from_unit(samples, np.dtype(dtype))

    assert scaled.dtype == dtype
    assert scaled[0, 0] == 0
    assert scaled[0, 2] == white
    assert np.abs(scaled - samples.astype(np.float64) * white).max() <= 0.5 + 1e-2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_full_scale_to_unit_and_back_keeps_every_bit(dtype: npt.DTypeLike) -> None:
    levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)

    unit = to_unit(levels)

    assert unit.dtype == np.float32
    assert (unit[0], unit[-1]) == (0, 1)
    assert np.array_equal(from_unit(unit, np.dtype(dtype)), levels)


def test_floats_keep_their_values() -> None:
    samples = noise((7, 9), np.float32) * 3 - 1

    assert np.array_equal(from_unit(samples, np.dtype(np.float32)), samples)
    assert np.array_equal(to_unit(samples), samples)
