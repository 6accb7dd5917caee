"""``smart-matte serve``, ``status`` and ``stop``: the backend that stays ready between requests."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

import smart_matte
from smart_matte.errors import SmartMatteError
from smart_matte_link.client import Client
from smart_matte_link.connection import FOLDER_VARIABLE
from smart_matte_link.errors import LinkError
from smart_matte_link.messages import StatusReply

BROKER_COMMAND = (sys.executable, "-m", "smart_matte.service")


def _use_folder(_context: click.Context, _option: click.Parameter, folder: str | None) -> None:
    if folder is not None:
        os.environ[FOLDER_VARIABLE] = os.path.abspath(folder)  # noqa: PTH100  (links stay links)


RUNTIME_FOLDER = click.option(
    "--folder",
    type=click.Path(file_okay=False),
    metavar="DIR",
    expose_value=False,
    callback=_use_folder,
    help=f"The backend's folder, as {FOLDER_VARIABLE} does: for an editor in a sandbox, which sees"
    " only its own.",
)


@click.command("serve")
@click.option("--detach", is_flag=True, help="Start it in the background and return when it is up.")
@click.option(
    "--endpoint",
    default="",
    metavar="URL",
    help="Listen on tcp://127.0.0.1:PORT instead of a socket in a private folder, for editors in a"
    " sandbox; * takes a free port. Other machines need an SSH tunnel.",
)
@RUNTIME_FOLDER
def serve_command(*, detach: bool, endpoint: str) -> None:
    """
    Run the backend in the foreground, until it is stopped or idle for half an hour.

    Editors and “smart-matte cutout” start it by themselves. Where one runs already, this ends at
    once.

    \b
    Examples:
      smart-matte serve
      smart-matte serve --detach
      smart-matte serve --endpoint 'tcp://127.0.0.1:*'
    """  # noqa: D301
    command = [*BROKER_COMMAND, *filter(None, [endpoint])]
    if detach:
        _start_detached(command)
    elif sys.platform == "win32":
        sys.exit(subprocess.call(command))  # noqa: S603  (our own program)
    else:
        os.execv(command[0], command)  # noqa: S606  (the broker imports nothing of this process)


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
@RUNTIME_FOLDER
def status_command(*, as_json: bool) -> None:
    """
    Show what the running backend is and does; exits with 1 where none runs.

    \b
    Examples:
      smart-matte status
      smart-matte status --json
    """  # noqa: D301
    with _running_backend() as client:
        reply = client.status()
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(reply), indent=2, ensure_ascii=False))
        return
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _describe(reply):
        table.add_row(name, text)
    Console().print(table)


@click.command("stop")
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Patience with the running job.",
)
@RUNTIME_FOLDER
def stop_command(*, drain_s: float) -> None:
    """
    Stop the running backend; fine where none runs.

    \b
    Examples:
      smart-matte stop
      smart-matte stop --drain 0
    """  # noqa: D301
    with _running_backend() as client:
        try:
            is_gone = client.shutdown(drain_s)
        except LinkError as error:
            if error.code != "unreachable":
                raise
            click.echo("No backend is running.")
            return
    if not is_gone:
        raise SmartMatteError("The backend hasn't stopped yet; try again.")
    click.echo("The backend has stopped.")


def _start_detached(command: list[str]) -> None:
    """Start a process that lives on by itself, and wait until it says where it is."""
    with (
        _speaking_plainly(),
        Client("cli", smart_matte.__version__, start_command=command) as client,
    ):
        client.connect()
        click.echo(f"The backend runs: process {client.status().pid}.")


@contextmanager
def _running_backend() -> Iterator[Client]:
    """A connection to the backend, which isn't started for this."""
    with _speaking_plainly(), Client("cli", smart_matte.__version__, start=False) as client:
        yield client


@contextmanager
def _speaking_plainly() -> Iterator[None]:
    """Failures of the link as failures of the command line."""
    try:
        yield
    except LinkError as error:
        raise SmartMatteError(str(error)) from error


def _describe(reply: StatusReply) -> Iterator[tuple[str, str]]:
    """The lines of the table."""
    versions = ", ".join(f"{name} {version}" for name, version in reply.versions.items())
    yield "Backend", f"{reply.backend_version}, protocol {reply.protocol}, {reply.state}"
    yield "Process", f"{reply.pid}, up for {_in_words(reply.uptime_s)}"
    yield "Clients", str(reply.clients)
    yield (
        "Jobs",
        f"{reply.jobs_running} running, {reply.jobs_waiting} waiting, {reply.jobs_ended} ended",
    )
    for worker in reply.workers:
        memory = f", {decimal(worker.memory_bytes)}" if worker.memory_bytes else ""
        yield "Worker", f"process {worker.pid} on {worker.device}, {worker.state}{memory}"
    if not reply.workers:
        yield "Worker", "none; one is started for the next job"
    for device in reply.devices:
        yield "Device", f"{device.name} {device.description}".strip()
    loaded = [model.name for model in reply.models if model.is_loaded]
    yield "In memory", ", ".join(loaded) or "no models"
    installed = [model.name for model in reply.models if model.is_installed]
    yield "Installed", ", ".join(installed) or "not known yet"
    yield "Versions", versions
    yield "Log", reply.log_file or "none"


def _in_words(seconds: float) -> str:
    """Such as "1 h 5 min" or "12 s"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
