"""Cards: made from docstrings and results that ship, equal to the page of the documentation."""

import inspect
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands.card import PAGE, card, page
from adaptbench.benchmarks.suites.registry import GRADIENT_LEARNERS, LEARNERS, load

DOCS = Path(__file__).parents[3] / "docs"
OURS = [name for name in LEARNERS | GRADIENT_LEARNERS if not name.endswith("_learn2learn")]


def section(text, name):
    return text.split(f"`{name}`; ", 1)[1].split("\n## ", 1)[0]


def test_the_page_is_made_from_the_code():
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", OURS)
def test_every_learner_has_an_equation_a_reference_and_a_meaning_for_each_argument(name):
    text = section(page(), name)
    assert "\nEquation: `" in text and "\nReference: " in text and "\nCarries over: " in text
    arguments = inspect.signature(load("learner", name)).parameters.values()
    for argument in (each.name for each in arguments if each.default is not each.empty):
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{argument}` |"))
        assert not row.endswith("|  |")


def test_cards_have_the_results_that_ship():
    text = card("lstm")
    assert "## omniglot (vinyals, rotations in training), from `quick, version" in text
    assert "| LSTM, bound | 77.8<sup>≈</sup> [70.0, 84.0] |" in text and "| Deep sets |" not in text
    assert "Known failures: none in these results." in text and "CPU time in s" in text and "*numbers*" in text
    text = card("omniglot")
    assert text.startswith("# Omniglot\n") and "| Deep sets |" in text and "sinusoid" not in text


def test_what_has_no_card_is_refused():
    found = CliRunner().invoke(app, ["show", "lsmt", "--card"])
    assert found.exit_code == 2
    with pytest.raises(ValueError, match="Did you mean `lstm`"):
        card("lsmt")
    assert card("fine_tuning").startswith("# ")
