"""Pixels between the wire's planes and the engine's arrays: memory layout and coding alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from smart_matte.engine.cutout import Cutout, RawCutout, finish
from smart_matte.engine.hints import check_trimap
from smart_matte.engine.options import Options
from smart_matte.engine.types import UNKNOWN, AnyArray, FloatArray
from smart_matte.errors import SelectionError
from smart_matte_link.messages import CHANNELS, Output, Plane
from smart_matte_link.strict_json import refuse

SAMPLE_TYPES = {"u8": "<u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}
"""numpy's names for the wire's sample types."""

BAND_SAMPLES = 1 << 20
"""Samples converted at a time: keeps the intermediate values small."""

# IEC 61966-2-1, the sRGB transfer function.
LINEAR_TOE, CODED_TOE = 0.0031308, 0.04045
TOE_SLOPE, SCALE, OFFSET, GAMMA = 12.92, 1.055, 0.055, 2.4


@dataclass(frozen=True)
class SourceImage:
    """
    The picture of a job as it came.

    Attributes:
        plane: its size, sample type and encoding, and the order its channels had on the wire.
        samples: (H, W, 1 to 4), in the sample type it came in, channels as GRAY, GRAYA, RGB, RGBA.
    """

    plane: Plane
    samples: AnyArray

    @property
    def channels(self) -> int:
        """Colour channels: 1 or 3."""
        return 1 if self.samples.shape[2] <= 2 else 3  # noqa: PLR2004

    def for_engine(self) -> AnyArray:
        """The picture sRGB-coded: itself, or a float32 copy when it is in linear light."""
        if self.plane.encoding == "srgb":
            return self.samples
        coded = np.empty(self.samples.shape, np.float32)
        for rows in row_bands(self.plane, 4):
            coded[rows] = to_sample(self.samples[rows], "f32")
            colour = coded[rows, :, : self.channels]
            colour[...] = srgb_from_linear(colour)
        return coded

    def finish(self, raw: RawCutout, options: Options) -> Cutout:
        """Finish a raw result of this picture; the foreground is sRGB-coded, as ``for_engine``."""
        return finish(raw, self.for_engine(), options)


def source_image(plane: Plane, samples: AnyArray) -> SourceImage:
    """Take over a picture's samples as they came; of BGR the channels are swapped in place."""
    if plane.order.startswith("BGR"):
        for rows in row_bands(plane, 1):
            blue = samples[rows, :, 0].copy()
            samples[rows, :, 0] = samples[rows, :, 2]
            samples[rows, :, 2] = blue
    return SourceImage(plane, samples)


def trimap_from_plane(samples: AnyArray) -> FloatArray:
    """
    A user's trimap as the engine knows one.

    Args:
        samples: (H, W); full values are foreground, zeros background, all between unknown.

    Returns:
        float32 (H, W); 0, 0.5, 1.

    Raises:
        SelectionError: it has values that are no numbers, or lacks one of the three kinds.
    """
    coverage = to_sample(samples, "f32")
    if not np.isfinite(coverage).all():
        raise SelectionError("The trimap holds values that are not numbers; paint it again.")
    is_foreground = coverage >= 1
    coverage[...] = np.where(coverage <= 0, np.float32(0), np.float32(UNKNOWN))
    coverage[is_foreground] = 1
    if not (coverage == UNKNOWN).any():
        raise SelectionError(
            "The trimap has nothing unknown: paint the subject's edge grey and try again."
        )
    check_trimap(coverage)  # without one kind the engine would take it for a selection
    return coverage


def check_outputs(image: Plane, outputs: tuple[Output, ...]) -> None:
    """
    Refuse what can't be given back for a picture.

    Raises:
        ProtocolError: a colour picture's foreground is wanted in gray.
    """
    for output in outputs:
        if output.role == "foreground" and CHANNELS[output.order] < 3 <= CHANNELS[image.order]:  # noqa: PLR2004
            refuse("The foreground of a colour picture can't be gray.", "bad_geometry")


def cut_into_chunks(
    planes: tuple[Plane, ...], image: SourceImage, cutout: Cutout, chunk_bytes: int
) -> Iterator[memoryview]:
    """
    The bytes of a result, plane after plane, converted only as they are taken.

    Args:
        planes: what is asked for (``Output.plane_for``).
        image: the job's picture.
        cutout: its finished result.
        chunk_bytes: most bytes of a chunk.
    """
    for plane in planes:
        rows_at_once = max(1, chunk_bytes // plane.row_bytes)
        for top in range(0, plane.height, rows_at_once):
            rows = slice(top, min(top + rows_at_once, plane.height))
            samples = output_rows(plane, image, cutout, rows)
            encoded = memoryview(np.ascontiguousarray(samples).data).cast("B")
            for start in range(0, len(encoded), chunk_bytes):
                yield encoded[start : start + chunk_bytes]


def output_rows(plane: Plane, image: SourceImage, cutout: Cutout, rows: slice) -> AnyArray:
    """
    Some rows of a result.

    Returns:
        (rows, W, channels of the plane's order) in the plane's sample type. Of a foreground all
        that is known is bit-exactly the picture's own where the sample types are the same, and
        its A is full.
    """
    if plane.role != "foreground":
        values = cutout.alpha if plane.role == "alpha" else cutout.trimap
        return to_sample(values[rows, :, None], plane.sample)
    colour = cutout.foreground[rows].reshape(rows.stop - rows.start, plane.width, -1)
    if image.plane.encoding == "linear":
        colour = _in_linear_light(colour, image, cutout, rows)
    return _in_order(to_sample(colour, plane.sample), plane)


def _in_order(colour: AnyArray, plane: Plane) -> AnyArray:
    """The channels that a plane has, from 1 or 3 colour channels in its sample type."""
    count = CHANNELS[plane.order]
    result = np.empty((*colour.shape[:2], count), SAMPLE_TYPES[plane.sample])
    if has_alpha(plane.order):
        count -= 1
        result[..., count] = full_value(plane.sample)
    colour = np.broadcast_to(colour, (*colour.shape[:2], count))
    if plane.order.startswith("BGR"):
        colour = colour[..., ::-1]
    for channel in range(count):  # numpy takes four times as long for all at once
        result[..., channel] = colour[..., channel]
    return result


def _in_linear_light(
    coded: FloatArray, image: SourceImage, cutout: Cutout, rows: slice
) -> AnyArray:
    """The picture's own colour, and where it is unknown the foreground, brought to its coding."""
    own = image.samples[rows, :, : image.channels].copy()
    is_unknown = cutout.trimap[rows] == UNKNOWN
    own[is_unknown] = to_sample(linear_from_srgb(coded[is_unknown]), image.plane.sample)
    return own


def to_sample(samples: AnyArray, sample: str) -> AnyArray:
    """
    Convert to a sample type of the wire, rounding to the nearest; as they are where they fit.

    Args:
        samples: any of the wire's sample types; integers in full scale, floats with 1 as full.
        sample: "u8", "u16", "f16" or "f32". What it can't hold is clipped.
    """
    kind = np.dtype(SAMPLE_TYPES[sample])
    if samples.dtype == kind:
        return samples
    values = samples.astype(np.float32)
    if samples.dtype.kind == "u":
        values /= np.float32(np.iinfo(samples.dtype).max)
    if kind.kind == "u":
        full = np.iinfo(kind).max
        values = np.rint(np.clip(values, 0, 1) * np.float32(full))
    else:
        values = np.clip(values, np.finfo(kind).min, np.finfo(kind).max)
    result: AnyArray = values.astype(kind)
    return result


def full_value(sample: str) -> int:
    """What means 1 in a sample type."""
    kind = np.dtype(SAMPLE_TYPES[sample])
    return 1 if kind.kind == "f" else int(np.iinfo(kind).max)


def has_alpha(order: str) -> bool:
    """Whether a channel order ends with the opacity."""
    return order.endswith("A")


def srgb_from_linear(values: FloatArray) -> FloatArray:
    """The sRGB coding of linear light (IEC 61966-2-1); goes on above 1, and mirrored below 0."""
    size, toe = np.abs(values), np.float32(LINEAR_TOE)
    curved = SCALE * np.power(np.maximum(size, toe), 1 / GAMMA) - OFFSET
    coded = np.where(size <= toe, TOE_SLOPE * np.minimum(size, toe), curved)
    return np.copysign(coded, values).astype(np.float32)


def linear_from_srgb(values: FloatArray) -> FloatArray:
    """The linear light of sRGB-coded values: undoes ``srgb_from_linear``."""
    size, toe = np.abs(values), np.float32(CODED_TOE)
    curved = np.power((np.maximum(size, toe) + OFFSET) / SCALE, GAMMA)
    return np.copysign(np.where(size <= toe, size / TOE_SLOPE, curved), values).astype(np.float32)


def row_bands(plane: Plane, channels: int) -> Iterator[slice]:
    """The rows of a plane in bands of about BAND_SAMPLES samples."""
    rows_at_once = max(1, BAND_SAMPLES // (plane.width * channels))
    for top in range(0, plane.height, rows_at_once):
        yield slice(top, min(top + rows_at_once, plane.height))
