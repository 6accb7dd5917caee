"""What is drawn of samples is what the network is given, and what it answers."""

import numpy as np
import pytest
from tiny_samples import TINY

from smart_matte.engine.models.fba_compact import FbaCompact
from smart_matte.pictures.sheets import over_backdrop
from smart_matte.training import sheets
from smart_matte.training.shards import SampleFiles, Shard
from smart_matte.training.sheets import sample_sheet

CAPTIONS = ["image", "trimap", "true alpha", "true foreground", "guess", "guess on a backdrop"]


@pytest.fixture
def held_back(rendered: tuple[list[Shard], list[Shard]]) -> SampleFiles:
    return SampleFiles(rendered[1], TINY.per_shard)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_every_sample_has_a_row(
    count: int, rows: int, held_back: SampleFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}

    def draw(panels: list[tuple[str, np.ndarray]], **layout: int) -> np.ndarray:
        drawn["captions"] = [caption for caption, _panel in panels]
        drawn["columns"] = layout["columns"]
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(sheets, "contact_sheet", draw)
    sample_sheet(held_back, count)
    assert drawn == {"captions": rows * CAPTIONS, "columns": len(CAPTIONS)}
    sample_sheet(held_back, count, FbaCompact())
    row = [*CAPTIONS, "network", "network on a backdrop"]
    assert drawn == {"captions": rows * row, "columns": len(row)}


def test_panels_show_the_sample_the_guess_and_the_answer(held_back: SampleFiles) -> None:
    channels, truth = held_back[2, 0]
    panels = dict(sheets._row(channels, truth, (FbaCompact().train(), "cpu")))
    is_unknown = truth.is_unknown[0].numpy() == 1
    np.testing.assert_array_equal(panels["image"], truth.image.permute(1, 2, 0))
    np.testing.assert_array_equal(panels["trimap"] == 0.5, is_unknown)
    np.testing.assert_array_equal(panels["trimap"] == 1, channels[10] == 1)
    np.testing.assert_array_equal(panels["guess"], channels[11])
    np.testing.assert_array_equal(panels["network"], channels[11])  # as it begins
    expected = over_backdrop(channels[12:15].permute(1, 2, 0).numpy(), channels[11].numpy())
    np.testing.assert_allclose(panels["guess on a backdrop"], expected, atol=1e-6)


def test_a_sheet_is_a_picture(held_back: SampleFiles) -> None:
    sheet = sample_sheet(held_back, 2, FbaCompact())
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] > 2 * sheets.HEIGHT_PX
    assert sheet.shape[1] > 8 * sheets.HEIGHT_PX
