"""The GIMP plug-in with the real backend: the engine's own result, and the engine's own words."""

from collections.abc import Iterator

import numpy as np
import pytest
from backends import EditorBackend
from gimp_plug_in import Batch, gimp_for_a_module, pixels, run_cases
from programs import Editors

import smart_matte
from smart_matte.engine.options import Options

WIDTH, HEIGHT = 160, 120
RESULT = "subject cut out"


def soft_disc_picture() -> np.ndarray:
    """A warm disc with a soft edge before a cool background, u8 (H, W, 3)."""
    chance = np.random.default_rng(4)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    alpha = np.clip((35 - np.hypot(x - 80, y - 60)) / 6 + 0.5, 0, 1)[..., None]
    colours = alpha * (200, 100, 50) + (1 - alpha) * (50, 100, 180)
    return np.clip(colours + chance.normal(0, 4, colours.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def batch(editors: Editors, backend: EditorBackend) -> Iterator[Batch]:
    with gimp_for_a_module(editors) as gimp:
        picture = gimp.home / "tmp" / "disc"
        picture.write_bytes(soft_disc_picture().tobytes())
        size = (WIDTH, HEIGHT)
        yield run_cases(gimp, "real_cases", backend, picture=str(picture), size=size)


@pytest.fixture(scope="module")
def direct(batch: Batch) -> smart_matte.Cutout:
    selection = pixels(batch.cases["disc"].before["selection"])[..., 0]
    return smart_matte.cutout(soft_disc_picture(), selection, Options(own_alpha=False))


def test_the_mask_is_the_engines_alpha(batch: Batch, direct: smart_matte.Cutout):
    case = batch.cases["disc"]
    assert (case.status, case.problem) == ("success", None)
    mask = pixels(case.layer(RESULT)["mask"])[..., 0]
    np.testing.assert_allclose(mask / 255, direct.alpha, atol=0.51 / 255)
    assert mask[60, 80] == 255
    assert mask[2, 2] == 0
    assert ((mask > 20) & (mask < 235)).sum() > 100


def test_the_colours_are_the_engines_foreground_where_the_trimap_is_unknown(
    batch: Batch, direct: smart_matte.Cutout
):
    found = pixels(batch.cases["disc"].layer(RESULT))
    original = soft_disc_picture()
    is_unknown = (direct.trimap > 0) & (direct.trimap < 1)
    assert is_unknown.sum() > 1000
    np.testing.assert_array_equal(found[is_unknown], direct.foreground[is_unknown])
    np.testing.assert_array_equal(found[~is_unknown], original[~is_unknown])
    assert (found != original).any()


def test_without_a_selection_the_engines_sentence_says_what_to_do(batch: Batch):
    case = batch.cases["no selection"]
    assert case.status == "execution-error"
    assert "draw a rough selection" in case.problem
    assert "\n" not in case.problem
    assert case.after["layers"] == case.before["layers"]


def test_nothing_but_the_sentence_is_on_stderr(batch: Batch):
    head = "GIMP-Error: Calling error for procedure 'plug-in-smart-matte':"
    said = [line for line in batch.stderr.splitlines() if line != head]
    # GIMP 3.2 leaves it to the script
    assert said in ([], [batch.cases["no selection"].problem])
