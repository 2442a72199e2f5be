"""Fidelity: the learners that two suites share, at their largest training size and equal episodes."""

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.comparison.fidelity import fidelities
from adaptbench.reports.results.runs import Run
from adaptbench.reports.sources.sources import opened, read_sources

PLACES = "Sinusoids (noise-free)", "Omniglot (Vinyals split, rotations in training)"


def comparisons(folder):
    with opened([folder]) as sources:
        outcomes = read_sources(sources).outcomes
        assert all(isinstance(each, Run) for each in outcomes)
        return compare(outcomes)


def test_a_suite_agrees_with_itself(finished_quick):
    own = comparisons(finished_quick.path)
    found = list(fidelities(own, own))
    assert [(each.place, each.size) for each in found] == [
        (PLACES[0], "5-shot"), (PLACES[0], "10-shot"), (PLACES[1], "5-way 1-shot"), (PLACES[1], "5-way 5-shot"),
    ]  # fmt: skip
    assert all(each.tau == 1 and each.learners == 4 and each.lower <= 1 for each in found)
    assert "4 learners: 1.00 [" in str(found[0])
    assert "covers episodes only" not in str(found[0])


def test_too_few_common_learners_are_not_compared(finished_quick, folder):
    folder.plan_quick(learners={"lstm": ("LSTM", "recurrent"), "attention": ("Attention", "attention")})
    other = comparisons(folder.write_suite().finish().path)
    assert not list(fidelities(comparisons(finished_quick.path), other))
