"""``smart-matte evaluate``: measures matting models on pictures whose alpha is known."""

import json
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import rich.console

from smart_matte.engine.options import MATTERS, SEGMENTERS
from smart_matte.errors import OptionError, OutputError
from smart_matte.evaluation.datasets import SETS
from smart_matte.evaluation.evaluate import Plan
from smart_matte.evaluation.evaluate import evaluate as run_plan
from smart_matte.evaluation.ratios import compare
from smart_matte.evaluation.references import REFERENCES
from smart_matte.evaluation.rows import Row
from smart_matte.evaluation.tables import (
    Table,
    describe_machine,
    summarise,
    summarise_colours,
    tabulate,
    tabulate_ratios,
    to_markdown,
    to_rich,
)

FILE_WIDTH = 200
"""Characters in a line when nobody's terminal limits it."""

ALL = "all"
"""Stands for every matting model whose weights are here and every reference."""


@click.command("evaluate")
@click.option(
    "--data",
    envvar="SMART_MATTE_DATA",
    type=click.Path(path_type=Path),
    help="Folder that holds alphamatting, fba_reference and photos [default: $SMART_MATTE_DATA].",
)
@click.option(
    "--matter",
    "matters",
    multiple=True,
    default=("auto",),
    type=click.Choice(("auto", ALL, *MATTERS, *REFERENCES)),
    help="Matting model; repeat it to compare several. Those without weights are left out.",
)
@click.option(
    "--segmenter",
    "segmenters",
    multiple=True,
    default=("auto",),
    type=click.Choice(("auto", *SEGMENTERS)),
    help="What helps the rough selection; repeat it to compare several.",
)
@click.option("--sets", default=",".join(SETS), show_default=True, help="Sets, with commas.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many pictures of each set.")
@click.option("--pictures", default="", help="Only these pictures, with commas.")
@click.option("--seed", default=0, show_default=True, help="Of the rough selections.")
@click.option("--device", default="auto", show_default=True, help="Device for the networks.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for results.md, results.json and a contact sheet of each picture.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def evaluate(
    *,
    data: Path | None,
    matters: tuple[str, ...],
    segmenters: tuple[str, ...],
    sets: str,
    limit: int | None,
    pictures: str,
    seed: int,
    device: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """
    Measure matting models on pictures whose alpha is known.

    Sets with trimaps measure the matting model alone. The set “rough” draws a hurried selection,
    “loose” a polygon well outside of the subject; both run the whole program, and results worse
    than their selection are flagged. “synthetic” renders pictures, whose foreground colour is
    known too. The pymatting matting models are references to compare with; pymatting-knn takes
    long. With pymatting-cf among them, every figure is also shown as a ratio to its.

    \b
    Examples:
      smart-matte evaluate --data ../shared/data --matter closed-form --segmenter grabcut
      smart-matte evaluate --sets rough --limit 3 --output out/
      smart-matte evaluate --matter all --pictures GT13,troll --output out/
    """  # noqa: D301  (click's mark for lines to leave alone)
    if data is None:
        raise OptionError(
            "Say where the pictures with known alpha are with --data FOLDER or in SMART_MATTE_DATA."
        )
    plan = Plan(
        data=data,
        sets=[name.strip() for name in sets.split(",")],
        matters=(*MATTERS, *REFERENCES) if ALL in matters else matters,
        segmenters=segmenters,
        device=device,
        limit=limit,
        pictures=[name.strip() for name in pictures.split(",") if name.strip()],
        seed=seed,
        sheets=None if output is None else output / "sheets",
    )
    results = _Results(_command(plan))

    def tell(sentence: str) -> None:
        results.left_out.append(sentence)
        click.echo(sentence, err=True)

    for row in run_plan(plan, tell):
        results.rows.append(row)
        click.echo(_progress_line(row), err=True)
    if output is not None:
        _write(output / "results.md", results.as_markdown())
        _write(output / "results.json", results.as_json())
    if as_json:
        click.echo(results.as_json(), nl=False)
        return
    console = rich.console.Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    for table in (*tabulate(results.rows), *results.summaries()):
        console.print(to_rich(table))


@dataclass(frozen=True)
class _Results:
    """All rows of a run, the command that makes them again, and what could not run."""

    command: str
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def summaries(self) -> list[Table]:
        """The tables that put the engines beside each other."""
        ratios = tabulate_ratios(compare(self.rows))
        return [summarise(self.rows), *summarise_colours(self.rows), *ratios]

    def as_markdown(self) -> str:
        tables = (*self.summaries(), *tabulate(self.rows))
        machine = describe_machine(self.rows)
        return to_markdown(tables, self.command, machine, self.left_out)

    def as_json(self) -> str:
        facts = {
            "command": self.command,
            "machine": describe_machine(self.rows),
            "left_out": self.left_out,
            "ratios": [asdict(ratio) for ratio in compare(self.rows)],
            "rows": [row.as_dict() for row in self.rows],
        }
        return json.dumps(facts, indent=2) + "\n"


def _command(plan: Plan) -> str:
    """The command line of a plan, without the folders, which differ from machine to machine."""
    words = ["smart-matte", "evaluate", "--sets", ",".join(plan.sets)]
    for name in plan.matters:
        words += ["--matter", name]
    for name in plan.segmenters:
        words += ["--segmenter", name]
    if plan.limit is not None:
        words += ["--limit", str(plan.limit)]
    if plan.pictures:
        words += ["--pictures", ",".join(plan.pictures)]
    words += ["--seed", str(plan.seed), "--device", plan.device]
    return shlex.join(words)


def _progress_line(row: Row) -> str:
    """One line to watch a long run by."""
    verdict = "  worse than its selection" if row.is_worse else ""
    return (
        f"{row.set_name} {row.picture} {row.engine}: SAD {row.errors.sad:.2f}, {row.seconds:.1f} s"
        + verdict
    )


def _write(path: Path, text: str) -> None:
    """
    Write a text file.

    Raises:
        OutputError: the folder or the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"“{path}” can't be written; choose another folder with --output."
        ) from error
