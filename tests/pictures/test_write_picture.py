import errno
import io
import os
import sys
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from picture_files import DISPLAY_P3, SRGB_TAG, matrix_profile, noise
from PIL import Image

from smart_matte.errors import OutputError
from smart_matte.pictures.read import read_picture
from smart_matte.pictures.write import (
    PictureFile,
    check_targets,
    make_folder,
    write_picture,
    write_pictures,
)

P3 = matrix_profile(DISPLAY_P3, SRGB_TAG)
SHAPE = (41, 70)


@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        (".png", np.uint8),
        (".png", np.uint16),
        (".tif", np.uint8),
        (".TIFF", np.uint16),
        (".tif", np.float32),
    ],
)
def test_what_is_written_is_read_back_bit_by_bit(
    tmp_path: Path, suffix: str, dtype: npt.DTypeLike, *, with_alpha: bool
) -> None:
    pixels = noise((*SHAPE, 3), dtype)
    alpha = noise(SHAPE, dtype, 1) if with_alpha else None
    if with_alpha:
        alpha[:9] = 0  # colour under transparent pixels stays

    path = tmp_path / f"out{suffix}"
    write_picture(path, pixels, alpha=alpha, icc_profile=P3)

    picture = read_picture(path)
    assert picture.pixels.dtype == dtype
    assert np.array_equal(picture.pixels, pixels)
    assert np.array_equal(picture.alpha, alpha) if with_alpha else picture.alpha is None
    assert picture.icc_profile == P3
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_readers_see_the_same_png(
    tmp_path: Path, dtype: npt.DTypeLike, *, with_alpha: bool
) -> None:
    pixels = noise((*SHAPE, 3), dtype)
    alpha = noise(SHAPE, dtype, 1)
    path = tmp_path / "out.png"

    write_picture(path, pixels, alpha=alpha if with_alpha else None, icc_profile=P3)

    seen = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(seen[..., 2::-1], pixels)
    if with_alpha:
        assert np.array_equal(seen[..., 3], alpha)
    with Image.open(path) as image:
        image.load()
        assert image.info["icc_profile"] == P3
        if dtype == np.uint8:
            assert np.array_equal(np.asarray(image)[..., :3], pixels)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint16), (".tif", np.float32)],
)
def test_gray_arrays_become_gray_files_without_an_rgb_profile(
    tmp_path: Path, suffix: str, dtype: npt.DTypeLike
) -> None:
    gray = noise(SHAPE, dtype)
    path = tmp_path / f"alpha{suffix}"

    write_picture(path, gray, icc_profile=P3)

    with Image.open(path) as image:
        assert image.mode in ("L", "I;16", "F")
        assert np.array_equal(np.asarray(image), gray)
        assert "icc_profile" not in image.info


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_gray_may_have_alpha(tmp_path: Path, suffix: str) -> None:
    gray, alpha = noise(SHAPE, np.uint16), noise(SHAPE, np.uint16, 1)
    path = tmp_path / f"gray{suffix}"

    write_picture(path, gray, alpha=alpha)

    picture = read_picture(path)
    assert np.array_equal(picture.pixels[..., 1], gray)
    assert np.array_equal(picture.alpha, alpha)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_a_float_alpha_is_brought_to_the_depth_of_the_colours(
    tmp_path: Path, dtype: npt.DTypeLike, white: int
) -> None:
    alpha = noise(SHAPE, np.float32)
    alpha[0], alpha[1] = 0, 1
    path = tmp_path / "out.png"

    write_picture(path, noise((*SHAPE, 3), dtype), alpha=alpha)

    written = read_picture(path).alpha
    assert (written[0] == 0).all()
    assert (written[1] == white).all()
    assert np.abs(written.astype(float) - alpha.astype(float) * white).max() <= 0.5 + 1e-2


@pytest.mark.parametrize(("dtype", "start"), [(np.uint8, b"\x89PNG"), (np.float32, b"II*\0")])
def test_a_stream_gets_the_format_that_keeps_the_depth(dtype: npt.DTypeLike, start: bytes) -> None:
    stream = io.BytesIO()
    pixels = noise((*SHAPE, 3), dtype)

    write_picture(stream, pixels, icc_profile=P3)

    assert stream.getvalue().startswith(start)
    assert np.array_equal(read_picture(io.BytesIO(stream.getvalue())).pixels, pixels)


def complaint(target: Path | BinaryIO, pixels: np.ndarray = None, **options: object) -> str:
    with pytest.raises(OutputError) as caught:
        write_picture(target, noise((4, 5, 3), np.uint8) if pixels is None else pixels, **options)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_a_file_that_exists_is_kept_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"mine")

    assert complaint(path) == (
        f"“{path}” is there already; add --overwrite to replace it, or choose another folder."
    )
    assert path.read_bytes() == b"mine"
    write_picture(path, noise((4, 5, 3), np.uint8), overwrite=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_missing_folder(tmp_path: Path) -> None:
    assert complaint(tmp_path / "gone" / "out.png") == (
        f"There is no folder “{tmp_path / 'gone'}”; make it or name another."
    )


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    sentence = f"“{tmp_path / 'file'}” is a file, not a folder; choose another folder."
    assert complaint(tmp_path / "file" / "out.png") == sentence
    assert complaint(tmp_path / "file" / "deeper" / "out.png") == sentence
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper" / "deepest"):
        with pytest.raises(OutputError) as caught:
            make_folder(folder)
        assert str(caught.value) == sentence


def test_a_folder_is_made_with_those_that_it_is_in(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"

    make_folder(folder)
    make_folder(folder)

    assert folder.is_dir()


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_folder_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"can't be written: .*\.$"):
        make_folder(tmp_path / name)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "out.png").mkdir()

    assert "is a folder" in complaint(tmp_path / "out.png", overwrite=True)


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    device = tmp_path / "null.png"
    device.symlink_to(os.devnull)

    assert "is no ordinary file" in complaint(device, overwrite=True)
    assert device.is_symlink()
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("name", ["out.jpg", "out"])
def test_another_format(tmp_path: Path, name: str) -> None:
    assert "end in .png, .tif or .tiff" in complaint(tmp_path / name)


def test_floats_are_no_png(tmp_path: Path) -> None:
    assert "holds no floats; let it end in .tif" in complaint(
        tmp_path / "out.png", noise((4, 5, 3), np.float32)
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where nobody may make files")
def test_a_folder_that_allows_no_files() -> None:
    sentence = complaint(Path("/proc/self/out.png"))

    assert sentence.startswith("“/proc/self/out.png” can't be written: ")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 300 + ".png"])
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    assert "can't be written: " in complaint(tmp_path / name)
    with pytest.raises(OutputError, match="can't be written: "):
        check_targets([tmp_path / name])


def test_a_name_that_our_suffix_makes_too_long_says_to_shorten_it(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 245 + "_foreground.png")

    assert complaint(path) == f"“{path}” can't be written: its name is too long; shorten it."


def test_targets_are_checked_before_the_work(tmp_path: Path) -> None:
    new, old = tmp_path / "new.png", tmp_path / "old.png"
    old.write_bytes(b"mine")

    check_targets([new])
    check_targets([new, old], overwrite=True)
    with pytest.raises(OutputError, match="is there already; add --overwrite"):
        check_targets([new, old])


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")

    write_picture(path, noise((4, 5, 3), np.uint8))

    assert path.is_file()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EROFS, "the folder does not allow it; write elsewhere"),
        (errno.EIO, "Input/output error; write elsewhere"),
    ],
)
def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"mine")

    def fail(_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)

    assert words in complaint(path, overwrite=True)
    assert path.read_bytes() == b"mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]


def test_an_interruption_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt):
        write_picture(tmp_path / "out.png", noise((4, 5, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_stream_onto_a_full_disk() -> None:
    with Path("/dev/full").open("wb", buffering=0) as stream:
        assert "the disk is full" in complaint(stream)


def test_a_stream_that_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream:
        assert "nobody reads it any more" in complaint(stream)


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.write_bytes(b"")

    write_picture(tmp_path / "out.png", noise((4, 5, 3), np.uint8))

    assert (tmp_path / "out.png").stat().st_mode == usual.stat().st_mode


def four_files(folder: Path) -> list[PictureFile]:
    rgb, alpha = noise((*SHAPE, 3), np.uint8), noise(SHAPE, np.uint8)
    return [
        PictureFile(folder / "alpha.png", alpha),
        PictureFile(folder / "foreground.png", rgb, icc_profile=P3),
        PictureFile(folder / "cutout.tif", rgb, alpha, P3),
        PictureFile(folder / "trimap.png", alpha),
    ]


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_set_of_pictures_is_written(tmp_path: Path) -> None:
    write_pictures(four_files(tmp_path))

    cutout = read_picture(tmp_path / "cutout.tif")
    assert np.array_equal(cutout.pixels, noise((*SHAPE, 3), np.uint8))
    assert np.array_equal(cutout.alpha, noise(SHAPE, np.uint8))
    assert cutout.icc_profile == P3
    assert names_in(tmp_path) == ["alpha.png", "cutout.tif", "foreground.png", "trimap.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_disk_that_gets_full_leaves_nothing_of_a_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, overwrite: bool
) -> None:
    if overwrite:
        (tmp_path / "alpha.png").write_bytes(b"mine")
    before, synced = names_in(tmp_path), []

    def fill_up(file: int) -> None:
        synced.append(file)
        if len(synced) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill_up)

    with pytest.raises(OutputError, match=r"cutout\.tif” can't be written: the disk is full"):
        write_pictures(four_files(tmp_path), overwrite=overwrite)
    assert names_in(tmp_path) == before
    assert not overwrite or (tmp_path / "alpha.png").read_bytes() == b"mine"


def test_no_file_is_in_place_before_all_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(names_in(tmp_path)))

    write_pictures(four_files(tmp_path))

    assert [len(names) for names in seen] == [1, 2, 3, 4]
    assert all(name.endswith(".part") for names in seen for name in names)


def test_a_set_with_one_file_that_exists_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / "trimap.png").write_bytes(b"mine")

    with pytest.raises(OutputError, match=r"trimap\.png” is there already"):
        write_pictures(four_files(tmp_path))
    assert names_in(tmp_path) == ["trimap.png"]


def test_a_file_that_cannot_be_replaced_leaves_no_temporary_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))

    monkeypatch.setattr(Path, "replace", refuse)

    with pytest.raises(OutputError, match=r"alpha\.png” can't be written: the folder does not"):
        write_pictures(four_files(tmp_path))
    assert names_in(tmp_path) == []


def test_a_picture_too_long_for_png_is_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "is too large" in complaint(tmp_path / "out.png", np.zeros((1, 1_000_001), np.uint8))
    assert capfd.readouterr().err == ""


def test_an_encoder_that_fails_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise cv2.error("assertion failed")

    monkeypatch.setattr(cv2, "imencode", fail)

    assert "is too large" in complaint(tmp_path / "out.png")
    assert names_in(tmp_path) == []
