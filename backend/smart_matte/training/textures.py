"""Colour to fill drawings with: from photographs, made up, and shaded."""

from collections.abc import Sequence

import cv2
import numpy as np

from smart_matte.engine.types import AnyArray, FloatArray, U8Array
from smart_matte.training.chance import draw_log_uniform

HAIR_COLOURS: FloatArray = np.array(
    [
        (0.07, 0.06, 0.06),  # black
        (0.22, 0.14, 0.09),  # dark brown
        (0.42, 0.28, 0.17),  # brown
        (0.62, 0.45, 0.27),  # dark blond
        (0.84, 0.70, 0.47),  # blond
        (0.55, 0.27, 0.12),  # red
        (0.62, 0.61, 0.60),  # grey
        (0.93, 0.91, 0.88),  # white
    ],
    np.float32,
)


def make_noise(
    random: np.random.Generator,
    size_px: int,
    cells: float = 3,
    octaves: int = 5,
    persistence: float = 0.55,
) -> FloatArray:
    """
    Fractal value noise.

    Args:
        random: where the randomness comes from.
        size_px: side S of the picture.
        cells: random values along a side in the coarsest octave; each next one has twice as many.
        octaves: how many are added.
        persistence: strength of an octave over the one before.

    Returns:
        float32 (S, S), mean about 0, largest magnitude 1.
    """
    noise = np.zeros((size_px, size_px), np.float32)
    strength = 1.0
    for octave in range(octaves):
        count = min(size_px, int(cells * 2**octave) + 2)
        grid = (strength * random.standard_normal((count, count))).astype(np.float32)
        noise += cv2.resize(grid, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        strength *= persistence
    return np.asarray(noise / np.abs(noise).max(), np.float32)


def pick_colour(random: np.random.Generator, photos: Sequence[U8Array]) -> FloatArray:
    """Draw one colour, float32 (3,): of a photograph's pixel, of hair, or any."""
    choice = random.random()
    if choice < 0.5:  # noqa: PLR2004
        photo = photos[int(random.integers(len(photos)))]
        row, column = random.integers(photo.shape[0]), random.integers(photo.shape[1])
        return np.asarray(photo[row, column] / np.float32(255), np.float32)
    if choice < 0.85:  # noqa: PLR2004
        return pick_hair_colour(random)
    return random.random(3, np.float32)


def pick_hair_colour(random: np.random.Generator) -> FloatArray:
    """Draw a colour that hair has, float32 (3,)."""
    near = HAIR_COLOURS[random.integers(len(HAIR_COLOURS), size=1)]
    colour: FloatArray = vary_colours(random, near, 0.12)[0]
    return colour


def vary_colours(random: np.random.Generator, colours: AnyArray, amount: float) -> FloatArray:
    """Vary each of colours (N, 3) in brightness by about *amount*, and a little in hue."""
    count = len(colours)
    gain = np.exp(random.normal(0, amount, (count, 1)))
    tint = random.normal(0, amount / 4, (count, 3))
    return np.asarray(np.clip(colours * gain + tint * colours.mean(), 0, 1), np.float32)


def crop_photo(random: np.random.Generator, photos: Sequence[U8Array], size_px: int) -> FloatArray:
    """
    Cut a square out of a photograph, turned, brought to size and changed in tone.

    Returns:
        float32 (S, S, 3), [0, 1].
    """
    photo = photos[int(random.integers(len(photos)))]
    height, width = photo.shape[:2]
    largest = min(height, width)
    side = int(random.integers(max(1, min(largest, size_px // 3)), largest + 1))
    top, left = random.integers(height - side + 1), random.integers(width - side + 1)
    crop = photo[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    resized = cv2.resize(crop, (size_px, size_px), interpolation=method)
    turned = np.rot90(resized, int(random.integers(4)))
    tone = (turned / np.float32(255)) ** np.float32(random.uniform(0.6, 1.5))
    tone = tone * random.uniform(0.75, 1.15) + random.normal(0, 0.05, 3)
    grey = tone.mean(axis=2, keepdims=True)
    return np.asarray(np.clip(grey + (tone - grey) * random.uniform(0.2, 1.4), 0, 1), np.float32)


def make_pattern(
    random: np.random.Generator, photos: Sequence[U8Array], size_px: int
) -> FloatArray:
    """
    Make up a pattern of two colours: stripes, spots, checks or clouds, bent by noise.

    Returns:
        float32 (S, S, 3), [0, 1].
    """
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
    warp_px = random.uniform(0, 0.08) * size_px
    rows += warp_px * make_noise(random, size_px, 2, 3)
    columns += warp_px * make_noise(random, size_px, 2, 3)
    turn = random.uniform(0, np.pi)
    along = rows * np.sin(turn) + columns * np.cos(turn)
    across = columns * np.sin(turn) - rows * np.cos(turn)
    period_px = draw_log_uniform(random, 5, size_px / 4)
    phase = 2 * np.pi / period_px
    kind = random.integers(4)
    if kind == 0:
        wave = np.sin(along * phase)
    elif kind == 1:
        wave = np.sin(along * phase) + np.sin(across * phase) - 0.5
    elif kind == 2:  # noqa: PLR2004
        wave = np.sin(along * phase) * np.sin(across * phase)
    else:
        wave = 2 * make_noise(random, size_px, size_px / period_px, 4)
    mix = 1 / (1 + np.exp(-wave * random.uniform(1, 9)))
    first, second = pick_colour(random, photos), pick_colour(random, photos)
    pattern = first + (second - first) * mix[..., None]
    grain = 1 + random.uniform(0, 0.25) * make_noise(random, size_px, size_px / 6, 2)
    return np.asarray(np.clip(pattern * grain[..., None], 0, 1), np.float32)


def make_texture(
    random: np.random.Generator, photos: Sequence[U8Array], size_px: int
) -> FloatArray:
    """
    Fill a square with a photograph's crop, a pattern, or a colour with grain.

    Returns:
        float32 (S, S, 3), [0, 1].
    """
    choice = random.random()
    if choice < 0.6:  # noqa: PLR2004
        return crop_photo(random, photos, size_px)
    if choice < 0.85:  # noqa: PLR2004
        return make_pattern(random, photos, size_px)
    plain = pick_colour(random, photos) * np.ones((size_px, size_px, 1), np.float32)
    return vary_with_noise(random, plain, random.uniform(0.1, 0.5))


def vary_with_noise(random: np.random.Generator, colour: FloatArray, amount: float) -> FloatArray:
    """Brighten and darken *colour* (S, S, 3) in patches by up to *amount*."""
    noise = make_noise(random, len(colour), random.uniform(2, 12), 5, random.uniform(0.5, 0.8))
    return np.asarray(np.clip(colour * (1 + amount * noise)[..., None], 0, 1), np.float32)


def shade_body(random: np.random.Generator, colour: FloatArray, coverage: FloatArray) -> FloatArray:
    """
    Light a flat body as if it were bulging and uneven, from one side, with a gloss.

    Args:
        random: where the randomness comes from.
        colour: float32 (S, S, 3), [0, 1].
        coverage: of the body, float32 (S, S), [0, 1].

    Returns:
        float32 (S, S, 3), [0, 1].
    """
    size_px = len(coverage)
    inside = np.pad((coverage > 0.5).astype(np.uint8), 1)  # noqa: PLR2004
    depth_px = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    height = np.sqrt(depth_px / max(1.0, float(depth_px.max())))
    height = cv2.GaussianBlur(height, (0, 0), size_px / 50)
    height += random.uniform(0.02, 0.25) * make_noise(random, size_px, random.uniform(3, 12), 4)
    relief_px = random.uniform(0.15, 0.5) * size_px
    normal = np.stack(
        [
            -relief_px * cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) / 8,
            -relief_px * cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3) / 8,
            np.ones_like(height),
        ],
        axis=2,
    )
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    turn, tilt = random.uniform(0, 2 * np.pi), random.uniform(0.3, 1.2)
    light = np.array([np.cos(turn) * np.sin(tilt), np.sin(turn) * np.sin(tilt), np.cos(tilt)])
    lit = np.maximum(normal @ light.astype(np.float32), 0)
    half = light + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    gloss = np.maximum(normal @ half.astype(np.float32), 0) ** random.uniform(8, 60)
    ambient = random.uniform(0.25, 0.7)
    shaded = colour * (ambient + (1.15 - ambient) * lit)[..., None]
    shaded += random.uniform(0, 0.5) * random.random() * gloss[..., None]
    return np.asarray(np.clip(shaded, 0, 1), np.float32)
