"""``smart-matte weights``: what weights there are, and getting them onto this machine."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from smart_matte import weights
from smart_matte.errors import WeightsError
from smart_matte.loading import check_weights
from smart_matte.weights import licences, store

ACCEPT_LICENCE = click.option(
    "--accept-licence",
    is_flag=True,
    help="Accept a licence that forbids commercial use; asked for once.",
)
Result = TypeVar("Result")


@click.group("weights")
def weights_group() -> None:
    """
    List, fetch, import and verify the networks' weights.

    \b
    Examples:
      smart-matte weights list
      smart-matte weights fetch deeplabv3-mobilenetv2
      smart-matte weights import ~/Downloads/FBA.pth
      smart-matte weights verify
    """  # noqa: D301  (click's mark for lines to leave alone)


@weights_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def list_weights(*, as_json: bool) -> None:
    """
    Show what weights there are, and which are installed.

    \b
    Examples:
      smart-matte weights list
      smart-matte weights list --json
    """  # noqa: D301
    states = {entry: store.look(entry.name) for entry in weights.entries()}
    if as_json:
        items = [_describe(entry, state) for entry, state in states.items()]
        click.echo(json.dumps(items, indent=2, ensure_ascii=False))
        return
    table = Table(box=box.SIMPLE, leading=1)
    table.add_column("Weights", overflow="fold")
    table.add_column("State")
    table.add_column("Size", no_wrap=True)
    table.add_column("Licence")
    for entry, state in states.items():
        table.add_row(
            f"[bold]{entry.name}[/bold]\n{entry.summary}",
            _in_words(state),
            decimal(entry.bytes),
            f"{entry.licence}\n[bold]commercial use: {'yes' if entry.commercial_use else 'no'}",
        )
    Console().print(table)
    click.echo(f"Kept in {store.folder()}")


@weights_group.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@ACCEPT_LICENCE
def fetch_weights(names: tuple[str, ...], *, accept_licence: bool) -> None:
    """
    Download weights, verify them, and make them ready for use.

    A download that was cut off goes on where it stopped.

    \b
    Examples:
      smart-matte weights fetch deeplabv3-mobilenetv2
      smart-matte weights fetch fba --accept-licence
    """  # noqa: D301
    chosen = [weights.find_entry(name) for name in names]
    for entry in chosen:  # all questions first, then the waiting
        _asking(partial(licences.demand, entry, accept_licence=accept_licence))
    for entry in chosen:
        with _progress_bars() as show:
            installed = weights.fetch(entry.name, show, check=check_weights)
        _tell(installed)


@weights_group.command("import")
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
@click.option("--as", "name", metavar="NAME", help="Take a variant of your own as these weights.")
@ACCEPT_LICENCE
def import_weights(paths: tuple[Path, ...], name: str | None, *, accept_licence: bool) -> None:
    """
    Install weights from files or folders you already have.

    Published files are recognised by their SHA-256, whatever their name. A variant of your own
    must hold exactly the tensors that its network has.

    \b
    Examples:
      smart-matte weights import ~/Downloads/FBA.pth
      smart-matte weights import deeplabv3.xml
      smart-matte weights import my-run/fba.safetensors --as fba
    """  # noqa: D301
    importing = partial(
        weights.import_files, paths, name, check=check_weights, accept_licence=accept_licence
    )
    for installed in _asking(importing):
        _tell(installed)


@weights_group.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def verify_weights(names: tuple[str, ...]) -> None:
    """
    Check installed weights to the last byte; exits with 6 when some are broken.

    \b
    Examples:
      smart-matte weights verify
      smart-matte weights verify fba
    """  # noqa: D301
    states = weights.verify(list(names) or None)
    if not states:
        click.echo("No weights are installed; see: smart-matte weights list")
    for state in states:
        click.echo(state.sentence or f"{state.name}: {_in_words(state)}, every byte as it was")
    faults = [state for state in states if state.kind != "installed"]
    if faults:
        raise WeightsError(
            f"{len(faults)} of {len(states)} weights can't be used; run what is named above."
        )


def _asking(action: Callable[[], Result]) -> Result:
    """Do something that may need a licence accepted, by asking for it where someone is there."""
    try:
        return action()
    except licences.LicenceError as error:
        if not _can_ask():
            raise
        entry = error.entry
        click.echo(f"{entry.name}: {entry.summary}\n{entry.licence}\n{entry.source}", err=True)
        if not click.confirm("Do you accept that?", err=True):
            raise
        licences.accept(entry)
    return _asking(action)


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


@contextmanager
def _progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """One bar for each file, on the error stream."""
    tasks: dict[str, TaskID] = {}
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(TextColumn("{task.description}"), BarColumn(), *columns, console=console) as bars:

        def show(file_name: str, bytes_done: int, bytes_total: int) -> None:
            if file_name not in tasks:
                tasks[file_name] = bars.add_task(file_name, total=bytes_total)
            bars.update(tasks[file_name], completed=bytes_done)

        yield show


def _tell(installed: weights.Installed) -> None:
    line = f"{installed.name}: installed, {decimal(installed.bytes)}"
    if not installed.verified_source:
        files = ", ".join(installed.sources)
        line += f"; unverified source, the manifest doesn't know {files}"
    click.echo(line)


def _in_words(state: weights.State) -> str:
    if state.kind == "missing":
        return "not installed"
    if state.installed and not state.installed.verified_source:
        return f"{state.kind}, unverified source"
    return state.kind


def _describe(entry: weights.Entry, state: weights.State) -> dict[str, Any]:
    """One entry as plain JSON types."""
    return {
        "name": entry.name,
        "state": state.kind,
        "problem": state.problem,
        "verified_source": state.installed.verified_source if state.installed else None,
        "bytes": entry.bytes,
        "licence": entry.licence,
        "commercial_use": entry.commercial_use,
        "licence_accepted": licences.is_accepted(entry),
        "summary": entry.summary,
        "source": entry.source,
    }
