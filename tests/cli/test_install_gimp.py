"""``smart-matte install gimp`` in a home folder of its own."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smart_matte import __version__
from smart_matte.cli.commands import cli
from smart_matte.errors import OptionError, OutputError, SmartMatteError
from smart_matte.install import folders
from smart_matte.install.catalogues import languages

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCE = CHECKOUT / "plugin_gimp" / "smart-matte"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks where Linux keeps things")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "GIMP3_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return home


@pytest.fixture
def settings(home: Path) -> Path:
    folder = home / ".config" / "GIMP" / "3.0"
    folder.mkdir(parents=True)
    return folder


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["install", "gimp", *arguments])
    if isinstance(result.exception, SmartMatteError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def plug_in(settings: Path) -> Path:
    return settings / "plug-ins" / "smart-matte"


def facts_of(settings: Path) -> dict:
    return json.loads((plug_in(settings) / "backend.json").read_text(encoding="utf-8"))


def gimp_program(home: Path, version: str, *, makes: Path | None = None) -> None:
    """A program that says GIMP's version, and sets up a folder when it is started."""
    path = home.parent / "bin" / "gimp-console"
    path.parent.mkdir()
    start = f"mkdir -p '{makes}'" if makes else "exit 1"
    path.write_text(
        "#!/bin/sh\nPATH=/bin:/usr/bin\n"
        f'if [ "$1" = --version ]; then echo "GNU Image Manipulation Program version {version}"\n'
        f"else {start}; fi\n"
    )
    path.chmod(0o755)


def test_the_plug_in_comes_with_its_files_the_link_the_catalogues_and_the_backend(
    settings: Path,
) -> None:
    output = run().output
    target = plug_in(settings)
    own = {path.name for path in SOURCE.iterdir() if path.suffix == ".py"}
    assert own <= {path.name for path in target.iterdir()}
    assert (target / "smart-matte.py").read_bytes() == (SOURCE / "smart-matte.py").read_bytes()
    assert os.access(target / "smart-matte.py", os.X_OK)
    assert (target / "smart_matte_link" / "client.py").is_file()
    for language in languages():
        assert (target / "smart_matte_link" / "locale" / f"{language}.mo").is_file()
    assert not [path for path in target.rglob("*") if path.is_symlink()]
    unwanted = ("__pycache__", ".po", ".pyc", ".ruff_cache")
    assert not [path for path in target.rglob("*") if path.name.endswith(unwanted)]
    facts = facts_of(settings)
    assert facts["version"] == __version__
    assert set(facts) == {"command", "version"}
    assert str(target) in output
    assert "Restart GIMP" in output


def test_the_link_beside_the_plug_in_works_by_itself_and_speaks_the_users_language(
    settings: Path,
) -> None:
    run()
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import smart_matte_link.client as client, smart_matte_link.translation as t;"
        "print(client.__file__);"
        "print(t.translator(language='de').say('No backend is running.'))"
    )
    answer = subprocess.run(  # noqa: S603  (our own program)
        [sys.executable, "-I", "-c", program, str(plug_in(settings))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    path, german = answer.stdout.splitlines()
    assert path.startswith(str(plug_in(settings)))
    assert german == "Es läuft kein Smart-Matte-Dienst."


def test_the_command_that_is_noted_starts_this_installation(settings: Path) -> None:
    run()
    answer = subprocess.run(  # noqa: S603  (our own program)
        [*facts_of(settings)["command"], "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert __version__ in answer.stdout


def test_without_a_script_the_interpreter_starts_the_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(folders.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "pytest")])
    command = folders.backend_command()
    assert command[0] == sys.executable
    answer = subprocess.run(  # noqa: S603  (our own program)
        [*command, "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert __version__ in answer.stdout


def test_every_gimp_3_that_was_started_gets_it_and_gimp_2_does_not(
    home: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [
        home / ".config" / "GIMP" / "3.2",
        home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP" / "3.2",
        home / "snap" / "gimp" / "current" / ".config" / "GIMP" / "3.0",
    ]
    older = home / ".config" / "GIMP" / "2.10"
    for folder in (*others, older):
        folder.mkdir(parents=True)
    monkeypatch.setenv("GIMP3_DIRECTORY", "elsewhere")  # relative to the home folder
    run()
    for folder in (settings, home / "elsewhere", *others):
        assert facts_of(folder)["version"] == __version__
    assert not (older / "plug-ins").exists()


def test_a_configuration_folder_of_the_users_choice_is_followed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = home / "settings"
    (chosen / "GIMP" / "3.0").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(chosen))
    run()
    assert plug_in(chosen / "GIMP" / "3.0").is_dir()


@pytest.mark.parametrize(
    ("settings", "shared"),
    [
        (".var/app/org.gimp.GIMP/config/GIMP/3.0", ".var/app/org.gimp.GIMP/data/smart-matte"),
        ("snap/gimp/current/.config/GIMP/3.0", "snap/gimp/common/smart-matte"),
    ],
    ids=["flatpak", "snap"],
)
def test_a_sandboxed_gimp_is_told_the_shared_folder_and_the_command_to_type(
    home: Path, settings: str, shared: str
) -> None:
    (home / settings).mkdir(parents=True)
    output = run().output
    facts = facts_of(home / settings)
    assert facts["folder"] == str(home / shared)
    assert facts["serve"].endswith(f"serve --folder {home / shared}")
    assert facts["serve"] in output


def test_flathubs_gimp_loads_from_the_usual_folder_too_and_finds_its_command_there(
    home: Path, settings: Path
) -> None:
    (home / ".var" / "app" / "org.gimp.GIMP").mkdir(parents=True)
    run()
    facts = facts_of(settings)
    assert "folder" not in facts
    assert "serve" not in facts
    shared = home / ".var" / "app" / "org.gimp.GIMP" / "data" / "smart-matte"
    assert facts["sandbox"]["folder"] == str(shared)
    assert facts["sandbox"]["serve"].endswith(f"serve --folder {shared}")


def test_an_older_one_is_replaced_whole(settings: Path) -> None:
    run()
    leftover = plug_in(settings) / "gone_since_host.py"
    leftover.touch()
    run()
    assert not leftover.exists()
    assert [path.name for path in (settings / "plug-ins").iterdir()] == ["smart-matte"]


def test_an_installation_that_fails_leaves_the_older_one(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    before = sorted(plug_in(settings).rglob("*"))

    def fail(_target: Path) -> None:
        raise OSError(28, "No space left on device", "there")

    monkeypatch.setattr(folders, "compile_catalogues", fail)
    with pytest.raises(OutputError, match=r"there can't be written .No space left on device"):
        run()
    assert sorted(plug_in(settings).rglob("*")) == before
    monkeypatch.undo()


def test_an_installation_that_is_stopped_while_it_replaces_leaves_the_older_one(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    rename = Path.rename

    def stop_at_second(path: Path, to: Path) -> Path:
        if path.name.endswith(".new"):
            raise KeyboardInterrupt
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        folders.put(SOURCE, plug_in(settings), {"version": "newer"})
    assert facts_of(settings)["version"] == __version__
    assert [path.name for path in (settings / "plug-ins").iterdir()] == ["smart-matte"]


def test_what_was_left_by_an_interrupted_installation_is_cleared_away(settings: Path) -> None:
    for word in ("new", "old"):
        (settings / "plug-ins" / f".smart-matte.{word}" / "half").mkdir(parents=True)
    run()
    assert [path.name for path in (settings / "plug-ins").iterdir()] == ["smart-matte"]


@pytest.mark.parametrize("arguments", [(), ("--uninstall",)])
def test_a_folder_that_is_not_ours_is_left_alone(settings: Path, arguments: tuple[str]) -> None:
    own = plug_in(settings) / "smart-matte.py"
    own.parent.mkdir(parents=True)
    own.write_text("the user's own")
    with pytest.raises(OutputError, match="wasn't put there by “smart-matte install”"):
        run(*arguments)
    assert own.read_text() == "the user's own"


def test_a_folder_that_is_a_link_is_left_alone(settings: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "backend.json").touch()
    plug_in(settings).parent.mkdir()
    plug_in(settings).symlink_to(elsewhere)
    with pytest.raises(OutputError, match="wasn't put there"):
        run("--uninstall")
    assert (elsewhere / "backend.json").exists()


def test_uninstalling_removes_the_plug_in_and_nothing_else(settings: Path) -> None:
    other = settings / "plug-ins" / "other" / "other.py"
    other.parent.mkdir(parents=True)
    other.touch()
    run()
    assert f"Removed {plug_in(settings)}" in run("--uninstall").output
    assert not plug_in(settings).exists()
    assert other.exists()


def test_uninstalling_what_is_not_there_is_fine(settings: Path) -> None:
    assert "nothing to remove" in run("--uninstall").output
    settings.rmdir()
    assert "nothing to remove" in run("--uninstall").output


def test_a_development_install_links_to_the_sources_and_can_be_replaced_and_removed(
    settings: Path,
) -> None:
    run()
    run("--dev")
    target = plug_in(settings)
    entry = target / "smart-matte.py"
    assert entry.resolve() == SOURCE / "smart-matte.py"
    link = target / "smart_matte_link"
    assert not link.is_symlink()
    source = CHECKOUT / "backend" / "smart_matte_link" / "client.py"
    assert (link / "client.py").resolve() == source
    assert not (target / "backend.json").is_symlink()
    assert not (link / "locale" / "de.mo").is_symlink()
    run("--uninstall")
    assert source.exists()
    assert (SOURCE / "smart-matte.py").exists()


def test_a_folder_can_be_named_and_has_to_be_there(home: Path) -> None:
    folder = home / "new" / "3.0"
    with pytest.raises(OptionError, match=r"There is no folder “.*3\.0”: name the editor's own"):
        run("--folder", str(folder))
    assert not folder.parent.exists()
    folder.mkdir(parents=True)
    run("--folder", str(folder))
    assert plug_in(folder).is_dir()
    run("--uninstall", "--folder", str(folder))
    assert not plug_in(folder).exists()


def test_a_gimp_that_was_never_started_sets_up_its_own_folder_first(home: Path) -> None:
    settings = home / ".config" / "GIMP" / "3.2"
    gimp_program(home, "3.2.6", makes=settings)
    assert "starting it once" in run().output
    assert plug_in(settings).is_dir()


def test_without_gimp_nothing_is_made_up(home: Path) -> None:
    with pytest.raises(SmartMatteError, match="start GIMP once and run this again, or name its"):
        run()
    gimp_program(home, "3.0.4")  # one that fails
    with pytest.raises(SmartMatteError, match="start GIMP once"):
        run()
    assert list(home.iterdir()) == []


def test_gimp_2_alone_is_too_old(home: Path) -> None:
    (home / ".config" / "GIMP" / "2.10").mkdir(parents=True)
    with pytest.raises(SmartMatteError, match="Only GIMP 2 was found"):
        run()
    gimp_program(home, "2.10.34")
    with pytest.raises(SmartMatteError, match="needs GIMP 3"):
        run()


def test_a_zip_holds_the_folder(home: Path, tmp_path: Path) -> None:
    run("--zip", str(tmp_path / "plug-in.zip"))
    with zipfile.ZipFile(tmp_path / "plug-in.zip") as file:
        names = set(file.namelist())
        entry = file.getinfo("smart-matte/smart-matte.py")
    assert {"smart-matte/backend.json", "smart-matte/smart_matte_link/client.py"} <= names
    assert entry.external_attr >> 16 & 0o111
    with pytest.raises(OptionError, match="--zip"):
        run("--zip", str(tmp_path / "plug-in.zip"), "--dev")
    assert list(home.iterdir()) == []


def test_the_wheel_puts_the_plug_ins_where_the_installed_program_looks() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    package = Path(folders.__file__).relative_to(CHECKOUT / "backend").parent
    for editor in ("gimp", "krita"):
        place = (package / "plugins" / editor).as_posix()
        assert wheel["force-include"][f"plugin_{editor}"] == place
        assert (CHECKOUT / f"plugin_{editor}").is_dir()
