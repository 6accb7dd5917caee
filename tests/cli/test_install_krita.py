"""``smart-matte install krita`` in a home folder of its own."""

import json
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smart_matte.cli.commands import cli
from smart_matte.errors import OutputError, SmartMatteError
from smart_matte.install import folders, places
from smart_matte.install.kritarc import with_value

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks where Linux keeps things")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(places, "is_krita_running", lambda: False)
    source = tmp_path / "plugin_krita" / "smart_matte"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "smart_matte.action").write_text("<ActionCollection/>")
    source.with_suffix(".desktop").write_text("[Desktop Entry]\n")
    monkeypatch.setattr(folders, "plugin_source", lambda _editor, _name: source)
    return home


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["install", "krita", *arguments])
    if isinstance(result.exception, SmartMatteError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def pykrita(home: Path) -> Path:
    return home / ".local" / "share" / "krita" / "pykrita"


def kritarc(home: Path) -> Path:
    return home / ".config" / "kritarc"


def test_the_plug_in_is_put_in_place_and_enabled(home: Path) -> None:
    output = run().output
    package = pykrita(home) / "smart_matte"
    assert (pykrita(home) / "smart_matte.desktop").is_file()
    assert (package / "smart_matte.action").is_file()
    assert (package / "smart_matte_link" / "client.py").is_file()
    assert (package / "smart_matte_link/locale/ru.mo").is_file()
    assert json.loads((package / "backend.json").read_text(encoding="utf-8"))["command"]
    assert kritarc(home).read_text() == "[python]\nenable_smart_matte=true\n"
    assert "Restart Krita" in output


def test_uninstalling_removes_all_of_it_and_nothing_else(home: Path) -> None:
    other = pykrita(home) / "other.desktop"
    other.parent.mkdir(parents=True)
    other.touch()
    kritarc(home).parent.mkdir()
    kritarc(home).write_bytes(b"[python]\nenable_other=true\n")
    run()
    assert "Removed" in run("--uninstall").output
    assert list(pykrita(home).iterdir()) == [other]
    assert kritarc(home).read_bytes() == b"[python]\nenable_other=true\n"
    assert "nothing to remove" in run("--uninstall").output


def test_a_package_that_is_not_ours_is_left_alone(home: Path) -> None:
    own = pykrita(home) / "smart_matte" / "__init__.py"
    own.parent.mkdir(parents=True)
    own.touch()
    for arguments in ((), ("--uninstall",)):
        with pytest.raises(OutputError, match="wasn't put there"):
            run(*arguments)
    assert own.exists()
    assert not kritarc(home).exists()


def test_a_flatpak_and_a_snap_get_their_own(home: Path) -> None:
    flatpak = home / ".var" / "app" / "org.kde.krita"
    snap = home / "snap" / "krita"
    flatpak.mkdir(parents=True)
    (snap / "current").mkdir(parents=True)
    output = run().output
    for resources, settings, shared in (
        (flatpak / "data/krita", flatpak / "config/kritarc", flatpak / "data/smart-matte"),
        (
            snap / "current/.local/share/krita",
            snap / "current/.config/kritarc",
            snap / "common/smart-matte",
        ),
    ):
        note = resources / "pykrita" / "smart_matte" / "backend.json"
        facts = json.loads(note.read_text(encoding="utf-8"))
        assert facts["folder"] == str(shared)
        assert facts["serve"] in output
        assert "enable_smart_matte=true" in settings.read_text()
    assert not pykrita(home).exists()  # there is no usual Krita
    pykrita(home).mkdir(parents=True)
    run()
    assert (pykrita(home) / "smart_matte").is_dir()


def test_with_a_named_folder_no_settings_are_touched(home: Path) -> None:
    (home / "resources").mkdir()
    output = run("--folder", str(home / "resources")).output
    assert (home / "resources" / "pykrita" / "smart_matte.desktop").is_file()
    assert not kritarc(home).exists()
    assert "Python Plugin Manager" in output


def test_a_running_krita_is_told_of(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "is_krita_running", lambda: True)
    assert "Krita is running" in run().output
    assert kritarc(home).exists()


def test_a_zip_has_the_desktop_file_beside_the_package(home: Path, tmp_path: Path) -> None:
    run("--zip", str(tmp_path / "krita.zip"))
    with zipfile.ZipFile(tmp_path / "krita.zip") as file:
        names = set(file.namelist())
    assert {"smart_matte.desktop", "smart_matte/__init__.py"} <= names
    assert "smart_matte/smart_matte_link/client.py" in names
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"[python]\nenable_smart_matte=true\n"),
        (b"a=1", b"a=1\n\n[python]\nenable_smart_matte=true\n"),
        (b"[python]", b"[python]\nenable_smart_matte=true\n"),
        (
            b"x=\xff\r\n[python]\r\nenable_other=true\r\n[z]\r\ny=2\r\n",
            b"x=\xff\r\n[python]\r\nenable_smart_matte=true\r\nenable_other=true\r\n[z]\r\ny=2\r\n",
        ),
        (
            b"[a]\nenable_smart_matte=x\n[python]\nb=1\nenable_smart_matte=false\n",
            b"[a]\nenable_smart_matte=x\n[python]\nenable_smart_matte=true\nb=1\n",
        ),
    ],
    ids=["empty", "no group", "no line end", "Windows' line ends", "disabled before"],
)
def test_enabling_changes_one_line_of_kritarc(before: bytes, after: bytes) -> None:
    assert with_value(before, b"true") == after
    assert with_value(after, b"true") == after


def test_disabling_removes_that_line_alone() -> None:
    content = b"[python]\nenable_smart_matte=true\nenable_other=true\n\n[z]\ny=2\n"
    assert with_value(content, None) == b"[python]\nenable_other=true\n\n[z]\ny=2\n"
    assert with_value(b"[z]\ny=2", None) == b"[z]\ny=2"


def test_windows_and_macos_keep_things_elsewhere() -> None:
    home = Path("/home/me")
    (place,) = places.krita_places(home, {"APPDATA": "/r", "LOCALAPPDATA": "/l"}, "win32")
    assert (place.folder, place.settings) == (Path("/r/krita"), Path("/l/kritarc"))
    (place,) = places.krita_places(home, {}, "darwin")
    assert place.folder == home / "Library/Application Support/krita"
    assert place.settings == home / "Library/Preferences/kritarc"


def test_gimps_folders_on_windows_and_macos_are_found(tmp_path: Path) -> None:
    roaming = tmp_path / "Roaming"
    library = tmp_path / "Library" / "Application Support"
    for folder in (roaming, library):
        (folder / "GIMP" / "3.0").mkdir(parents=True)
        (folder / "GIMP" / "3.x").mkdir()
    (place,) = places.gimp_places(tmp_path, {"APPDATA": str(roaming)}, "win32")
    assert place.folder == roaming / "GIMP" / "3.0"
    (place,) = places.gimp_places(tmp_path, {}, "darwin")
    assert place.folder == library / "GIMP" / "3.0"
