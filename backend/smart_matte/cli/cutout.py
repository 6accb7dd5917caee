"""``smart-matte cutout``: pictures and rough selections in, masks and clean foregrounds out."""

import json
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from smart_matte.cli.compute import open_compute
from smart_matte.cli.inputs import Job, find_jobs, find_selection
from smart_matte.cli.picture_job import Results, Target, cut_out_picture, write_cutout_to
from smart_matte.engine.options import MATTERS, RECIPES, SEGMENTERS, TRIMAPS, Options
from smart_matte.engine.types import Progress
from smart_matte.errors import Cancelled, OptionError, OutputError, SmartMatteError

STANDARD_OUTPUT = "-"


@dataclass(frozen=True)
class Outcome:
    """How one picture went: its results, or the error."""

    job: Job
    results: Results | None = None
    error: SmartMatteError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        if self.error is not None:
            return {
                "picture": self.job.label,
                "error": {"code": self.error.code, "message": str(self.error)},
            }
        assert self.results is not None  # noqa: S101  (one of the two is always there)
        return {
            "picture": self.job.label,
            "files": {kind: str(path) for kind, path in self.results.files.items()},
            "notes": list(self.results.notes),
            "report": self.results.report.as_dict(),
        }


@click.command("cutout")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...")
@click.option(
    "-s", "--selection", metavar="FILE|FOLDER",
    help="Rough selection, white on black, of the picture's size; or a folder with one for each"
    " picture, under its name. A trimap (black, grey, white) works too.",
)  # fmt: skip
@click.option(
    "-o", "--output", default=".", metavar="FOLDER|-", show_default=".",
    help="Where the results go; “-” writes the cut-out as PNG to standard output.",
)  # fmt: skip
@click.option("--preview", is_flag=True, help="Also write a contact sheet of all steps.")
@click.option("--overwrite", is_flag=True, help="Replace results that are already there.")
@click.option(
    "--matter", default="auto", show_default=True, type=click.Choice(("auto", *MATTERS)),
    help="Matting model.",
)  # fmt: skip
@click.option(
    "--segmenter", default="auto", show_default=True, type=click.Choice(("auto", *SEGMENTERS)),
    help="What helps the selection: a network, its own colours, or nothing.",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--class", "classes", multiple=True, metavar="NAME",
    help="What the subject is, for a segmentation network: person, cat, dog, horse, bird, …;"
    " repeat it for several.",
)  # fmt: skip
@click.option(
    "--recipe", type=click.Choice(tuple(RECIPES)),
    help="Trimap settings of a published pipeline; the options below still change them.",
)  # fmt: skip
@click.option(
    "--trimap", type=click.Choice(TRIMAPS),
    help="Refine the trimap to the picture's edges, or take the network's probability as it is.",
)  # fmt: skip
@click.option("--outer-radius", "outer_radius_px", type=float, metavar="PX",
              help="Unknown band outside the edge [default: 1.2 % of the diagonal].")  # fmt: skip
@click.option("--inner-radius", "inner_radius_px", type=float, metavar="PX",
              help="Unknown band inside the edge [default: 0.8 % of the diagonal].")  # fmt: skip
@click.option("--low-probability", type=float, metavar="P",
              help="Below it is background, with --trimap probability.")  # fmt: skip
@click.option("--high-probability", type=float, metavar="P",
              help="Above it is foreground, with --trimap probability.")  # fmt: skip
@click.option("--holes/--no-holes", default=None,
              help="Look for gaps that go into the subject [default: yes].")  # fmt: skip
@click.option(
    "--decontaminate", type=float, metavar="PERCENT",
    help="How much of the background's colour to take out [default: 100].",
)  # fmt: skip
@click.option(
    "--shift-edge", type=float, metavar="PERCENT",
    help="Move the soft edge inwards (to -100) or outwards (to 100) [default: 0].",
)  # fmt: skip
@click.option("--max-megapixels", default=100.0, show_default=True,
              type=click.FloatRange(min=0, min_open=True),
              help="Refuse larger pictures.")  # fmt: skip
@click.option(
    "--no-backend",
    is_flag=True,
    envvar="SMART_MATTE_NO_BACKEND",
    help="Compute in this process, not in the backend that stays ready.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
def cutout_command(
    *,
    pictures: tuple[str, ...],
    selection: str | None,
    output: str,
    preview: bool,
    overwrite: bool,
    recipe: str | None,
    max_megapixels: float,
    no_backend: bool,
    as_json: bool,
    **choices: Any,  # noqa: ANN401  (click hands over one of each option)
) -> None:
    """
    Cut subjects out of pictures: files, folders, patterns, or “-” for standard input.

    For photo.jpg it writes photo_alpha.png, photo_foreground.png (the background's colour taken
    out), photo_cutout.png (with transparency) and photo_trimap.png. A 32-bit picture gives .tif.
    Of a folder or pattern, pictures that end like these results are left out.

    Without a selection a network has to find the subject; once:
    smart-matte weights fetch deeplabv3-mobilenetv2

    \b
    Examples:
      smart-matte cutout photo.jpg --selection rough.png -o out/ --preview
      smart-matte cutout portrait.jpg --class person -o out/
      smart-matte cutout photos/ --selection masks/ -o out/
      smart-matte cutout "scans/*.tif" -o out/ --matter closed-form --json
      cat photo.jpg | smart-matte cutout - -s rough.png -o - > cutout.png
    """  # noqa: D301  (click's mark for lines to leave alone)
    options = _make_options(recipe, choices)
    if not math.isfinite(max_megapixels):
        raise OptionError(f"--max-megapixels is {max_megapixels}; give a number.")
    jobs = find_jobs(pictures)
    target = _find_target(output, preview=preview, overwrite=overwrite)
    if target is None and (len(jobs) > 1 or as_json or preview):
        raise OptionError(
            "Standard output takes one cut-out and nothing else; give a folder with --output."
        )

    with open_compute(use_backend=not no_backend) as compute:
        how: Any = {"compute": compute, "options": options, "max_megapixels": max_megapixels}

        def run(job: Job, progress: Progress) -> Results:
            selected = find_selection(selection, job)
            if target is None:
                return write_cutout_to(_standard_output(), job, selected, progress=progress, **how)
            return cut_out_picture(job, selected, target, progress=progress, **how)

        outcomes, is_stopped = _run_all(jobs, run, quiet=as_json)
    if as_json:
        click.echo(json.dumps({"pictures": [outcome.as_dict() for outcome in outcomes]}, indent=2))
    elif len(jobs) > 1:
        _sum_up(outcomes)
    _exit(outcomes, len(jobs), is_stopped=is_stopped)


def _make_options(recipe: str | None, choices: dict[str, Any]) -> Options:
    given = {name: value for name, value in choices.items() if value not in (None, ())}
    return RECIPES[recipe](**given) if recipe else Options(**given)


def _find_target(output: str, *, preview: bool, overwrite: bool) -> Target | None:
    """Where results go; None is standard output."""
    if not output:
        raise OptionError("The output folder's name is empty; name a folder.")
    if output == STANDARD_OUTPUT:
        return None
    return Target(Path(output), preview=preview, overwrite=overwrite)


def _standard_output() -> BinaryIO:
    if sys.stdout is None:
        raise OutputError("Standard output is closed; give a folder with --output.")
    return sys.stdout.buffer


def _run_all(
    jobs: Sequence[Job], run: Callable[[Job, Progress], Results], *, quiet: bool
) -> tuple[list[Outcome], bool]:
    """Run every job to its end, whatever happens to the others; or until the user stops it."""
    outcomes: list[Outcome] = []
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    bar = ProgressBar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    with bar:
        overall = bar.add_task("pictures", total=len(jobs), visible=len(jobs) > 1)
        for job in jobs:
            task = bar.add_task(job.name, total=1.0)
            try:
                outcome = _run_one(job, run, partial(_show_progress, bar, task, job))
            except KeyboardInterrupt:
                return outcomes, True
            finally:
                bar.remove_task(task)
            bar.advance(overall)
            outcomes.append(outcome)
            if not quiet:
                _tell(outcome, console, is_alone=len(jobs) == 1)
    return outcomes, False


def _show_progress(bar: ProgressBar, task: TaskID, job: Job, stage: str, fraction: float) -> None:
    bar.update(task, description=f"{job.name}: {stage}", completed=fraction)


def _run_one(job: Job, run: Callable[[Job, Progress], Results], progress: Progress) -> Outcome:
    try:
        return Outcome(job, results=run(job, progress))
    except SmartMatteError as error:
        return Outcome(job, error=error)
    except BrokenPipeError:
        raise
    except MemoryError:
        sentence = f"{job.label} needs more memory than there is; make the picture smaller."
    except Exception as error:  # noqa: BLE001  (one bad file never stops the rest)
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        sentence = f"{job.label} failed in a way we did not foresee, tell us: {cause} at {where}."
    return Outcome(job, error=SmartMatteError(sentence))


def _tell(outcome: Outcome, console: Console, *, is_alone: bool) -> None:
    """One line a picture; of several, failures and fallbacks wait for the end."""
    if outcome.error is not None:
        console.print(
            f"smart-matte: {outcome.error}" if is_alone else f"{outcome.job.label}: failed"
        )
    elif outcome.results is not None:
        report = outcome.results.report
        console.print(f"{outcome.job.label}: {report.facts()}")
        for remark in report.remarks() if is_alone else ():
            console.print(f"  {remark}")
        for note in outcome.results.notes:
            console.print(f"{outcome.job.label}: {note}")


def _sum_up(outcomes: Sequence[Outcome]) -> None:
    """The end of a call with several pictures: each remark and each failure once."""
    reports = [outcome.results.report for outcome in outcomes if outcome.results is not None]
    for remark in dict.fromkeys(remark for report in reports for remark in report.remarks()):
        click.echo(remark, err=True)
    click.echo(f"{len(reports)} cut out, {len(outcomes) - len(reports)} failed.", err=True)
    for outcome in outcomes:
        if outcome.error is not None:
            click.echo(f"  {outcome.job.label}: {outcome.error}", err=True)


def _exit(outcomes: Sequence[Outcome], wanted: int, *, is_stopped: bool) -> None:
    if is_stopped:
        click.echo(f"smart-matte: stopped; {len(outcomes)} of {wanted} were finished.", err=True)
        sys.exit(Cancelled.exit_code)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors:
        sys.exit(errors[0].exit_code if wanted == 1 else 1)
