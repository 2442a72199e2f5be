"""The chosen learning rates: the suites hold them, and writing them into a suite changes nothing else."""

from pathlib import Path

import pytest
import yaml

from adaptbench.benchmarks.suites.chosen_rates import SUITES, chosen_rates, small_rates, with_rates
from adaptbench.benchmarks.suites.registry import suite_files
from adaptbench.benchmarks.suites.suite import load_suite

TEXT = """
tasks:
  - task: {name: sinusoid}  # a comment
    learners:
      lstm: {learner: {name: lstm, init_args: {slots: 1}}, optimization: {lr: 0.5}}
      other: {learner: {name: lstm, init_args: {binding: concat, start: random}}, optimization: {lr: 1e-3, clip: null}}
      a: {learner: {name: deep_sets}, optimization: &shared {lr: 0.5}}
      b: {learner: {name: deep_sets, init_args: {width: 16}}, optimization: *shared}
      named: {learner: {name: deep_sets, init_args: {context: 8}}, label: A narrow context, optimization: {lr: 0.5}}
      tuned: {strategy: {name: fine_tuning}, optimization: {lr: 0.5}}
  - task: {name: glyphs}
    learners:
      lstm: {learner: {name: lstm}, optimization: {lr: 0.5}}
"""
RATES = {
    ("sinusoid", "LSTM, bound"): 0.004,
    ("sinusoid", "LSTM"): 0.0005,
    ("sinusoid", "Deep sets"): 0.002,
    ("sinusoid", "A narrow context"): 0.016,
}


@pytest.mark.parametrize("name", [name for name in SUITES if name in suite_files()])
def test_the_suites_hold_the_chosen_rates(name):
    text = suite_files()[name].read_text(encoding="utf-8")
    assert with_rates(text, chosen_rates()) == text


def test_only_rates_change():
    changed = with_rates(TEXT, RATES)
    learners, glyphs = (entry["learners"] for entry in yaml.safe_load(changed)["tasks"])
    rates = {name: each["optimization"]["lr"] for name, each in learners.items()}
    assert rates == {"lstm": 0.004, "other": 0.0005, "a": 0.002, "b": 0.002, "named": 0.016, "tuned": 0.5}
    assert glyphs["lstm"]["optimization"]["lr"] == 0.5
    undone = changed.replace("0.016", "0.5").replace("0.004", "0.5").replace("0.0005", "1e-3").replace("0.002", "0.5")
    assert undone == TEXT and with_rates(changed, RATES) == changed


def test_learners_that_share_a_rate_and_need_two_are_named():
    rates = {**RATES, ("sinusoid", "CNP"): 0.001}
    text = TEXT.replace("init_args: {width: 16}", "init_args: {binding: concat}")
    with pytest.raises(ValueError, match=r"`lr` of its own for learner `b`, because it needs 0\.001"):
        with_rates(text, rates)
    with pytest.raises(ValueError, match=r"learner `lstm` to have `optimization: \{lr: 0\.004\}`"):
        with_rates(TEXT.replace(", optimization: {lr: 0.5}}\n      other", "}\n      other"), RATES)


def test_every_form_of_the_chosen_rates_was_tried_by_the_suite():
    tried = {(cell.attributes.task, cell.attributes.label) for cell in load_suite("rates").cells()}
    assert chosen_rates().keys() <= tried


def test_the_docs_have_the_rates_with_few_classes():
    assert small_rates() in Path(__file__).parents[3].joinpath("docs/learners.md").read_text(encoding="utf-8")
