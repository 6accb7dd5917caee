"""``smart-matte evaluate`` as a user calls it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smart_matte.cli.evaluate import evaluate
from smart_matte.engine.options import MATTERS
from smart_matte.errors import OptionError
from smart_matte.evaluation.references import REFERENCES


def run(*arguments: str, data: Path | None = None) -> Result:
    environment = {"SMART_MATTE_DATA": None if data is None else str(data)}
    fixed = ("--matter", "closed-form", "--segmenter", "selection")
    return CliRunner().invoke(evaluate, [*fixed, *arguments], env=environment)


def test_tables_are_printed_and_written_with_json_and_sheets(
    tiny_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    result = run("--data", str(tiny_data), "--limit", "1", "--output", str(output))
    assert result.exit_code == 0, result.output
    assert "rough: closed-form + selection" in result.stdout
    assert "alphamatting-narrow GT01 closed-form: SAD" in result.stderr
    page = (output / "results.md").read_text(encoding="utf-8")
    assert page.startswith("    smart-matte evaluate --sets alphamatting-narrow,alphamatting-wide")
    assert str(tmp_path) not in page
    facts = json.loads((output / "results.json").read_text(encoding="utf-8"))
    assert [row["set_name"] for row in facts["rows"]] == [
        "alphamatting-narrow",
        "alphamatting-wide",
        "rough",
        "loose",
        "fba-reference",
        "synthetic",
    ]
    assert len(list((output / "sheets").iterdir())) == 6


def test_beside_pymattings_closed_form_every_figure_has_a_ratio(tiny_data: Path) -> None:
    arguments = ("--matter", "pymatting-cf", "--sets", "fba-reference,rough", "--limit", "1")
    result = run(*arguments, data=tiny_data)
    assert result.exit_code == 0, result.output
    assert "Ratios to pymatting-cf" in result.stdout
    assert "SAD, rough + selection" in result.stdout
    facts = json.loads(run("--json", *arguments, data=tiny_data).stdout)
    figures = {ratio["figure"]: ratio["of"] for ratio in facts["ratios"]}
    assert figures["SAD, fba-reference"]["pymatting-cf"] == 1
    ours, theirs = (row["errors"]["sad"] for row in facts["rows"][:2])
    assert figures["SAD, fba-reference"]["closed-form"] == pytest.approx(ours / theirs)
    assert facts["command"].count("--matter") == 2


def test_all_matters_run_but_for_those_without_weights(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SMART_MATTE_WEIGHTS", str(tmp_path))
    arguments = ("--matter", "all", "--sets", "fba-reference", "--pictures", "disc", "--json")
    result = run(*arguments, data=tiny_data)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    ran = [row["matter"] for row in facts["rows"]]
    assert ran[-2:] == ["pymatting-cf", "pymatting-knn"]
    assert {*ran, *(sentence.split()[0] for sentence in facts["left_out"])} == {
        *MATTERS,
        *REFERENCES,
    }
    assert all(sentence in result.stderr for sentence in facts["left_out"])


def test_json_is_all_that_standard_output_holds(tiny_data: Path) -> None:
    result = run("--json", "--sets", "rough", "--limit", "1", data=tiny_data)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["rows"]
    assert row["picture"] == "GT01"
    assert set(row["errors"]) == {"sad", "mse", "gradient", "connectivity"}


def test_without_pictures_the_sentence_says_how_to_name_them() -> None:
    result = run()
    assert isinstance(result.exception, OptionError)
    assert "--data FOLDER or in SMART_MATTE_DATA" in str(result.exception)


@pytest.mark.parametrize("sets", ["rough,nonsense", ""])
def test_an_unknown_set_is_refused_before_anything_runs(tiny_data: Path, sets: str) -> None:
    result = run("--sets", sets, data=tiny_data)
    assert isinstance(result.exception, OptionError)
    assert "There is no set" in str(result.exception)
    assert "SAD" not in result.output
