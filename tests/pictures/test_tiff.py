import io
import struct

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from picture_files import DISPLAY_P3, SRGB_TAG, matrix_profile, noise, tiff
from PIL import Image

from smart_matte.pictures import tiff as tiff_module
from smart_matte.pictures.picture import Picture
from smart_matte.pictures.read import read_picture
from smart_matte.pictures.tiff import encode_tiff

LAYOUTS = {
    "strips": {},
    "short last strip": {"rowsperstrip": 7},
    "deflate": {"compression": "zlib"},
    "differences": {"compression": "zlib", "predictor": True},
    "tiles": {"tile": (16, 32)},
    "tiled differences": {"tile": (32, 16), "compression": "zlib", "predictor": True},
    "planes": {"planarconfig": "separate", "rowsperstrip": 7},
    "tiled planes": {"planarconfig": "separate", "tile": (16, 16), "compression": "zlib"},
    "planes of differences": {
        "planarconfig": "separate",
        "compression": "zlib",
        "predictor": True,
    },
    "big-endian": {"byteorder": ">"},
    "big-endian differences": {"byteorder": ">", "compression": "zlib", "predictor": True},
    "BigTIFF": {"bigtiff": True},
}


def read(data: bytes) -> Picture:
    return read_picture(io.BytesIO(data))


CASES = [
    (dtype, channels, layout)
    for dtype in (np.uint8, np.uint16, np.float16, np.float32)
    for channels in (1, 2, 3, 4)
    for layout, options in LAYOUTS.items()
    # one channel has no planes, and tifffile no float predictor (OpenCV has: see below)
    if not (channels == 1 and "planarconfig" in options)
    and not (np.dtype(dtype).kind == "f" and "predictor" in options)
]


@pytest.mark.parametrize(("dtype", "channels", "layout"), CASES)
def test_every_bit_of_a_tiff_is_read(dtype: npt.DTypeLike, channels: int, layout: str) -> None:
    samples = noise((40, 70, channels), dtype)

    picture = read(tiff(samples[..., 0] if channels == 1 else samples, **LAYOUTS[layout]))

    expected = samples.astype(np.float32) if np.dtype(dtype).kind == "f" else samples
    assert picture.pixels.dtype == expected.dtype
    assert np.array_equal(
        picture.pixels, np.repeat(expected[..., :1], 3, -1) if channels < 3 else expected[..., :3]
    )
    assert (picture.alpha is None) == (channels in (1, 3))
    if channels in (2, 4):
        assert np.array_equal(picture.alpha, expected[..., -1])
    assert all("without a colour profile" in note for note in picture.notes)


@pytest.mark.parametrize(
    "compression", [1, 5, 8, 32773], ids=["none", "LZW", "deflate", "PackBits"]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("dtype", "predictor"),
    [
        (np.uint8, 1),
        (np.uint8, 2),
        (np.uint16, 1),
        (np.uint16, 2),
        (np.float32, 1),
        (np.float32, 3),
    ],
)
def test_what_opencv_packs_is_unpacked(
    dtype: npt.DTypeLike, channels: int, compression: int | str, predictor: int
) -> None:
    samples = noise((40, 70, channels), dtype)
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    done, data = cv2.imencode(
        ".tiff", samples[..., order], [*options, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 7]
    )
    assert done

    picture = read(data.tobytes())

    assert np.array_equal(
        picture.pixels, np.repeat(samples, 3, -1) if channels == 1 else samples[..., :3]
    )


@pytest.mark.parametrize("compression", ["zstd", "lzma", "tiff_lzw", "packbits", "tiff_deflate"])
def test_what_pillow_packs_is_unpacked(compression: int | str) -> None:
    samples = noise((40, 70, 4), np.uint8)
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "TIFF", compression=compression)

    picture = read(file.getvalue())

    assert np.array_equal(picture.pixels, samples[..., :3])
    assert np.array_equal(picture.alpha, samples[..., 3])


def test_a_predictor_without_compression_means_nothing() -> None:
    samples = noise((40, 70, 3), np.uint16)

    data = tiff(samples, extratags=[(65000, "H", 1, 2, True)])
    differences = data.replace(struct.pack("<HHI", 65000, 3, 1), struct.pack("<HHI", 317, 3, 1))

    assert differences != data
    assert np.array_equal(read(differences).pixels, samples)


def test_jpeg_inside_a_tiff_is_left_to_pillow() -> None:
    file = io.BytesIO()
    Image.fromarray(noise((40, 70, 3), np.uint8)).save(file, "TIFF", compression="jpeg")

    picture = read(file.getvalue())

    assert np.array_equal(picture.pixels, np.asarray(Image.open(file)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_white_may_be_zero(dtype: npt.DTypeLike) -> None:
    samples = noise((40, 70), dtype)
    white = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max

    picture = read(tiff(samples, photometric="miniswhite"))

    assert np.array_equal(picture.pixels[..., 0], white - samples)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_premultiplied_colours_become_straight(dtype: npt.DTypeLike, channels: int) -> None:
    straight = noise((40, 70, channels), np.uint16) / 65535
    straight[:5, :, -1] = 0
    white = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    premultiplied = straight * white
    premultiplied[..., :-1] *= straight[..., -1:]
    stored = (np.rint(premultiplied) if white > 1 else premultiplied).astype(dtype)

    picture = read(tiff(stored, extrasamples=["assocalpha"]))

    assert np.array_equal(picture.alpha, stored[..., -1])
    alpha = stored[..., -1:].astype(np.float64) / white
    exact = stored[..., :-1] / np.where(alpha > 0, alpha, 1)
    error = np.abs(picture.pixels[..., : channels - 1] - np.minimum(exact, white))
    assert error.max() <= (0.5 + 1e-9 if white > 1 else 1e-7)


def test_channels_that_are_no_alpha_are_ignored() -> None:
    samples = noise((40, 70, 5), np.uint16)

    nothing = read(tiff(samples[..., :4], extrasamples=["unspecified"]))
    second = read(tiff(samples, extrasamples=["unspecified", "unassalpha"]))

    assert nothing.alpha is None
    assert np.array_equal(nothing.pixels, samples[..., :3])
    assert np.array_equal(second.alpha, samples[..., 4])
    assert np.array_equal(second.pixels, samples[..., :3])


@pytest.mark.parametrize("dtype", [np.uint32, np.float64])
def test_finer_samples_become_32_bit_floats_with_a_note(dtype: npt.DTypeLike) -> None:
    samples = noise((40, 70, 3), dtype)
    white = 1 if dtype == np.float64 else 2**32 - 1

    picture = read(tiff(samples))

    assert np.array_equal(picture.pixels, (samples / white).astype(np.float32))
    assert any("finer than 32-bit floats" in note for note in picture.notes)


def test_float_alpha_is_kept_within_0_and_1() -> None:
    samples = noise((40, 70, 4), np.float32) * 3 - 1

    picture = read(tiff(samples))

    assert np.array_equal(picture.alpha, np.clip(samples[..., 3], 0, 1))
    assert np.array_equal(picture.pixels, samples[..., :3])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_is_encoded_is_read_back_with_its_profile(
    dtype: npt.DTypeLike, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_module, "WRITE_STRIP_BYTES", 5000)  # several strips, the last short
    profile = matrix_profile(DISPLAY_P3, SRGB_TAG) + b"\0" * 3  # of odd length
    samples = noise((41, 70, channels), dtype)

    tags = tiff_module.open_plain_tiff(encode_tiff(samples, profile))
    plain = tiff_module.read_plain_tiff(encode_tiff(samples, profile), tags)

    assert np.array_equal(plain.samples, samples)
    assert plain.icc_profile == profile


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_other_readers_agree_about_what_is_encoded(dtype: npt.DTypeLike, channels: int) -> None:
    samples = noise((41, 70, channels), dtype)
    data = encode_tiff(samples, None)

    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    by_opencv = by_opencv.reshape(samples.shape)[
        ..., [2, 1, 0, 3][:channels] if channels > 1 else [0]
    ]
    if (dtype, channels) != (np.uint8, 4):  # OpenCV premultiplies those
        assert np.array_equal(by_opencv, samples)
    assert np.array_equal(tifffile.imread(io.BytesIO(data)).reshape(samples.shape), samples)
    if dtype == np.uint8 or channels == 1:  # Pillow has no deeper colours
        assert np.array_equal(
            np.asarray(Image.open(io.BytesIO(data))).reshape(samples.shape), samples
        )


def test_alpha_is_declared_straight() -> None:
    with tifffile.TiffFile(io.BytesIO(encode_tiff(noise((4, 5, 4), np.float32), None))) as file:
        assert file.pages[0].extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)


def test_more_than_4_gib_are_refused() -> None:
    strips = [b"x" * (1 << 20)] * 4096
    with pytest.raises(OverflowError):
        tiff_module._assemble({tiff_module.WIDTH: [1]}, strips)
