"""Tables say what the rows say, once in a terminal and once in Markdown."""

import io
from dataclasses import replace

import pytest
import rich.console

from smart_matte.evaluation.colour_errors import ColourErrors
from smart_matte.evaluation.metrics import Errors
from smart_matte.evaluation.ratios import Ratio
from smart_matte.evaluation.rows import Row
from smart_matte.evaluation.tables import (
    describe_machine,
    summarise,
    summarise_colours,
    tabulate,
    tabulate_ratios,
    to_markdown,
    to_rich,
)


def trimap_row(picture: str, sad: float, matter: str = "closed-form") -> Row:
    errors = Errors(sad=sad, mse=sad / 1000, gradient=2 * sad, connectivity=3 * sad)
    return Row("alphamatting-narrow", picture, matter, "cpu", "", "", 0.25, errors, 4.0)


def rough_row(picture: str, sad: float, selection_sad: float, used: str = "grabcut") -> Row:
    errors = Errors(sad=sad, mse=0.001, gradient=0.0, connectivity=0.0)
    arguments = ("closed-form", "cpu", "grabcut", used, 0.5, errors, 1.0, selection_sad, 0.5)
    return Row("rough", picture, *arguments)


ROWS = [
    trimap_row("GT01", 1.0),
    trimap_row("GT01", 5.0, "fba"),
    trimap_row("GT03", 2.0),
    trimap_row("GT03", 7.0, "fba"),
    rough_row("GT01", 3.0, 10.0),
    rough_row("GT03", 12.0, 11.0, used="selection"),
]


def test_each_engine_has_a_table_for_each_set_that_ends_in_the_mean() -> None:
    tables = tabulate(ROWS)
    assert [table.title for table in tables] == [
        "alphamatting-narrow: closed-form",
        "alphamatting-narrow: fba",
        "rough: closed-form + grabcut",
    ]
    assert tables[0].rows == (
        ("GT01", "1.00", "1.00", "2.00", "3.00", "25.0%", "4.0"),
        ("GT03", "2.00", "2.00", "4.00", "6.00", "25.0%", "4.0"),
        ("mean", "1.50", "1.50", "3.00", "4.50", "25.0%", "4.0"),
    )


def test_the_rough_table_shows_the_selection_and_flags_what_is_worse_and_what_fell_back() -> None:
    rough = tabulate(ROWS)[2]
    assert rough.header[1] == "selection"
    assert [row[1] for row in rough.rows] == ["10.00", "11.00", "10.50"]
    assert [row[-1] for row in rough.rows] == ["", "WORSE, by selection", "1 worse"]


def test_the_summary_has_a_line_for_each_engine_and_set() -> None:
    summary = summarise(ROWS)
    assert [row[:5] for row in summary.rows] == [
        ("alphamatting-narrow", "closed-form", "2", "", "1.50"),
        ("alphamatting-narrow", "fba", "2", "", "6.00"),
        ("rough", "closed-form + grabcut", "2", "10.50", "7.50"),
    ]
    assert [row[-1] for row in summary.rows] == ["", "", "1"]


def test_colours_have_columns_where_the_truth_of_any_is_known() -> None:
    known = replace(ROWS[0], colours=ColourErrors(foreground=0.1, multilevel=0.2, green=0.03))
    better = replace(ROWS[2], colours=ColourErrors(foreground=0.05, multilevel=0.1, green=0.01))
    (table,) = tabulate([known, ROWS[2]])
    assert table.header[-3:] == ("F e3", "multi-level e3", "green e3")
    assert [row[-3:] for row in table.rows] == [
        ("100.00", "200.00", "30.00"),
        ("", "", ""),
        ("100.00", "200.00", "30.00"),
    ]
    (colours,) = summarise_colours([known, better])
    assert colours.rows == (
        ("alphamatting-narrow", "closed-form", "2", "75.00", "150.00", "20.00"),
    )
    assert summarise_colours(ROWS) == []


def test_ratios_have_a_column_for_each_matter() -> None:
    ratios = [Ratio("SAD", {"a": 1.0, "pymatting-cf": 1.0}), Ratio("F", {"pymatting-cf": 0.456})]
    (table,) = tabulate_ratios(ratios)
    assert table.header == ("figure", "a", "pymatting-cf")
    assert table.rows == (("SAD", "1.00", "1.00"), ("F", "", "0.46"))
    assert tabulate_ratios([]) == []


def test_markdown_says_what_was_left_out() -> None:
    page = to_markdown([summarise(ROWS)], "smart-matte evaluate", "Machine: x.", ["fba is not."])
    assert "\n\nfba is not.\n\n###" in page


def test_markdown_begins_with_the_command_and_every_line_of_a_table_has_all_its_cells() -> None:
    page = to_markdown([summarise(ROWS), *tabulate(ROWS)], "smart-matte evaluate", "Machine: x.")
    assert page.startswith("    smart-matte evaluate\n\nMachine: x.\n")
    for block in page.split("### ")[1:]:
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len(lines) >= 3
        assert len({line.count("|") for line in lines}) == 1
    assert "| GT03 | 11.00 | 12.00 |" in page


def test_a_terminal_shows_every_cell_of_a_table() -> None:
    text = io.StringIO()
    console = rich.console.Console(file=text, width=200)
    for table in tabulate(ROWS):
        console.print(to_rich(table))
        for row in table.rows:
            assert all(cell in text.getvalue() for cell in row)


def test_the_machine_is_described_with_its_devices_and_versions() -> None:
    line = describe_machine(ROWS)
    assert "ran on cpu" in line
    assert "torch 2" in line


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS[-1:]])
def test_a_single_row_is_its_own_mean(rows: list[Row]) -> None:
    (table,) = tabulate(rows)
    assert table.rows[0][1:-1] == table.rows[1][1:-1]
