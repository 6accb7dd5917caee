"""``smart-matte install``: the plug-ins for GIMP and Krita."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from smart_matte.errors import OptionError, SmartMatteError
from smart_matte.install import folders, kritarc, places
from smart_matte.install.places import Place

UNINSTALL = click.option("--uninstall", is_flag=True, help="Remove the plug-in again.")
DEV = click.option(
    "--dev", is_flag=True, help="Link to the sources, so that changes of them work at once."
)
FOLDER = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The editor's own folder, where it isn't found: GIMP's settings folder, which holds"
    " plug-ins; Krita's resource folder, which holds pykrita.",
)
ZIP = click.option(
    "--zip",
    "archive",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plug-in into a zip instead.",
)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    return UNINSTALL(DEV(FOLDER(ZIP(command))))


@click.group("install")
def install_group() -> None:
    """
    Put the plug-in into GIMP or Krita, or remove it.

    \b
    Examples:
      smart-matte install gimp
      smart-matte install krita
      smart-matte install gimp --uninstall
    """  # noqa: D301  (click's mark for lines to leave alone)


@install_group.command("gimp")
@_options
def install_gimp(*, uninstall: bool, dev: bool, folder: Path | None, archive: Path | None) -> None:
    """
    Put the plug-in into GIMP 3, for every version that was started before.

    \b
    Examples:
      smart-matte install gimp
      smart-matte install gimp --folder ~/.config/GIMP/3.0
      smart-matte install gimp --uninstall
    """  # noqa: D301
    source = folders.plugin_source("gimp", "smart-matte")
    if archive:
        _check_alone(uninstall=uninstall, dev=dev, folder=folder)
        _pack(lambda root, facts: folders.fill(source, root / source.name, facts), archive)
        click.echo("Unpack it into GIMP's folder “plug-ins”.")
        return
    found = _named(folder) if folder else _gimp_places(start=not uninstall)
    targets = {place: place.folder / "plug-ins" / source.name for place in found}
    if uninstall:
        _say_removed([target for target in targets.values() if folders.remove(target)])
        return
    for target in targets.values():
        folders.check_ours(target)  # all questions first
    for place, target in targets.items():
        facts = folders.facts_for(place.shared, place.shared_by_flatpak)
        folders.put(source, target, facts, dev=dev)
        click.echo(f"Installed {target}")
    _explain_sandboxes(found, "GIMP")
    click.echo("Restart GIMP, and choose Filters > Smart Matte.")


@install_group.command("krita")
@_options
def install_krita(*, uninstall: bool, dev: bool, folder: Path | None, archive: Path | None) -> None:
    """
    Put the plug-in into Krita and enable it.

    \b
    Examples:
      smart-matte install krita
      smart-matte install krita --zip smart-matte-krita.zip
      smart-matte install krita --uninstall
    """  # noqa: D301
    source = folders.plugin_source("krita", "smart_matte")
    if archive:
        _check_alone(uninstall=uninstall, dev=dev, folder=folder)
        _pack(lambda root, facts: _fill_krita(source, root, facts), archive)
        click.echo("In Krita: Tools > Scripts > Import Python Plugin from File.")
        return
    found = _named(folder) if folder else places.krita_places(Path.home(), os.environ)
    if uninstall:
        _say_removed([path for place in found for path in _remove_krita(place)])
        return
    for place in found:
        folders.check_ours(place.folder / "pykrita" / "smart_matte")
    for place in found:
        _put_krita(source, place, dev=dev)
    _explain_sandboxes(found, "Krita")
    if folder:
        click.echo("Enable it: Settings > Configure Krita > Python Plugin Manager.")
    elif places.is_krita_running():
        click.echo("Krita is running: quit it and run this again, or it may not be enabled.")
    click.echo("Restart Krita, and choose Settings > Dockers > Smart Matte.")


def _named(folder: Path) -> list[Place]:
    """
    The folder that the user names.

    Raises:
        OptionError: it isn't there; one that is made up would never be looked into.
    """
    if not folder.is_dir():
        raise OptionError(
            f"There is no folder “{folder}”: name the editor's own, and start the editor once if it"
            " has none."
        )
    return [Place(folder.absolute())]


def _gimp_places(*, start: bool) -> list[Place]:
    """
    The settings folders of GIMP 3; a GIMP that was never started makes its own.

    Raises:
        SmartMatteError: there are none.
    """
    home = Path.home()
    found = places.gimp_places(home, os.environ)
    if found or not start:
        return found
    program, version = places.find_gimp() or ("", 0)
    if version == 3:  # noqa: PLR2004  (the one there is a plug-in for)
        click.echo("GIMP was never started here: starting it once, without a window…")
        places.start_gimp_once(program)
        found = places.gimp_places(home, os.environ)
    if found:
        return found
    if version == 2 or (not version and places.has_gimp_2(home, os.environ)):  # noqa: PLR2004
        raise SmartMatteError(
            "Only GIMP 2 was found: the plug-in needs GIMP 3; install that, start it once, and"
            " run this again."
        )
    raise SmartMatteError(
        "GIMP 3 has no settings folder here: start GIMP once and run this again, or name its"
        " folder with --folder."
    )


def _put_krita(source: Path, place: Place, *, dev: bool) -> None:
    """The package first: Krita looks for it where it finds the .desktop file."""
    pykrita = place.folder / "pykrita"
    target = pykrita / "smart_matte"
    folders.put(source, target, folders.facts_for(place.shared), dev=dev)
    desktop = source.with_suffix(".desktop").read_bytes()
    folders.write_whole(pykrita / "smart_matte.desktop", desktop)
    if place.settings:
        kritarc.enable(place.settings)
    click.echo(f"Installed {target}")


def _remove_krita(place: Place) -> list[Path]:
    """What was removed of one Krita's."""
    target = place.folder / "pykrita" / "smart_matte"
    if not folders.remove(target):
        return []
    with folders.disk_troubles(target):
        target.with_suffix(".desktop").unlink(missing_ok=True)
    if place.settings:
        kritarc.forget(place.settings)
    return [target]


def _fill_krita(source: Path, root: Path, facts: dict[str, Any]) -> None:
    folders.fill(source, root / source.name, facts)
    shutil.copyfile(source.with_suffix(".desktop"), root / "smart_matte.desktop")


def _pack(fill: Callable[[Path, dict[str, Any]], None], archive: Path) -> None:
    with tempfile.TemporaryDirectory() as root:
        fill(Path(root), folders.facts_for(None))
        folders.pack(Path(root), archive)
    click.echo(f"Wrote {archive}")


def _check_alone(*, uninstall: bool, dev: bool, folder: Path | None) -> None:
    if uninstall or dev or folder:
        raise OptionError("--zip writes a file and nothing else; leave out the other options.")


def _say_removed(removed: list[Path]) -> None:
    for path in removed:
        click.echo(f"Removed {path}")
    if not removed:
        click.echo("The plug-in isn't installed: nothing to remove.")


def _explain_sandboxes(found: list[Place], editor: str) -> None:
    """What to type for an editor that can't start the backend."""
    shared_folders = (place.shared or place.shared_by_flatpak for place in found)
    for shared in filter(None, dict.fromkeys(shared_folders)):
        click.echo(f"{editor} in a sandbox can't start the backend; for that one, type first:")
        click.echo(f"  {folders.serve_command(shared)}")
