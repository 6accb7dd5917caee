import io
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from picture_files import (
    DISPLAY_P3,
    LINEAR_TAG,
    SRGB,
    SRGB_TAG,
    chunk,
    encoded_srgb,
    exif,
    gamma_tag,
    gray_profile,
    icc,
    matrix_profile,
    noise,
    png,
    png_profile,
    table_profile,
    tiff,
    to_d50,
    xyz_tag,
)
from PIL import Image

from smart_matte.pictures.picture import Picture
from smart_matte.pictures.read import read_picture

P3 = matrix_profile(DISPLAY_P3, SRGB_TAG)
SHAPE = (11, 13)


def read(data: bytes, **options: object) -> Picture:
    return read_picture(io.BytesIO(data), **options)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def as_rgb(samples: np.ndarray) -> np.ndarray:
    return np.repeat(samples[..., :1], 3, axis=-1) if samples.shape[2] < 3 else samples[..., :3]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_bit_of_a_png_is_read(
    dtype: npt.DTypeLike, channels: int, *, interlaced: bool
) -> None:
    samples = noise((*SHAPE, channels), dtype)

    picture = read(png(samples, interlaced=interlaced))

    assert picture.pixels.dtype == dtype
    assert np.array_equal(picture.pixels, as_rgb(samples))
    assert picture.was_gray == (channels < 3)
    if channels in (2, 4):
        assert np.array_equal(picture.alpha, samples[..., -1])
    else:
        assert picture.alpha is None
    assert picture.icc_profile is None
    assert picture.notes == ()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_png_of_few_bits_becomes_8_bit_with_its_transparent_gray(depth: int) -> None:
    levels = noise((*SHAPE, 1), np.uint8) >> (8 - depth)
    transparent = 2**depth - 1
    trns = chunk(b"tRNS", bytes([0, transparent]))

    picture = read(png(levels, trns, depth=depth))

    assert np.array_equal(picture.pixels[..., 0], levels[..., 0] * (255 // transparent))
    assert np.array_equal(picture.alpha == 0, levels[..., 0] == transparent)
    assert set(np.unique(picture.alpha)) == {0, 255}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_transparent_colour_of_a_png_becomes_alpha(dtype: npt.DTypeLike, channels: int) -> None:
    samples = noise((*SHAPE, channels), dtype)
    trns = chunk(b"tRNS", samples[3, 4].astype(">u2").tobytes())

    picture = read(png(samples, trns))

    expected = (samples != samples[3, 4]).any(axis=-1) * np.iinfo(dtype).max
    assert picture.alpha.dtype == dtype
    assert np.array_equal(picture.alpha, expected)
    assert np.array_equal(picture.pixels, as_rgb(samples))


def test_a_palette_is_looked_up_and_its_transparency_is_alpha() -> None:
    indices = noise(SHAPE, np.uint8) % 4
    image = Image.frombytes("P", SHAPE[::-1], indices.tobytes())
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    image.putpalette(colours.tobytes())

    plain = read(saved(image, "PNG"))
    transparent = read(saved(image, "PNG", transparency=bytes([0, 128, 255, 255])))

    assert np.array_equal(plain.pixels, colours[indices])
    assert plain.alpha is None
    assert np.array_equal(transparent.pixels, colours[indices])
    assert np.array_equal(transparent.alpha, np.array([0, 128, 255, 255], np.uint8)[indices])


@pytest.mark.parametrize(("kind", "options"), [("BMP", {}), ("WEBP", {"lossless": True})])
def test_other_lossless_formats_are_exact(kind: str, options: dict[str, object]) -> None:
    samples = noise((*SHAPE, 3), np.uint8)

    picture = read(saved(Image.fromarray(samples), kind, **options))

    assert np.array_equal(picture.pixels, samples)


def test_webp_keeps_the_colour_under_transparent_pixels() -> None:
    samples = noise((*SHAPE, 4), np.uint8)
    samples[:5, :, 3] = 0

    picture = read(saved(Image.fromarray(samples), "WEBP", lossless=True, exact=True))

    assert np.array_equal(picture.pixels, samples[..., :3])
    assert np.array_equal(picture.alpha, samples[..., 3])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_what_pillow_decodes(mode: str) -> None:
    data = saved(Image.fromarray(noise((*SHAPE, 3), np.uint8)).convert(mode), "JPEG", quality=90)

    picture = read(data)

    assert np.array_equal(picture.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert picture.was_gray == (mode == "L")


def test_a_one_bit_tiff_is_black_and_white() -> None:
    is_white = noise(SHAPE, np.uint8) > 127

    picture = read(saved(Image.fromarray(is_white), "TIFF", compression="group4"))

    assert np.array_equal(picture.pixels[..., 0], is_white * np.uint8(255))


# What a viewer has to do with the file's rows and columns; 1 is the file as it is
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


def with_orientation(kind: str, samples: np.ndarray, orientation: int) -> bytes:
    image = Image.fromarray(samples) if samples.dtype == np.uint8 else None
    if kind == "PNG":
        return png(samples, chunk(b"eXIf", exif(orientation)))
    if kind == "TIFF":
        return tiff(samples, extratags=[(274, "H", 1, orientation, True)])
    if kind == "palette TIFF":
        return saved(image.quantize(4), "TIFF", tiffinfo={274: orientation})
    block = Image.Exif()
    block[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95}
    return saved(image, kind, exif=block, **options)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("PNG", np.uint8),
        ("PNG", np.uint16),
        ("TIFF", np.uint8),
        ("TIFF", np.uint16),
        ("TIFF", np.float32),
        ("palette TIFF", np.uint8),
        ("WEBP", np.uint8),
        ("JPEG", np.uint8),
    ],
)
def test_exif_orientation_is_applied(kind: str, dtype: npt.DTypeLike, orientation: int) -> None:
    samples = noise((*SHAPE, 3), dtype)
    untouched = read(with_orientation(kind, samples, 1)).pixels

    turned = read(with_orientation(kind, samples, orientation)).pixels

    if kind in ("PNG", "TIFF", "WEBP"):
        assert np.array_equal(untouched, samples)
    assert np.array_equal(turned, TURNS[orientation](untouched))


def test_alpha_is_turned_with_the_colours() -> None:
    samples = noise((*SHAPE, 4), np.uint16)

    picture = read(png(samples, chunk(b"eXIf", exif(6))))

    assert np.array_equal(picture.alpha, np.rot90(samples[..., 3], -1))


def test_damaged_exif_data_turn_nothing() -> None:
    samples = noise((*SHAPE, 3), np.uint8)
    garbage = b"II*\0\x08\0\0\0\xff\xff" + noise(60, np.uint8).tobytes()
    jpeg = saved(Image.fromarray(samples), "JPEG", exif=b"Exif\0\0" + garbage)

    assert np.array_equal(read(png(samples, chunk(b"eXIf", garbage))).pixels, samples)
    assert read(jpeg).pixels.shape == samples.shape


@pytest.mark.parametrize(
    "data",
    [
        png(noise((*SHAPE, 3), np.uint8), png_profile(P3)),
        png(noise((*SHAPE, 4), np.uint16), png_profile(P3)),
        saved(Image.fromarray(noise((*SHAPE, 3), np.uint8)), "JPEG", icc_profile=P3),
        saved(Image.fromarray(noise((*SHAPE, 3), np.uint8)), "WEBP", icc_profile=P3),
        saved(Image.fromarray(noise((*SHAPE, 3), np.uint8)).quantize(4), "PNG", icc_profile=P3),
        tiff(noise((*SHAPE, 3), np.uint8), iccprofile=P3),
        tiff(noise((*SHAPE, 3), np.uint16), iccprofile=P3),
        tiff(noise((*SHAPE, 4), np.float32), iccprofile=P3),
        tiff(noise(SHAPE, np.uint16), iccprofile=P3),  # gray coded in an RGB space
    ],
    ids=["png8", "png16", "jpeg", "webp", "palette", "tiff8", "tiff16", "float", "gray"],
)
def test_an_rgb_profile_is_kept(data: bytes) -> None:
    picture = read(data)

    assert picture.icc_profile == P3
    assert picture.notes == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_gray_with_a_profile_becomes_srgb_coded_gray_of_its_depth(
    dtype: npt.DTypeLike, gamma: float
) -> None:
    gray = noise((40, 50), dtype)
    gray[0, :10] = np.arange(10) * (1 if gray.dtype.kind == "u" else 1e-4)  # the darks
    white = np.iinfo(dtype).max if gray.dtype.kind == "u" else 1

    picture = read(tiff(gray, iccprofile=gray_profile(gamma_tag(gamma))))

    exponent = round(gamma * 256) / 256
    expected = encoded_srgb((gray / white) ** exponent)
    assert picture.was_gray
    assert picture.icc_profile is None
    assert picture.pixels.dtype == dtype
    tolerance = 0.5001 / white if gray.dtype.kind == "u" else 1e-6
    assert np.abs(picture.pixels[..., 0] / white - expected).max() <= tolerance


def test_gray_in_srgbs_own_curve_is_untouched() -> None:
    gray = noise(SHAPE, np.uint16)

    picture = read(tiff(gray, iccprofile=gray_profile(SRGB_TAG)))

    assert np.array_equal(picture.pixels[..., 0], gray)


ONE_PRIMARY = dict.fromkeys((b"rXYZ", b"gXYZ", b"bXYZ"), xyz_tag((0.3, 0.3, 0.3)))
ONE_PRIMARY |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), SRGB_TAG)


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile",
        P3[:200],
        P3[:16] + b"CMYK" + P3[20:],
        gray_profile(LINEAR_TAG),
        matrix_profile(DISPLAY_P3, LINEAR_TAG.replace(b"curv", b"what")),
        icc(b"RGB ", ONE_PRIMARY),
        P3.replace(b"rTRC", b"xTRC"),
    ],
    ids=["text", "cut", "CMYK", "gray", "unknown curve", "one primary", "no red curve"],
)
def test_an_unusable_profile_is_taken_as_srgb_with_a_note(profile: bytes) -> None:
    samples = noise((*SHAPE, 3), np.uint8)

    picture = read(tiff(samples, iccprofile=profile), name="p.tif")

    assert picture.icc_profile is None
    assert np.array_equal(picture.pixels, samples)
    assert picture.notes == (
        "The colour profile of “p.tif” is damaged or unfit; its colours are taken as sRGB.",
    )


def cmyk_profile() -> bytes:
    """Inks that absorb like sRGB's channels, black over all."""
    srgb = to_d50(SRGB)
    return table_profile(
        b"CMYK", 4, lambda ink: ((1 - ink[..., :3]) * (1 - ink[..., 3:])) ** 2.2 @ srgb.T, 17
    )


@pytest.mark.parametrize(
    ("kind", "options"),
    [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("JPEG", {"quality": 100})],
)
def test_cmyk_becomes_8_bit_srgb_through_its_profile(kind: str, options: dict[str, object]) -> None:
    ink = np.repeat(np.repeat(noise((4, 5, 4), np.uint8) // 2, 16, 0), 16, 1)  # JPEG likes squares
    image = Image.frombytes("CMYK", (ink.shape[1], ink.shape[0]), ink.tobytes())

    picture = read(saved(image, kind, icc_profile=cmyk_profile(), **options))

    light = ((1 - ink[..., :3] / 255) * (1 - ink[..., 3:] / 255)) ** 2.2
    assert picture.pixels.dtype == np.uint8
    assert picture.icc_profile is None
    assert picture.notes == ()
    assert np.abs(picture.pixels - encoded_srgb(light) * 255).max() < 4  # the table's own steps


def test_adobes_inverted_cmyk_jpeg_without_profile_is_not_a_negative() -> None:
    paper = Image.new("CMYK", (32, 32), (0, 0, 0, 0))  # Pillow writes Adobe's marker, inverted

    picture = read(saved(paper, "JPEG"), name="p.jpg")

    assert picture.pixels.min() >= 254
    assert "CMYK without a usable colour profile" in picture.notes[0]


def test_lab_becomes_srgb() -> None:
    lab = np.full((8, 8, 3), (128, 128, 128), np.uint8)
    lab[:, 4:] = (138, 209, 198)  # L* 54, a* 81, b* 70: sRGB's red under D50
    lab = lab ^ np.array([0, 128, 128], np.uint8)  # TIFF stores a* and b* as signed bytes
    data = tiff(lab, photometric=8, compression="zlib")

    picture = read(data)

    gray = encoded_srgb(((128 / 2.55 + 16) / 116) ** 3) * 255
    assert np.abs(picture.pixels[:, :4] - gray).max() <= 1
    assert np.abs(picture.pixels[:, 4:].astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "palette TIFF"])
def test_of_several_pictures_the_first_is_read_with_a_note(kind: str) -> None:
    first, second = (Image.new("RGB", (8, 6), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind == "palette TIFF":
        first, kind = first.quantize(2), "TIFF"

    picture = read(
        saved(first, kind, save_all=True, append_images=[second], **options), name="moving"
    )

    assert np.array_equal(picture.pixels, np.broadcast_to([255, 0, 0], (6, 8, 3)))
    assert picture.notes == ("“moving” holds several pictures; the first is used.",)


def test_a_cameras_extra_pictures_in_a_jpeg_are_no_news() -> None:
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))

    picture = read(saved(first, "MPO", save_all=True, append_images=[second]))

    assert picture.notes == ()
    assert picture.pixels[8, 8, 0] > 200


def test_floats_beyond_white_and_below_black_are_kept() -> None:
    samples = noise((*SHAPE, 3), np.float32) * 8 - 2

    picture = read(tiff(samples, iccprofile=P3))

    assert np.array_equal(picture.pixels, samples)


def test_floats_without_a_profile_are_srgb_coded_with_a_note() -> None:
    picture = read(tiff(noise((*SHAPE, 3), np.float32)), name="f.tif")

    assert picture.icc_profile is None
    assert picture.notes == (
        "“f.tif” holds floats without a colour profile; they are taken as sRGB-coded.",
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_gray_floats_without_a_profile_such_as_our_own_masks_need_no_note(channels: int) -> None:
    samples = noise((*SHAPE, channels), np.float32)

    assert read(tiff(samples if channels == 2 else samples[..., 0])).notes == ()


def test_pillows_own_size_limit_is_set_aside_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    samples = noise((*SHAPE, 4), np.uint8)
    tiled = tiff(samples, tile=(16, 16))

    for data in (png(samples), saved(Image.fromarray(samples), "WEBP", lossless=True), tiled):
        assert read(data).pixels.shape == (*SHAPE, 3)
    assert Image.MAX_IMAGE_PIXELS == 20


def test_pictures_are_read_in_several_threads_at_once() -> None:
    pictures = [noise((60, 70, 3), np.uint16, seed) for seed in range(4)]
    wrong = []

    def work(samples: np.ndarray) -> None:
        readings = [read(png(samples)).pixels for _ in range(5)]
        wrong.extend(pixels for pixels in readings if not np.array_equal(pixels, samples))

    threads = [threading.Thread(target=work, args=(samples,)) for samples in pictures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


def test_a_path_may_be_text_and_names_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "ein bïld.png"
    path.write_bytes(png(noise((*SHAPE, 3), np.uint8)))

    assert read_picture(str(path)).name == str(path)
    assert read_picture(path).name == str(path)
    assert read(path.read_bytes()).name == "standard input"
