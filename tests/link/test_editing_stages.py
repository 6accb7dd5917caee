"""Progress in words, for every stage that there is."""

import ast
from pathlib import Path

import pytest

from smart_matte_link.editing.stages import SPANS, TITLES, WORKING, overall_fraction, title_of

BACKEND = Path(__file__).resolve().parents[2] / "backend" / "smart_matte"


def stages_told() -> set[str]:
    """What the engine and the service call their stages, read from where they tell of them."""
    found = {"queued"}
    for file in ("engine/cutout.py", "service/models.py"):
        for node in ast.walk(ast.parse((BACKEND / file).read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "id", "") or getattr(called, "attr", "")
            if name in {"_stage", "progress"} and isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
    return found


def test_every_stage_has_a_title_and_a_span():
    assert stages_told() >= {"queued", "segmentation", "trimap", "matting", "foreground"}
    assert stages_told() | {"loading"} == set(TITLES) == set(SPANS)


def test_a_stage_of_a_newer_backend_is_shown_as_work():
    assert title_of("polishing") == WORKING
    assert overall_fraction("polishing", 0.5) is None


def test_spans_follow_one_another_without_a_gap():
    ends = [0.0]
    for start, end in SPANS.values():
        assert start == ends[-1]
        assert end >= start
        ends.append(end)
    assert ends[-1] == 1.0


@pytest.mark.parametrize("stage", SPANS)
def test_a_stage_goes_from_its_start_to_its_end(stage):
    assert (overall_fraction(stage, 0.0), overall_fraction(stage, 1.0)) == pytest.approx(
        SPANS[stage]
    )
