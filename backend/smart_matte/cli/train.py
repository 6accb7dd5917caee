"""``smart-matte train``: renders samples, trains our own network on them, writes its weights."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from PIL import Image

from smart_matte.errors import OptionError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from smart_matte.training.config import TrainingConfig
    from smart_matte.training.shards import SampleFiles

NEEDED = {"lightning_fabric", "tensorboard"}

SHOWN = 24
"""Samples on the sheet that is written when they are rendered."""


@click.command("train")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for checkpoints, curves and weights; a run that is there goes on.",
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of photographs for backgrounds and textures [default: $SMART_MATTE_DATA/photos].",
)
@click.option(
    "--samples",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the rendered samples; what is there isn't rendered again [default: in OUTPUT].",
)
@click.option(
    "--start-from",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A checkpoint of another run to begin with.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Stop after so many for now.")
@click.option("--accelerator", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--devices", default="auto", show_default=True, help="How many of them.")
@click.option("--nodes", default=1, show_default=True, help="Machines that torchrun starts it on.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Processes that render.",
)
def train_command(
    *,
    config: Path,
    output: Path,
    photos: Path | None,
    samples: Path | None,
    start_from: Path | None,
    steps: int | None,
    accelerator: str,
    devices: str,
    nodes: int,
    workers: int,
) -> None:
    """
    Train our own matting network, as the file CONFIG says.

    Samples are rendered first, from photographs and a seed. Training goes on from the newest
    checkpoint in OUTPUT; in the end OUTPUT/fba-compact.safetensors has the weights that did best on
    samples held back. Its curves: tensorboard --logdir OUTPUT

    \b
    Examples:
      smart-matte train backend/smart_matte/training/runs/fba-compact.toml -o run/
      torchrun --nproc-per-node 4 -m smart_matte.cli train run.toml -o run/ --devices 4
    """  # noqa: D301  (click's mark for lines to leave alone)
    try:
        import lightning_fabric  # noqa: F401, PLC0415
        import tensorboard  # type: ignore[import-untyped]  # noqa: F401, PLC0415  (for the curves)

        from smart_matte.training.loop import train  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in NEEDED:
            raise
        raise OptionError(
            'Training needs more than is installed; run: pip install "smart-matte[train]"'
        ) from error
    from smart_matte.training.checkpoints import WEIGHTS  # noqa: PLC0415
    from smart_matte.training.choice import write_best  # noqa: PLC0415
    from smart_matte.training.config import read_config  # noqa: PLC0415
    from smart_matte.training.shards import SampleFiles, plan_shards, render_missing  # noqa: PLC0415

    run = read_config(config)
    if start_from is not None and not (start_from / WEIGHTS).is_file():
        raise OptionError(f"“{start_from}” is no checkpoint; name a folder that has {WEIGHTS}.")
    shards = plan_shards(samples or output / "samples", run.samples)
    fabric = _make_fabric(run, output, accelerator, devices, nodes)
    fabric.launch()
    with fabric.rank_zero_first(local=True):
        missing = [shard for shard in (*shards[1], *shards[0]) if not shard.path.exists()]
        if missing:
            render_missing(missing, photos or _shared_photos(), run.samples, workers)
            sheet = output / "samples.jpg"
            _write_sheet(sheet, SampleFiles(shards[0], run.samples.per_shard))
            fabric.print(f"Rendered {len(missing)} files of samples; some are shown in {sheet}.")

    def tell(step: int, figures: dict[str, float]) -> None:
        words = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        fabric.print(f"{step}/{run.loop.steps}: {words}")

    train(run, shards, output, fabric, tell, start_from=start_from, most_steps=steps)
    if fabric.is_global_zero:
        best, weights = write_best(output)
        click.echo(f"{weights} has the weights of {best.name}.")


def _make_fabric(
    run: "TrainingConfig", output: Path, accelerator: str, devices: str, nodes: int
) -> "Fabric":
    """
    Choose where to train, and in which precision.

    Raises:
        OptionError: there is no such device or precision.
    """
    from lightning_fabric import Fabric  # noqa: PLC0415
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger  # noqa: PLC0415
    from lightning_fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415

    try:
        return Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=run.loop.precision,  # type: ignore[arg-type]
            loggers=TensorBoardLogger(output, name="", version="curves"),
        )
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        raise OptionError(f"Training can't begin: {error}") from error


def _write_sheet(path: Path, samples: "SampleFiles") -> None:
    from smart_matte.training.sheets import sample_sheet  # noqa: PLC0415

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sample_sheet(samples, SHOWN)).save(path, quality=90)


def _shared_photos() -> Path:
    data = os.environ.get("SMART_MATTE_DATA")
    if not data:
        raise OptionError("Say where photographs are with --photos FOLDER or in SMART_MATTE_DATA.")
    return Path(data) / "photos"
