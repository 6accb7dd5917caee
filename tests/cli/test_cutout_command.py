"""The command as a user runs it: a process, files, exit codes, and one sentence on stderr."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from smart_matte.cli.cutout import _run_one
from smart_matte.cli.inputs import Job
from smart_matte.cli.picture_job import Results

HEIGHT, WIDTH = 90, 120
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="session")
def smart_matte(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the command in a process of its own, with an empty weights folder."""
    environment = os.environ | {
        "SMART_MATTE_WEIGHTS": str(tmp_path_factory.mktemp("weights")),
        "SMART_MATTE_NO_BACKEND": "1",
    }

    def run(*arguments: object, **settings: object) -> subprocess.CompletedProcess[bytes]:
        command = [str(Path(sys.executable).with_name("smart-matte")), *map(str, arguments)]
        return subprocess.run(  # noqa: S603  (our own command)
            command, capture_output=True, check=False, env=environment, timeout=120, **settings
        )

    return run


def draw(folder: Path, name: str = "photo.png") -> tuple[Path, Path]:
    """A bright disc before a dark ground, and a rough selection of it."""
    rng = np.random.default_rng(4)
    image = rng.integers(20, 60, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(image, (60, 45), 25, (220, 180, 90), -1, cv2.LINE_AA)
    selection = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(selection, (62, 46), 26, 255, -1)
    picture, rough = folder / name, folder / "rough" / (Path(name).stem + ".png")
    rough.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(picture)
    Image.fromarray(selection).save(rough)
    return picture, rough


def one_sentence(result: subprocess.CompletedProcess[bytes]) -> str:
    text = result.stderr.decode()
    assert "Traceback" not in text
    assert text.startswith("smart-matte: ")
    assert len(text.strip().splitlines()) == 1
    return text


def test_one_picture_gives_its_five_files_and_a_line(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    out = tmp_path / "out"
    result = smart_matte("cutout", picture, "--selection", rough, "-o", out, "--preview")
    assert result.returncode == 0, result.stderr
    kinds = ("alpha", "foreground", "cutout", "trimap", "preview")
    assert {path.name for path in out.iterdir()} == {f"photo_{kind}.png" for kind in kinds}
    line = result.stderr.decode()
    for part in ("cpu", "fba-compact", "grabcut", " ms", "% unknown", "weights fetch fba"):
        assert part in line

    image = np.asarray(Image.open(picture))
    trimap = np.asarray(Image.open(out / "photo_trimap.png"))
    cutout = np.asarray(Image.open(out / "photo_cutout.png"))
    alpha = np.asarray(Image.open(out / "photo_alpha.png"))
    assert set(np.unique(trimap)) == {0, 128, 255}
    assert cutout.shape == (HEIGHT, WIDTH, 4)
    np.testing.assert_array_equal(cutout[..., 3], alpha)
    np.testing.assert_array_equal(cutout[trimap != 128][:, :3], image[trimap != 128])
    assert alpha[45, 60] == 255
    assert alpha[5, 5] == 0


def test_standard_input_to_standard_output(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    result = smart_matte("cutout", "-", "-s", rough, "-o", "-", input=picture.read_bytes())
    assert result.returncode == 0, result.stderr
    assert Image.open(BytesIO(result.stdout)).mode == "RGBA"


def test_json_is_one_document_with_files_report_and_errors(
    smart_matte: Run, tmp_path: Path
) -> None:
    picture, rough = draw(tmp_path)
    result = smart_matte(
        "cutout", picture, tmp_path / "gone.png", "-s", rough, "-o", tmp_path / "out", "--json"
    )
    assert result.returncode == 1
    good, bad = json.loads(result.stdout)["pictures"]
    assert Path(good["files"]["alpha"]).is_file()
    assert good["report"]["matter"] == "fba-compact"
    assert good["report"]["fallbacks"][0]["wanted"] == "fba"
    assert bad["error"]["code"] == "picture"


def test_one_bad_picture_never_stops_the_rest(smart_matte: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        draw(photos, name)
    (photos / "b.png").write_bytes(b"not a picture")
    out = tmp_path / "out"
    result = smart_matte("cutout", photos, "-s", photos / "rough", "-o", out)
    assert result.returncode == 1
    assert (out / "a_cutout.png").is_file()
    assert (out / "c_cutout.png").is_file()
    assert "2 cut out, 1 failed." in result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()


def test_the_soft_edge_shifts_by_the_option(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    alphas = []
    for shift in (-60, 0, 60):
        out = tmp_path / str(shift)
        result = smart_matte("cutout", picture, "-s", rough, "-o", out, "--shift-edge", shift)
        assert result.returncode == 0, result.stderr
        alphas.append(np.asarray(Image.open(out / "photo_alpha.png")).astype(int))
    assert (np.diff(alphas, axis=0) >= 0).all()
    is_soft = (alphas[1] > 20) & (alphas[1] < 235)
    assert is_soft.any()
    assert (np.diff(alphas, axis=0)[:, is_soft] > 0).all()


def test_existing_results_are_kept_without_overwrite(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    kept = tmp_path / "photo_trimap.png"
    kept.write_bytes(b"mine")
    result = smart_matte("cutout", picture, "-s", rough, "-o", tmp_path)
    assert result.returncode == 5
    assert "--overwrite" in one_sentence(result)
    assert kept.read_bytes() == b"mine"
    assert not (tmp_path / "photo_alpha.png").exists()
    result = smart_matte("cutout", picture, "-s", rough, "-o", tmp_path, "--overwrite")
    assert result.returncode == 0
    assert kept.read_bytes() != b"mine"


def test_a_float_tiff_gives_float_tiffs_with_exact_colours(
    smart_matte: Run, tmp_path: Path
) -> None:
    picture, rough = draw(tmp_path)
    image = np.asarray(Image.open(picture)).astype(np.float32) / 255
    image[45, 60] = 3.5
    cv2.imwrite(str(tmp_path / "hdr.tif"), image[..., ::-1])
    result = smart_matte("cutout", tmp_path / "hdr.tif", "-s", rough, "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    cutout = cv2.imread(str(tmp_path / "out" / "hdr_cutout.tif"), cv2.IMREAD_UNCHANGED)
    assert cutout.dtype == np.float32
    assert (cutout[45, 60] == (3.5, 3.5, 3.5, 1)).all()


def test_an_unforeseen_failure_never_stops_the_rest(smart_matte: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    draw(photos, "a.png")
    draw(photos, "z.png")
    long_name = "n" * 245 + ".png"  # its results would have names that are too long
    (photos / long_name).write_bytes((photos / "a.png").read_bytes())
    rough = photos / "rough" / "a.png"
    result = smart_matte("cutout", photos, "-s", rough, "-o", tmp_path / "out")
    assert result.returncode == 1
    assert "2 cut out, 1 failed." in result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()


def test_an_unforeseen_failure_says_where_it_happened() -> None:
    def run(_job: Job, _progress: object) -> Results:
        raise ZeroDivisionError("never planned for")

    outcome = _run_one(Job(Path("photo.png"), "photo"), run, lambda _stage, _fraction: None)
    assert outcome.error is not None
    assert "ZeroDivisionError: never planned for at test_cutout_command.py:" in str(outcome.error)


def test_remarks_stand_once_at_the_end(smart_matte: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        draw(photos, name)
    result = smart_matte("cutout", photos, "-s", photos / "rough", "-o", tmp_path / "out")
    assert result.stderr.decode().count("fba-compact instead of fba") == 1


def test_a_closed_standard_output_is_said(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    result = smart_matte("cutout", picture, "-s", rough, "-o", "-", preexec_fn=lambda: os.close(1))
    assert result.returncode == 5
    assert "Standard output is closed" in one_sentence(result)


@pytest.mark.parametrize("folder", ["file", "file/inside"])
def test_the_demo_needs_a_folder(smart_matte: Run, tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    result = smart_matte("demo", "-o", tmp_path / folder)
    assert result.returncode == 5
    one_sentence(result)


# Bad input: one sentence that says what to do, and the documented exit code.


def selection_of(value: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    return np.full(shape, value, np.uint8)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (selection_of(0), "empty"),
        (selection_of(255), "covers the whole picture"),
        (selection_of(255, (10, 20)), "20 x 10"),
    ],
)
def test_an_impossible_selection_is_refused(
    smart_matte: Run, tmp_path: Path, selection: np.ndarray, words: str
) -> None:
    picture, rough = draw(tmp_path)
    Image.fromarray(selection).save(rough)
    result = smart_matte("cutout", picture, "-s", rough, "-o", tmp_path / "out")
    assert result.returncode == 4
    assert words in one_sentence(result)


def test_no_selection_and_no_network_says_how_to_get_one(smart_matte: Run, tmp_path: Path) -> None:
    picture, _ = draw(tmp_path)
    result = smart_matte("cutout", picture, "-o", tmp_path / "out")
    assert result.returncode == 4
    assert "weights fetch deeplabv3-mobilenetv2" in one_sentence(result)


def test_weights_that_are_not_here_are_refused_by_name(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    result = smart_matte("cutout", picture, "-s", rough, "--matter", "fba", "-o", tmp_path / "o")
    assert result.returncode == 6
    assert "smart-matte weights fetch fba" in one_sentence(result)


def test_a_truncated_picture_is_refused(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    picture.write_bytes(picture.read_bytes()[:2000])
    result = smart_matte("cutout", picture, "-s", rough, "-o", tmp_path / "out")
    assert result.returncode == 3
    assert "photo.png" in one_sentence(result)


def test_a_picture_beyond_the_limit_is_refused_with_the_way_out(
    smart_matte: Run, tmp_path: Path
) -> None:
    huge = tmp_path / "huge.png"
    Image.new("1", (20_000, 10_000)).save(huge)
    result = smart_matte("cutout", huge, "-o", tmp_path / "out")
    assert result.returncode == 3
    assert "--max-megapixels" in one_sentence(result)


def test_a_file_in_place_of_the_output_folder_is_refused(smart_matte: Run, tmp_path: Path) -> None:
    picture, rough = draw(tmp_path)
    (tmp_path / "out").write_text("in the way")
    result = smart_matte("cutout", picture, "-s", rough, "-o", tmp_path / "out")
    assert result.returncode == 5
    assert "choose another" in one_sentence(result)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--decontaminate", "200"],
        ["--shift-edge", "-101"],
        ["--device", "abacus"],
        ["--matter", "magic"],
        ["--outer-radius", "-3"],
        ["-o", "-", "--json"],
        ["-o", ""],
        ["--max-megapixels", "nan"],
        ["--max-megapixels", "-1"],
    ],
)
def test_impossible_options_exit_with_2(
    smart_matte: Run, tmp_path: Path, arguments: list[str]
) -> None:
    picture, rough = draw(tmp_path)
    result = smart_matte("cutout", picture, "-s", rough, "-o", tmp_path / "out", *arguments)
    assert result.returncode == 2
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("command", [(), ("cutout",), ("weights",), ("evaluate",), ("demo",)])
def test_every_command_explains_itself(smart_matte: Run, command: tuple[str, ...]) -> None:
    result = smart_matte(*command, "--help")
    assert result.returncode == 0
    assert b"Usage: " in result.stdout


def test_the_version_is_the_packages(smart_matte: Run) -> None:
    from smart_matte import __version__  # noqa: PLC0415

    assert __version__ in smart_matte("--version").stdout.decode()
