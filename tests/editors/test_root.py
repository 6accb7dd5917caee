"""How the root is found and made, without making one."""

from pathlib import Path

import pytest
import root
from root import AbsentError, made_once, mirror_of_this_machine

DEB822 = """\
Types: deb deb-src
# a comment between the fields
URIs: http://one.example/debian-security
Suites: {codename}-security
Components: main

Types: deb
URIs: http://two.example/debian
Suites: {codename} {codename}-updates
Components: main contrib
"""
ONE_LINE = """\
# deb http://zero.example/debian {codename} main
deb [arch=amd64] http://one.example/security {codename}-security main
deb [arch=amd64 signed-by=/etc/k.gpg] http://two.example/debian {codename} contrib main
"""


@pytest.mark.parametrize(("name", "text"), [("a.sources", DEB822), ("a.list", ONE_LINE)])
def test_the_mirror_is_the_one_that_apt_uses(name, text, tmp_path: Path, monkeypatch):
    monkeypatch.delenv(root.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": "bookworm"})
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / name).write_text(text.format(codename="bookworm"))
    assert mirror_of_this_machine(tmp_path) == "http://two.example/debian"


def test_without_a_mirror_in_apts_sources_the_reason_names_the_variable(
    tmp_path: Path, monkeypatch
):
    monkeypatch.delenv(root.MIRROR_VARIABLE, raising=False)
    with pytest.raises(AbsentError, match=root.MIRROR_VARIABLE):
        mirror_of_this_machine(tmp_path)


def test_what_is_made_once_is_never_half_there(tmp_path: Path):
    def fails(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").touch()
        raise RuntimeError

    def works(folder: Path) -> None:
        folder.mkdir()

    with pytest.raises(RuntimeError):
        made_once(tmp_path / "thing", fails)
    assert not (tmp_path / "thing").exists()
    assert list(made_once(tmp_path / "thing", works).iterdir()) == []
    made_once(tmp_path / "thing", fails)


def test_who_is_not_root_and_has_no_editors_gets_one_sentence(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda _: None)
    root._native_editors.cache_clear()
    with pytest.raises(AbsentError, match=r"no GIMP 3 or Krita 5 here.*only root"):
        root.find_place("trixie", print)
    root._native_editors.cache_clear()
