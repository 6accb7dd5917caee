"""The readers give the pictures of a set as float arrays, or say what is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smart_matte.errors import OptionError, PictureError
from smart_matte.evaluation.datasets import (
    FILE_SETS,
    SELECTED_SETS,
    SETS,
    list_samples,
    read_samples,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pictures of alphamatting.com's layout and one of the published network's."""
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 0] = 255  # red
    alpha = np.zeros((4, 6), np.uint8)
    alpha[:, 3:] = 255
    alpha[:, 2] = 51
    trimap = np.array([0, 0, 128, 128, 255, 255], np.uint8) * np.ones((4, 1), np.uint8)
    folder = tmp_path / "alphamatting"
    for part in ("image", "alpha", "trimap_narrow", "trimap_wide"):
        (folder / part).mkdir(parents=True)
    for name in ("GT03", "GT01"):
        Image.fromarray(image).save(folder / "image" / f"{name}.png")
        Image.fromarray(alpha).convert("RGB").save(folder / "alpha" / f"{name}.png")
        Image.fromarray(trimap).convert("P").save(folder / "trimap_narrow" / f"{name}.png")
        Image.fromarray(np.full_like(trimap, 100)).save(folder / "trimap_wide" / f"{name}.png")
    reference = tmp_path / "fba_reference" / "lemur"
    reference.mkdir(parents=True)
    Image.fromarray(image).convert("RGBA").save(reference / "image.png")
    Image.fromarray(trimap).convert("RGBA").save(reference / "trimap.png")
    Image.fromarray(alpha.astype(np.uint16) * 257).save(reference / "fba_alpha.png")
    return tmp_path


@pytest.mark.parametrize("set_name", FILE_SETS)
def test_every_set_gives_colour_trimap_and_alpha_in_float32(data: Path, set_name: str) -> None:
    sample = next(iter(read_samples(set_name, data)))
    assert sample.image.dtype == sample.alpha.dtype == np.float32
    assert sample.image[0, 0].tolist() == [1, 0, 0]
    assert sample.alpha[0].tolist() == pytest.approx([0, 0, 0.2, 1, 1, 1])
    if set_name in SELECTED_SETS:
        assert sample.trimap is None
    else:
        assert sample.trimap is not None
        assert sample.trimap.dtype == np.float32
        assert sample.trimap.shape == (4, 6)


def test_the_published_foreground_is_read_where_there_is_one(data: Path) -> None:
    assert next(iter(read_samples("fba-reference", data))).foreground is None
    path = data / "fba_reference" / "lemur" / "fba_foreground.png"
    Image.new("RGB", (6, 4), (0, 51, 0)).save(path)
    foreground = next(iter(read_samples("fba-reference", data))).foreground
    assert foreground is not None
    assert foreground.shape == (4, 6, 3)
    assert foreground[0, 0].tolist() == pytest.approx([0, 0.2, 0])
    Image.new("RGB", (5, 4)).save(path)
    with pytest.raises(PictureError, match="another size"):
        next(iter(read_samples("fba-reference", data)))


def test_a_trimap_keeps_black_and_white_and_calls_all_else_unknown(data: Path) -> None:
    narrow = next(iter(read_samples("alphamatting-narrow", data))).trimap
    wide = next(iter(read_samples("alphamatting-wide", data))).trimap
    assert narrow is not None
    assert wide is not None
    assert narrow[0].tolist() == [0, 0, 0.5, 0.5, 1, 1]
    assert np.unique(wide).tolist() == [0.5]


def test_pictures_come_sorted_and_no_more_than_asked_for(data: Path) -> None:
    assert list_samples("rough", data) == ["GT01", "GT03"]
    assert [sample.name for sample in read_samples("rough", data, limit=1)] == ["GT01"]
    assert [sample.name for sample in read_samples("rough", data, only=["GT03"])] == ["GT03"]


@pytest.mark.parametrize("set_name", SETS)
def test_a_missing_folder_is_told_with_what_to_do(tmp_path: Path, set_name: str) -> None:
    with pytest.raises(OptionError, match=r"--data FOLDER or in SMART_MATTE_DATA"):
        list(read_samples(set_name, tmp_path))


def test_an_unknown_set_is_told_with_the_known_ones(data: Path) -> None:
    with pytest.raises(OptionError, match="choose from alphamatting-narrow"):
        list(read_samples("adobe", data))


def test_a_missing_alpha_is_a_picture_error(data: Path) -> None:
    (data / "alphamatting" / "alpha" / "GT01.png").unlink()
    with pytest.raises(PictureError, match=r"GT01\.png.* can't be read"):
        list(read_samples("rough", data))


def test_a_broken_alpha_is_a_picture_error(data: Path) -> None:
    (data / "alphamatting" / "alpha" / "GT01.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    with pytest.raises(PictureError, match="can't be read"):
        list(read_samples("rough", data))


def test_an_alpha_of_another_size_is_a_picture_error(data: Path) -> None:
    Image.new("L", (5, 4)).save(data / "alphamatting" / "alpha" / "GT01.png")
    with pytest.raises(PictureError, match="another size"):
        list(read_samples("rough", data))


def test_the_shared_sets_are_complete_and_their_trimaps_right(shared_data: Path) -> None:
    """Where alphamatting's narrow trimaps are known, the truth is all but 0 or 1."""
    assert len(list_samples("alphamatting-narrow", shared_data)) == 14
    assert list_samples("fba-reference", shared_data) == ["elephant", "lemur", "troll"]
    for sample in read_samples("alphamatting-narrow", shared_data, limit=3):
        assert sample.trimap is not None
        assert np.unique(sample.trimap).tolist() == [0, 0.5, 1]
        is_known = sample.trimap != 0.5
        assert np.abs(sample.alpha - sample.trimap)[is_known].mean() < 0.002
    for sample in read_samples("fba-reference", shared_data):
        assert sample.trimap is not None
        assert np.unique(sample.trimap).tolist() == [0, 0.5, 1]
        is_known = sample.trimap != 0.5
        assert np.array_equal(sample.alpha[is_known], sample.trimap[is_known])
        assert (sample.foreground is None) == (sample.name == "lemur")
        if sample.foreground is not None:
            is_subject = sample.trimap == 1
            assert np.array_equal(sample.foreground[is_subject], sample.image[is_subject])
