"""``smart-matte demo``: the main job on two pictures that come with scikit-image."""

from pathlib import Path

import click
import cv2
import numpy as np

from smart_matte.api import cutout
from smart_matte.cli.inputs import Job
from smart_matte.cli.picture_job import Target, cut_out_picture
from smart_matte.engine.options import Options
from smart_matte.engine.types import AnyArray, U8Array, ignore_progress
from smart_matte.errors import OptionError
from smart_matte.pictures.write import PictureFile, make_folder, write_pictures

MAX_MEGAPIXELS = 1.0

# Outlines as a hurried hand draws them: corners (x, y) in pixels.
CAT = (
    (48, 0), (40, 28), (27, 60), (33, 108), (14, 120), (0, 134), (0, 299), (298, 299), (308, 280),
    (324, 256), (322, 226), (348, 186), (360, 148), (372, 112), (352, 78), (380, 52), (394, 0),
)  # fmt: skip
PORTRAIT = (
    (146, 78), (164, 40), (196, 22), (236, 10), (272, 28), (304, 58), (298, 98), (290, 122),
    (272, 150), (302, 204), (310, 244), (336, 270), (366, 312), (362, 350), (396, 340), (452, 360),
    (494, 420), (496, 466), (511, 480), (511, 511), (24, 511), (18, 404), (38, 296), (62, 246),
    (108, 218), (118, 182), (154, 146), (184, 152), (162, 118),
)  # fmt: skip


@click.command("demo")
@click.option("-o", "--output", default="demo", show_default=True, metavar="FOLDER",
              type=click.Path(path_type=Path), help="Where the pictures go.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace pictures that are already there.")
def demo_command(*, output: Path, overwrite: bool) -> None:
    """
    Cut out a cat and a portrait, from rough selections that it draws itself.

    \b
    Example:
      smart-matte demo -o demo --overwrite
    """  # noqa: D301  (click's mark for lines to leave alone)
    make_folder(output)
    for name, (image, outline) in _load_subjects().items():
        picture, selection = output / f"{name}.png", output / f"{name}_selection.png"
        drawn = PictureFile(selection, _fill(outline, image.shape))
        write_pictures([PictureFile(picture, image), drawn], overwrite=overwrite)
        target = Target(output, preview=True, overwrite=overwrite)
        results = cut_out_picture(
            Job(picture, name),
            selection,
            target,
            compute=cutout,
            options=Options(),
            max_megapixels=MAX_MEGAPIXELS,
            progress=ignore_progress,
        )
        click.echo(f"{name}: {results.report.facts()}")
        click.echo(f"{name}: look at {results.files['preview']}")
    click.echo(f"All pictures are in {output.resolve()}")


def _load_subjects() -> dict[str, tuple[AnyArray, tuple[tuple[int, int], ...]]]:
    try:
        from skimage import data  # noqa: PLC0415  (only the demo needs it)
    except ImportError as error:
        raise OptionError(
            "The demo's pictures come with scikit-image: pip install “smart-matte[demo]”."
        ) from error
    return {
        "cat": (data.chelsea(), CAT),  # type: ignore[no-untyped-call]
        "portrait": (data.astronaut(), PORTRAIT),  # type: ignore[no-untyped-call]
    }


def _fill(outline: tuple[tuple[int, int], ...], shape: tuple[int, ...]) -> U8Array:
    selection = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(selection, [np.asarray(outline, np.int32)], 255)
    return selection
