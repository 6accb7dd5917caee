import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from picture_files import (
    DISPLAY_P3,
    LINEAR_TAG,
    chunk,
    exif,
    matrix_profile,
    noise,
    png,
    png_profile,
    tiff,
)
from PIL import Image

from smart_matte.errors import SelectionError
from smart_matte.pictures.read import read_selection

SHAPE = (11, 13)


def read(data: bytes, shape: tuple[int, ...] = SHAPE, **options: object) -> np.ndarray:
    return read_selection(io.BytesIO(data), shape, **options)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_is_coverage_to_the_last_bit(dtype: npt.DTypeLike, channels: int) -> None:
    gray = np.repeat(noise((*SHAPE, 1), dtype), channels, axis=-1)

    selection = read(png(gray))

    assert selection.dtype == np.float32
    assert np.array_equal(selection, gray[..., 0].astype(np.float32) / np.iinfo(dtype).max)


def test_floats_are_coverage_kept_within_0_and_1() -> None:
    gray = noise(SHAPE, np.float32) * 3 - 1

    assert np.array_equal(read(tiff(gray)), np.clip(gray, 0, 1))


def test_black_and_white_are_exactly_0_and_1() -> None:
    is_selected = noise(SHAPE, np.uint8) > 127
    file = io.BytesIO()
    Image.fromarray(is_selected).save(file, "PNG")

    assert np.array_equal(read(file.getvalue()), is_selected.astype(np.float32))


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (200, 30, 10)])
def test_one_colour_painted_on_transparency_selects_by_its_opacity(
    colour: tuple[int, int, int],
) -> None:
    samples = np.zeros((*SHAPE, 4), np.uint8)
    samples[2:8, 3:9] = (*colour, 128)
    samples[4:6, 4:6, 3] = 255

    assert np.array_equal(read(png(samples)), samples[..., 3].astype(np.float32) / 255)


def test_gray_counts_where_everything_is_opaque() -> None:
    samples = noise((*SHAPE, 2), np.uint8)
    samples[..., 1] = 255

    assert np.array_equal(read(png(samples)), samples[..., 0].astype(np.float32) / 255)


def test_transparent_pixels_of_several_grays_are_not_selected() -> None:
    samples = noise((*SHAPE, 4), np.uint8)
    samples[:5, :, 3] = 0

    selection = read(png(samples))

    assert (selection[:5] == 0).all()
    expected = samples[..., :3].mean(-1) / 255 * samples[..., 3] / 255
    assert np.allclose(selection, expected, atol=1e-6)


def test_a_wholly_transparent_selection_selects_nothing() -> None:
    assert (read(png(np.zeros((*SHAPE, 4), np.uint8))) == 0).all()


def test_colour_profiles_do_not_change_coverage() -> None:
    gray = noise((*SHAPE, 3), np.uint8)
    gray[...] = gray[..., :1]
    profile = png_profile(matrix_profile(DISPLAY_P3, LINEAR_TAG))

    assert np.array_equal(read(png(gray, profile)), read(png(gray)))


def complaint(data: bytes, shape: tuple[int, ...] = SHAPE) -> str:
    with pytest.raises(SelectionError) as caught:
        read(data, shape, name="s.png")
    return str(caught.value)


def test_another_size_is_named_with_the_pictures() -> None:
    assert complaint(png(noise((5, 7, 1), np.uint8))) == (
        "The selection “s.png” is 7 x 5 pixels but the picture is 13 x 11;"
        " give one of the picture's size."
    )


def test_a_selection_drawn_before_the_pictures_rotation_is_recognised() -> None:
    sentence = complaint(png(noise((13, 11, 1), np.uint8)))

    assert "is 11 x 13 pixels but the picture is 13 x 11; width and height are swapped" in sentence
    assert sentence.endswith("so turn it by 90 degrees.")


def test_a_selection_that_its_own_rotation_turns_away_is_recognised() -> None:
    sentence = complaint(png(noise((*SHAPE, 1), np.uint8), chunk(b"eXIf", exif(6))))

    assert "they agree only before its EXIF rotation" in sentence


def test_a_selection_turns_with_its_own_rotation() -> None:
    gray = noise((13, 11, 1), np.uint8)

    selection = read(png(gray, chunk(b"eXIf", exif(8))))

    assert np.array_equal(selection, np.rot90(gray[..., 0]).astype(np.float32) / 255)


def test_a_huge_selection_is_refused_before_it_is_decoded() -> None:
    tall = png(np.zeros((1, 1, 1), np.uint8), depth=8)
    header = (60000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    start = tall.index(b"IHDR") - 4
    huge = tall[:start] + chunk(b"IHDR", header) + tall[start + 25 :]

    assert "is 60000 x 60000 pixels" in complaint(huge)


def test_what_is_wrong_with_the_file_is_said_of_selections_too(tmp_path: Path) -> None:
    assert "is no picture" in complaint(b"hello")
    samples = noise(SHAPE, np.float32)
    samples[0, 0] = np.nan
    assert "holds 1 pixels that are not numbers" in complaint(tiff(samples))
    with pytest.raises(SelectionError, match="There is no file"):
        read_selection(tmp_path / "gone.png", SHAPE)
