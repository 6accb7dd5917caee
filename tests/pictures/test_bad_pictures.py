import io
import struct
import sys
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from picture_files import chunk, noise, png, tiff
from PIL import Image

from smart_matte.errors import OptionError, PictureError
from smart_matte.pictures import read as reading
from smart_matte.pictures.read import read_picture


def saved(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise((40, 50, 3), np.uint8)).save(file, kind, **options)
    return file.getvalue()


def complaint(source: bytes | str | Path | BinaryIO, **options: object) -> str:
    """The one sentence that the user gets."""
    source = io.BytesIO(source) if isinstance(source, bytes) else source
    with pytest.raises(PictureError) as caught:
        read_picture(source, **options)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "gone.png"

    assert complaint(path) == f"There is no file “{path}”; check its name."


def test_a_folder(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"“{tmp_path}” is a folder; name a picture in it."


def test_a_name_that_no_file_can_have() -> None:
    assert "can't be read" in complaint("a\0b.png")
    assert "can't be read" in complaint("x" * 245 + "_foreground.png")
    assert "can't be read" in complaint("x" * 5000)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    assert "can't be read" in complaint(tmp_path / "file" / "a.png")


@pytest.mark.parametrize("limit", [np.nan, np.inf, -np.inf, -1, 0])
def test_a_limit_that_is_none_is_refused_in_a_sentence(limit: float) -> None:
    with pytest.raises(OptionError, match=r"megapixels; give a number above 0\.$"):
        read_picture(io.BytesIO(png(noise((4, 5, 3), np.uint8))), max_megapixels=limit)


def test_the_largest_limit_lets_every_picture_through() -> None:
    samples = noise((4, 5, 3), np.uint8)
    limit = sys.float_info.max

    assert np.array_equal(
        read_picture(io.BytesIO(png(samples)), max_megapixels=limit).pixels, samples
    )


def test_an_empty_file() -> None:
    assert complaint(b"", name="e.png").startswith("“e.png” is empty;")


@pytest.mark.parametrize(
    "data", [b"Dear diary", b"\0" * 999, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P6 1 1 255 abc"]
)
def test_something_else_than_a_picture(data: bytes) -> None:
    assert complaint(data, name="x") == (
        "“x” is no picture that can be read; give a PNG, JPEG, WebP, TIFF, BMP or GIF file."
    )


def short(tag: int, value: int) -> bytes:
    return struct.pack("<HHIHH", tag, 3, 1, value, 0)


def long(tag: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, 4, 1, value)


def claiming(kind: str, width: int, height: int) -> bytes:
    """A file whose header claims a size that its few bytes don't have."""
    if kind == "PNG":
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    if kind in ("TIFF", "float TIFF"):
        data = tiff(noise((3, 5, 3), np.uint8 if kind == "TIFF" else np.float32))
        for tag, old, new in ((256, 5, width), (257, 3, height)):
            data = data.replace(short(tag, old), long(tag, new)).replace(
                long(tag, old), long(tag, new)
            )
        return data
    data = saved(kind)
    if kind == "JPEG":
        return data.replace(struct.pack(">HH", 40, 50), struct.pack(">HH", height, width), 1)
    if kind == "GIF":
        return data[:6] + struct.pack("<HH", width, height) + data[10:]
    assert kind == "BMP"
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "float TIFF"])
def test_a_picture_over_the_limit_is_refused_from_its_header(kind: str) -> None:
    assert complaint(claiming(kind, 20000, 15000), name="big", max_megapixels=12.5) == (
        "“big” has 20000 x 15000 pixels, which is 300 megapixels, and the limit is 12.5;"
        " scale it down, or allow it with --max-megapixels 300."
    )


def test_a_webp_over_the_limit_is_refused() -> None:
    assert "has 50 x 40 pixels" in complaint(saved("WEBP"), max_megapixels=0.001)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "float TIFF"])
def test_a_picture_without_pixels(kind: str, width: int, height: int) -> None:
    complaint(claiming(kind, width, height))


def test_a_picture_at_the_limit_is_read() -> None:
    samples = noise((100, 200, 3), np.uint8)

    assert read_picture(io.BytesIO(png(samples)), max_megapixels=0.02).pixels.shape == samples.shape
    assert "limit" in complaint(png(samples), max_megapixels=0.0199)


def test_tiles_that_ask_for_far_more_memory_than_the_picture() -> None:
    data = tiff(noise((20, 20, 3), np.uint8), tile=(16, 16))
    for kind in (short, long):
        data = data.replace(kind(322, 16), long(322, 1 << 30)).replace(
            kind(323, 16), long(323, 1 << 30)
        )

    assert "too large for it" in complaint(data)


def test_strips_that_claim_the_whole_file_each() -> None:
    data = tiff(noise((256, 4096), np.uint8), rowsperstrip=1)
    honest = struct.pack("<H", 4096) * 256
    assert honest in data

    data = data.replace(honest, struct.pack("<H", 65535) * 256)
    data = data.replace(struct.pack("<HHI", 279, 3, 256), struct.pack("<HHI", 279, 4, 128))

    assert "missing" in complaint(data)


def test_an_endless_stream_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROOM_BYTES", 1000)

    assert "is larger than" in complaint("/dev/zero", max_megapixels=0.01)
    with Path("/dev/zero").open("rb") as stream:
        assert "is larger than" in complaint(stream, max_megapixels=0.01)


@pytest.mark.parametrize(("channels", "bad"), [(1, 1), (3, 2), (4, 1)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_numbers_are_counted_by_pixel(
    channels: int, bad: int, value: float
) -> None:
    samples = noise((6, 7, channels), np.float32)
    samples[2, 3, :] = value
    if bad == 2:
        samples[0, 0, 1] = value

    data = tiff(samples if channels > 1 else samples[..., 0])

    assert f"holds {bad} pixels that are not numbers" in complaint(data)


def test_numbers_beyond_32_bit_floats_are_not_numbers() -> None:
    samples = noise((6, 7, 3), np.float64)
    samples[0, 0] = 1e300

    assert "holds 1 pixels" in complaint(tiff(samples))


FILES = {
    "png8": png(noise((40, 50, 3), np.uint8)),
    "png16": png(noise((40, 50, 4), np.uint16)),
    "jpeg": saved("JPEG"),
    "progressive": saved("JPEG", progressive=True),
    "webp": saved("WEBP"),
    "lossless": saved("WEBP", lossless=True),
    "bmp": saved("BMP"),
    "gif": saved("GIF"),
    "tiff8": tiff(noise((40, 50, 3), np.uint8), compression="zlib"),
    "tiff16": tiff(noise((40, 50, 4), np.uint16), tile=(16, 16)),
    "tiff float": tiff(noise((40, 50, 3), np.float32)),
    "lzw": saved("TIFF", compression="tiff_lzw"),
    "jpeg tiff": saved("TIFF", compression="jpeg"),
}


LIBTIFF = ("tiff8", "lzw", "jpeg tiff")


def assert_nothing_was_printed(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Libtiff, inside Pillow, prints a line of its own on damaged compressed data."""
    out, err = capfd.readouterr()
    assert out == ""
    if name not in LIBTIFF:
        assert err == ""


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_ends_early_is_never_a_picture(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = FILES[name]
    cuts = {*range(1, 40), *np.linspace(40, len(data) * 0.97, 40).astype(int)}

    for cut in sorted(cuts):
        complaint(data[:cut])

    assert_nothing_was_printed(name, capfd)


@pytest.mark.parametrize("name", FILES)
def test_damage_is_a_sentence_or_harmless(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(5)
    sentences = []
    for _ in range(60):
        data = bytearray(FILES[name])
        for position in random.integers(0, len(data), random.integers(1, 6)):
            data[position] = random.integers(256)
        try:
            read_picture(io.BytesIO(bytes(data)), max_megapixels=1)
        except PictureError as error:
            sentences.append(str(error))

    assert all(sentence.startswith("“standard input” ") for sentence in sentences)
    assert all(sentence.endswith(".") for sentence in sentences)
    assert_nothing_was_printed(name, capfd)


def test_a_tiff_of_a_rare_kind_says_what_to_save_instead() -> None:
    for samples in (
        noise((6, 7), np.float32).astype(np.complex64),
        noise((6, 7), np.uint8).astype(np.int16),
    ):
        sentence = complaint(tiff(samples), name="t.tif")
        assert sentence.startswith("“t.tif” ")
        assert "save it as RGB" in sentence
