"""``smart-matte evaluate``: measures matting models on pictures whose alpha is known."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import rich.console

from smart_matte.engine.options import MATTERS, SEGMENTERS
from smart_matte.errors import OptionError, OutputError
from smart_matte.evaluation.datasets import SETS
from smart_matte.evaluation.evaluate import Plan, Row
from smart_matte.evaluation.evaluate import evaluate as run_plan
from smart_matte.evaluation.tables import (
    describe_machine,
    summarise,
    tabulate,
    to_markdown,
    to_rich,
)

FILE_WIDTH = 200
"""Characters in a line when nobody's terminal limits it."""


@click.command("evaluate")
@click.option(
    "--data",
    envvar="SMART_MATTE_DATA",
    type=click.Path(path_type=Path),
    help="Folder that holds alphamatting and fba_reference [default: $SMART_MATTE_DATA].",
)
@click.option(
    "--matter",
    "matters",
    multiple=True,
    default=("auto",),
    type=click.Choice(("auto", *MATTERS)),
    help="Matting model; repeat it to compare several.",
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
    seed: int,
    device: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """
    Measure matting models on pictures whose alpha is known.

    Sets with trimaps measure the matting model alone. The set “rough” draws a hurried selection,
    “loose” a polygon well outside of the subject; both run the whole program, and results worse
    than their selection are flagged.

    \b
    Examples:
      smart-matte evaluate --data ../shared/data --matter closed-form --segmenter grabcut
      smart-matte evaluate --sets rough --limit 3 --output out/
    """  # noqa: D301  (click's mark for lines to leave alone)
    if data is None:
        raise OptionError(
            "Say where the pictures with known alpha are with --data FOLDER or in SMART_MATTE_DATA."
        )
    plan = Plan(
        data=data,
        sets=[name.strip() for name in sets.split(",")],
        matters=matters,
        segmenters=segmenters,
        device=device,
        limit=limit,
        seed=seed,
        sheets=None if output is None else output / "sheets",
    )
    rows = []
    for row in run_plan(plan):
        rows.append(row)
        click.echo(_progress_line(row), err=True)
    results = _Results(rows, _command(plan))
    if output is not None:
        _write(output / "results.md", results.as_markdown())
        _write(output / "results.json", results.as_json())
    if as_json:
        click.echo(results.as_json(), nl=False)
        return
    console = rich.console.Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    for table in (*tabulate(rows), summarise(rows)):
        console.print(to_rich(table))


@dataclass(frozen=True)
class _Results:
    """All rows of a run and the command that makes them again."""

    rows: list[Row]
    command: str

    def as_markdown(self) -> str:
        tables = (summarise(self.rows), *tabulate(self.rows))
        return to_markdown(tables, self.command, describe_machine(self.rows))

    def as_json(self) -> str:
        facts = {
            "command": self.command,
            "machine": describe_machine(self.rows),
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
    words += ["--seed", str(plan.seed), "--device", plan.device]
    return shlex.join(words)


def _progress_line(row: Row) -> str:
    """One line to watch a long run by."""
    verdict = "  worse than its selection" if row.is_worse else ""
    engine = " + ".join(filter(None, (row.matter, row.segmenter)))
    return (
        f"{row.set_name} {row.picture} {engine}: SAD {row.errors.sad:.2f}, {row.seconds:.1f} s"
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
