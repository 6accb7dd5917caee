from pathlib import Path

import pytest

from smart_matte.cli.inputs import Job, find_jobs, find_selection
from smart_matte.errors import OptionError, SelectionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", "a_alpha.png", "c_cutout.png"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_gives_its_pictures_in_order_but_not_our_own_results(folder: Path) -> None:
    assert [job.name for job in find_jobs([str(folder)])] == ["a", "b"]


def test_a_pattern_is_expanded_when_the_shell_did_not(folder: Path) -> None:
    assert [job.name for job in find_jobs([str(folder / "*.jpg")])] == ["b"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    picture = tmp_path / "a[1].png"
    picture.touch()
    assert find_jobs([str(picture)]) == [Job(picture, "a[1]")]


def test_a_missing_file_is_left_for_reading_to_explain() -> None:
    assert find_jobs(["gone.png"]) == [Job(Path("gone.png"), "gone")]


def test_the_same_picture_twice_is_one_job(folder: Path) -> None:
    assert len(find_jobs([str(folder / "b.jpg"), str(folder)])) == 2


def test_a_dash_is_standard_input() -> None:
    assert find_jobs(["-"]) == [Job(None, "stdin")]


@pytest.mark.parametrize("name", ["empty", "*.gif"])
def test_nothing_found_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError):
        find_jobs([str(tmp_path / name)])


def test_two_pictures_of_one_name_get_results_of_different_names() -> None:
    jobs = find_jobs(["photo.jpg", "photo.png"])
    assert [job.name for job in jobs] == ["photo", "photo.png"]


def test_two_pictures_that_would_write_the_same_results_are_refused() -> None:
    with pytest.raises(OptionError, match="would write the same files"):
        find_jobs(["a/photo.jpg", "b/photo.jpg", "c/photo.jpg"])


def test_an_empty_name_is_not_this_folder() -> None:
    with pytest.raises(OptionError, match="empty"):
        find_jobs([""])


def test_a_pattern_does_not_feed_our_results_back(folder: Path) -> None:
    assert [job.name for job in find_jobs([str(folder / "*.[pP]*")])] == ["a"]


def test_a_picture_is_not_its_own_selection(folder: Path) -> None:
    job = Job(folder / "b.jpg", "b")
    for selection in (folder, folder / "b.jpg"):
        with pytest.raises(SelectionError, match="its own selection"):
            find_selection(str(selection), job)


def test_only_the_picture_can_come_from_standard_input() -> None:
    with pytest.raises(SelectionError, match="standard input"):
        find_selection("-", Job(None, "stdin"))


def test_a_name_that_no_file_can_have_is_not_there() -> None:
    with pytest.raises(SelectionError, match="There is no selection"):
        find_selection("x" * 5000, Job(None, "stdin"))


def test_a_selection_is_a_file_or_found_by_name_in_a_folder(folder: Path) -> None:
    job = Job(Path("elsewhere/b.tif"), "b")
    assert find_selection(None, job) is None
    assert find_selection(str(folder / "a.PNG"), job) == folder / "a.PNG"
    assert find_selection(str(folder), job) == folder / "b.jpg"


def test_a_selection_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(SelectionError, match="There is no selection"):
        find_selection(str(folder / "gone.png"), Job(None, "stdin"))
    with pytest.raises(SelectionError, match=r"it would be called z\.png"):
        find_selection(str(folder), Job(Path("z.jpg"), "z"))
