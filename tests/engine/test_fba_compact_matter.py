"""Our own network on pictures: tiles change nothing, what is known stays, memory may be short."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from random_compact import random_fba_compact
from torch import nn

from smart_matte.engine import fba_compact_matter, runtime
from smart_matte.engine.fba_compact_inputs import Channels, Guess, guess_matte
from smart_matte.engine.fba_compact_matter import FbaCompactMatter
from smart_matte.engine.fba_inputs import pad_to_stride
from smart_matte.engine.fusion import fuse_fba, restore_known
from smart_matte.engine.matting import Matte
from smart_matte.engine.models.fba_compact import FbaCompact, build_fba_compact, fold_norms
from smart_matte.engine.runtime import Network, ignore_fraction
from smart_matte.engine.types import FloatArray, ignore_progress
from smart_matte.errors import Cancelled

Scene = tuple[FloatArray, FloatArray]
Planes = tuple[FloatArray, FloatArray, FloatArray]


@pytest.fixture(scope="module")
def network() -> FbaCompact:
    return build_fba_compact(fold_norms(random_fba_compact()).state_dict())


def ring(height: int, width: int) -> Scene:
    """Coloured noise, and a trimap with a ring of unknown pixels around a disc of foreground."""
    image = np.random.default_rng(height).random((height, width, 3), np.float32)
    y, x = np.indices((height, width))
    radius = np.hypot(y - height / 2, x - width / 2) / min(height, width)
    trimap = np.full((height, width), 0.5, np.float32)
    trimap[radius > 0.4] = 0
    trimap[radius < 0.2] = 1
    return image, trimap


def at_the_border() -> Scene:
    """Unknown along three sides, foreground at the fourth, and a lone pixel in the corner."""
    image, _ = ring(70, 90)
    trimap = np.zeros((70, 90), np.float32)
    trimap[:12] = trimap[50:, :40] = trimap[:, 80:] = 0.5
    trimap[20:50, :30] = 1
    trimap[-1, -1] = 0.5
    return image, trimap


def one_sided(side: float) -> Scene:
    image, trimap = ring(50, 70)
    return image, np.where(trimap == side, trimap, np.float32(0.5))


SCENES = {
    "multiples of 16": ring(96, 112),
    "other sides": ring(61, 83),
    "at the border": at_the_border(),
    "1 x 1": (np.full((1, 1, 3), 0.3, np.float32), np.full((1, 1), 0.5, np.float32)),
    "3 x 5": ring(3, 5),
    "one column": (ring(40, 1)[0], np.repeat([[0], [0.5], [1], [0.5]], 10, 0).astype("f4")),
    "all unknown": (ring(40, 50)[0], np.full((40, 50), 0.5, np.float32)),
    "no background": one_sided(1),
    "no foreground": one_sided(0),
}


def planes_of(matte: Matte) -> Planes:
    assert matte.foreground is not None
    assert matte.background is not None
    return matte.alpha, matte.foreground, matte.background


def answer_in_one_run(network: FbaCompact, image: FloatArray, trimap: FloatArray) -> Planes:
    """Guess, network, fusion, all on the whole picture; known pixels put back."""
    padded, padded_trimap = pad_to_stride(image, trimap, 16)
    guess = guess_matte(padded, padded_trimap, ignore_progress)
    channels = Channels(padded, padded_trimap, guess).within(slice(None), slice(None))
    with torch.inference_mode():
        output = network(torch.from_numpy(channels)[None])[0].permute(1, 2, 0).numpy()
    output = output[: trimap.shape[0], : trimap.shape[1]].clip(0, 1)
    fused = fuse_fba(image, output[..., 0], output[..., 1:4], output[..., 4:])
    is_known = trimap != 0.5
    colours = (np.where(is_known[..., None], image, colour) for colour in fused[1:])
    return restore_known(image, trimap, fused[0], *colours)


@pytest.mark.parametrize("name", SCENES)
def test_tiles_give_what_one_run_over_the_whole_picture_gives(
    name: str, network: FbaCompact, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = SCENES[name]
    expected = answer_in_one_run(network, image, trimap)
    tiles = []
    for tile_px in (256, 32, 20):
        monkeypatch.setattr(fba_compact_matter, "TILE_PX", tile_px)
        matte = FbaCompactMatter(network).matte(image, trimap, ignore_progress)
        tiles.append(matte.tiles)
        for found, wanted in zip(planes_of(matte), expected, strict=True):
            assert found.dtype == np.float32
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert tiles[0] == 1
    assert tiles == sorted(tiles)
    assert tiles[2] >= np.prod([max(1, side // 20) for side in trimap.shape]) // 2


def test_bands_of_the_far_view_give_what_the_whole_gives(
    network: FbaCompact, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = (
        np.random.default_rng(2).random((1200, 20, 3), np.float32),
        np.full((1200, 20), np.float32(0.5)),
    )
    trimap[::50, :5], trimap[::50, 15:] = 0, 1
    matter = FbaCompactMatter(network)
    whole = matter.matte(image, trimap, ignore_progress)
    monkeypatch.setattr(fba_compact_matter, "BAND_PX", 128)
    bands = matter.matte(image, trimap, ignore_progress)
    for found, wanted in zip(planes_of(bands), planes_of(whole), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_the_random_network_corrects_what_is_compared(network: FbaCompact) -> None:
    image, trimap = SCENES["other sides"]
    guess = guess_matte(image, trimap, ignore_progress)
    alpha = FbaCompactMatter(network).matte(image, trimap, ignore_progress).alpha
    assert np.abs(alpha - guess.alpha)[trimap == 0.5].mean() > 0.05


@pytest.mark.parametrize("name", SCENES)
def test_known_pixels_keep_alpha_and_colour_exactly(name: str, network: FbaCompact) -> None:
    image, trimap = SCENES[name]
    given = image.copy(), trimap.copy()
    matte = FbaCompactMatter(network).matte(image, trimap, ignore_progress)
    alpha, foreground, background = planes_of(matte)
    is_known = trimap != 0.5
    np.testing.assert_array_equal(alpha[is_known], trimap[is_known])
    np.testing.assert_array_equal(foreground[is_known], image[is_known])
    np.testing.assert_array_equal(background[is_known], image[is_known])
    for plane in (alpha, foreground, background):
        assert 0 <= plane.min() <= plane.max() <= 1
    np.testing.assert_array_equal(image, given[0])
    np.testing.assert_array_equal(trimap, given[1])


def test_nothing_unknown_gives_the_trimap_without_a_run(
    network: FbaCompact, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = ring(50, 70)
    trimap = (trimap == 1).astype(np.float32)
    monkeypatch.setattr(fba_compact_matter, "guess_matte", None)
    matte = FbaCompactMatter(network).matte(image, trimap, ignore_progress)
    assert (matte.tiles, matte.note) == (0, "")
    for found, wanted in zip(planes_of(matte), (trimap, image, image), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_two_runs_are_equal(network: FbaCompact) -> None:
    matter = FbaCompactMatter(network)
    one, other = (matter.matte(*SCENES["other sides"], ignore_progress) for _ in range(2))
    for plane, again in zip(planes_of(one), planes_of(other), strict=True):
        np.testing.assert_array_equal(plane, again)


def test_what_is_far_from_the_unknown_region_is_never_looked_at(network: FbaCompact) -> None:
    image = np.random.default_rng(1).random((260, 330, 3), np.float32)
    trimap = np.zeros((260, 330), np.float32)
    trimap[100:150, 90:150] = 0.5
    trimap[115:130, 110:130] = 1
    near = slice(100 - 64, 150 + 64), slice(90 - 64, 150 + 64)
    other, other_trimap = 1 - image, np.ones_like(trimap)
    other[near], other_trimap[near] = image[near], trimap[near]
    matter = FbaCompactMatter(network)
    one, again = (
        matter.matte(*scene, ignore_progress).alpha
        for scene in ((image, trimap), (other, other_trimap))
    )
    np.testing.assert_array_equal(one[near], again[near])


@pytest.mark.parametrize("name", ["other sides", "no foreground"])
def test_progress_goes_up_from_none_to_all(
    name: str, network: FbaCompact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fba_compact_matter, "TILE_PX", 20)
    told: list[tuple[str, float]] = []
    matter = FbaCompactMatter(network)
    matte = matter.matte(*SCENES[name], lambda *words: told.append(words))
    fractions = [fraction for _, fraction in told]
    assert {stage for stage, _ in told} == {"matting"}
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert len(fractions) > matte.tiles > 4


def test_an_exception_from_progress_ends_the_job_there(
    network: FbaCompact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fba_compact_matter, "TILE_PX", 32)
    matter = FbaCompactMatter(network)
    told: list[float] = []
    matter.matte(*SCENES["other sides"], lambda _stage, fraction: told.append(fraction))
    for last in (told[0], told[len(told) // 2], told[-2], told[-1]):
        heard: list[float] = []

        def cancel(_stage: str, fraction: float, last: float = last) -> None:
            heard.append(fraction)  # noqa: B023  (called before the next round)
            if fraction >= last:
                raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            matter.matte(*SCENES["other sides"], cancel)
        assert heard[-1] == last
        assert all(fraction < last for fraction in heard[:-1])


class ScarceMemory(Network):
    """Pretends to be a device that runs out of memory from some run on."""

    words = "CUDA out of memory. Tried to allocate 2.00 GiB."
    runs_left = 0
    devices = ("cuda:0",)
    """Those that are short."""

    def __init__(
        self, module: nn.Module, device: str = "cpu", *, may_be_half: bool = False
    ) -> None:
        super().__init__(module, "cpu", may_be_half=may_be_half)
        self.device = device

    def moved_to(self, device: str) -> "ScarceMemory":
        return type(self)(self._module, device)

    def __call__(
        self, *inputs: FloatArray, progress: Callable[[float], None] = ignore_fraction
    ) -> FloatArray:
        kind = type(self)
        if self.device in kind.devices:
            if kind.runs_left == 0:
                raise RuntimeError(kind.words)
            kind.runs_left -= 1
        output = self._run(inputs)
        progress(1.0)
        return output

    def _run(self, inputs: tuple[FloatArray, ...]) -> FloatArray:
        device, self.device = self.device, "cpu"
        try:
            return super()._run(inputs)
        finally:
            self.device = device


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> type[ScarceMemory]:
    class Scarce(ScarceMemory):
        pass

    monkeypatch.setattr(fba_compact_matter, "Network", Scarce)
    monkeypatch.setattr(fba_compact_matter, "TILE_PX", 32)
    return Scarce


@pytest.mark.parametrize("runs", [0, 1, 3])
def test_a_device_that_runs_out_of_memory_is_left_for_the_cpu(
    runs: int, network: FbaCompact, scarce: type[ScarceMemory]
) -> None:
    scene = SCENES["other sides"]
    expected = FbaCompactMatter(network).matte(*scene, ignore_progress)
    assert expected.tiles > 3
    scarce.runs_left = runs
    matter = FbaCompactMatter(network, "cuda:0")
    assert matter.device == "cuda:0"
    matte = matter.matte(*scene, ignore_progress)
    assert matte.note == "cuda:0 ran out of memory and the CPU took over."
    assert matter.device == "cpu"
    for found, wanted in zip(planes_of(matte), planes_of(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert matter.matte(*scene, ignore_progress).note == ""


def test_what_the_solver_has_to_say_is_said_too(
    network: FbaCompact, scarce: type[ScarceMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = SCENES["multiples of 16"]

    def guess(image: FloatArray, trimap: FloatArray, _progress: object) -> Guess:
        return Guess(trimap, image, image, "it was hard.")

    monkeypatch.setattr(fba_compact_matter, "guess_matte", guess)
    assert scarce.runs_left == 0
    notes = [
        FbaCompactMatter(network, device).matte(image, trimap, ignore_progress).note
        for device in ("cpu", "cuda:0")
    ]
    assert notes == [
        "it was hard.",
        "it was hard. cuda:0 ran out of memory and the CPU took over.",
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("words", ["DefaultCPUAllocator: can't allocate memory: 8 bytes"])
def test_too_little_memory_everywhere_is_one_sentence(
    device: str, words: str, network: FbaCompact, scarce: type[ScarceMemory]
) -> None:
    scarce.devices, scarce.words = ("cuda:0", "cpu"), words
    with pytest.raises(MemoryError, match="too little memory to matte this picture"):
        FbaCompactMatter(network, device).matte(*SCENES["3 x 5"], ignore_progress)


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    network: FbaCompact, scarce: type[ScarceMemory]
) -> None:
    scarce.words = "an illegal instruction"
    matter = FbaCompactMatter(network, "cuda:0")
    with pytest.raises(RuntimeError, match="an illegal instruction"):
        matter.matte(*SCENES["3 x 5"], ignore_progress)
    assert matter.device == "cuda:0"


def test_half_precision_gives_nearly_the_same_where_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = fold_norms(random_fba_compact()).half().state_dict()
    scene = ring(61, 83)
    single = FbaCompactMatter(build_fba_compact(weights))
    monkeypatch.setattr(runtime, "HALF_DEVICES", ("cpu",))
    half = FbaCompactMatter(build_fba_compact(weights))
    assert (single.precision, half.precision) == ("float32", "float16")
    exact, rounded = (planes_of(m.matte(*scene, ignore_progress)) for m in (single, half))
    for plane, other in zip(exact, rounded, strict=True):
        assert other.dtype == np.float32
        assert 0 < np.abs(plane - other).max() < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card that torch knows")
def test_a_graphics_card_computes_in_half_precision() -> None:
    weights = fold_norms(random_fba_compact()).half().state_dict()
    scene = ring(61, 83)
    card = FbaCompactMatter(build_fba_compact(weights), "cuda:0")
    assert (card.device, card.precision) == ("cuda:0", "float16")
    single = FbaCompactMatter(build_fba_compact(weights))
    exact, rounded = (planes_of(m.matte(*scene, ignore_progress)) for m in (single, card))
    for plane, other in zip(exact, rounded, strict=True):
        assert np.abs(plane - other).max() < 0.02
