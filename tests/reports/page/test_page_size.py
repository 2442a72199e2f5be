"""A page of many runs is thinned out, so that it stays below 8 MB."""

import re

import pytest

from adaptbench.reports.page import page, page_data
from adaptbench.reports.report import write_report
from adaptbench.reports.results.curves import LearningCurve


@pytest.fixture
def text(quick, tmp_path):
    """Writes the report of the quick suite; returns the text of its page."""
    return lambda: write_report(quick.path, tmp_path / "out").page.read_text(encoding="utf-8")


def test_figures_are_left_out_where_there_is_no_room(text, monkeypatch):
    assert "data:image/png" in text()
    monkeypatch.setattr(page, "MOST_CHARACTERS", 0)
    assert "data:image/png" not in text()


def test_a_row_of_many_seeds_links_to_some(text, monkeypatch):
    assert " more</td>" not in text()
    monkeypatch.setattr(page, "MOST_LINKS", 1)
    monkeypatch.setattr(page, "FEWEST_LINKS", 1)
    cells = re.findall(r'<a href="#run-\w+">0</a> and 1 more</td>', text())
    assert len(cells) == 4 * (2 + 6), "two seeds in every row"


@pytest.mark.parametrize("most", [30, 5])
def test_a_curve_keeps_its_end_and_few_points(most):
    curve = LearningCurve(tuple(range(100, 4100, 100)), {"train": tuple(1 / n for n in range(1, 41))})
    shown = page_data._curve(curve, 100.0, most)
    assert most // 2 < len(shown["x"]) == len(shown["train"]) <= most
    assert (shown["x"][-1], shown["train"][-1]) == (4000, 2.5)
