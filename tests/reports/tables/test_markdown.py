"""Markdown: escaping, and rows of equal length."""

import re

import pandas as pd
import pytest

from adaptbench.reports.report import write_report
from adaptbench.reports.tables.markup.markdown import MOST_COLUMNS, escape_markdown, to_markdown
from adaptbench.reports.tables.table import Table, TableCell

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fine_tuning", r"fine\_tuning"),
        ("<b> & </b>", "&lt;b&gt; &amp; &lt;/b&gt;"),
        ("a | b\nc", r"a \| b c"),
        ("$x$ *y* [z]", r"\$x\$ \*y\* \[z\]"),
    ],
)
def test_markdown_is_escaped(text, expected):
    assert escape_markdown(text) == expected


def test_markdown_rows_have_the_same_number_of_cells(folder, nasty, tmp_path):
    folder.plan_quick(learners=nasty).write_suite().finish()
    write_report(folder.path, tmp_path / "out")
    for path in (tmp_path / "out").glob("table-*.md"):
        rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        assert len(rows) == 3 + len(nasty)
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_columns_beyond_the_width_of_a_page_stand_below():
    texts = [str(number) for number in range(20)]
    groups = tuple((f"group {number}", 2) for number in range(10))
    rows = (("LSTM", tuple(map(TableCell, texts))),)
    table = Table("t", "", "Caption.", pd.DataFrame(), tuple(texts), rows, groups, notes=(("a", "not finished"),))
    caption, *grids, notes = to_markdown(table).split("\n\n")
    cells = [[cell.strip() for cell in grid.splitlines()[-1].strip("|").split("|")] for grid in grids]
    assert cells == [["LSTM", *texts[:MOST_COLUMNS]], ["LSTM", *texts[MOST_COLUMNS:]]]
    assert all("group" in grid.splitlines()[0] for grid in grids) and (caption, notes.count("<sup>")) == ("Caption.", 1)
