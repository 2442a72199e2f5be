"""The conditions that scores must share before they are averaged or ranked together."""

from collections.abc import Mapping
from dataclasses import dataclass

from adaptbench.reports.format import Result, Score
from adaptbench.reports.results.runs import Run

BUDGET_TOLERANCE = 0.01
"""Relative tolerance: training ends with a whole batch, so budgets differ slightly between batch sizes."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of a score; equal for all scores that are averaged over seeds or ranked against each other."""

    episodes_digest: str
    queries: int
    n_episodes: int
    examples_encoded: int
    selection: str
    transductive: bool
    results_version: int | None


def conditions(run: Run, score: Score) -> Conditions:
    """The conditions of a run's score."""
    result = run.result
    return Conditions(
        score.episodes_digest,
        score.queries,
        score.n_episodes,
        result.examples_encoded,
        result.selection,
        result.transductive,
        run.spec.results_version if run.spec else None,
    )


def differences(found: Mapping[str, Conditions]) -> tuple[str, ...]:
    """Lists how conditions differ.

    Args:
        found: The conditions of each score, by the name of its learner or seed.

    Returns:
        One phrase for each condition that differs, with the names and values; empty if all are comparable.
    """
    budgets = [each.examples_encoded for each in found.values() if each.examples_encoded]  # a control may train nothing
    same_budget = not budgets or max(budgets) - min(budgets) <= BUDGET_TOLERANCE * max(budgets)
    values: dict[str, dict[str, str]] = {
        "test episodes": {name: each.episodes_digest[:12] for name, each in found.items()},
        "numbers of test episodes": {name: str(each.n_episodes) for name, each in found.items()},
        "numbers of queries": {name: str(each.queries) for name, each in found.items()},
        "examples encoded": {} if same_budget else {name: f"{each.examples_encoded:,}" for name, each in found.items()},
        "selection rules": {name: each.selection for name, each in found.items()},
        "kinds of prediction": {name: induction(each) for name, each in found.items()},
        "versions of the results": {
            name: str(each.results_version) for name, each in found.items() if each.results_version is not None
        },
    }
    return tuple(phrase for word, named in values.items() if (phrase := _difference(word, named)))


def induction(found: Conditions | Result) -> str:
    """Whether queries were predicted together ("transductive") or one by one ("inductive")."""
    return "transductive" if found.transductive else "inductive"


def _difference(word: str, values: Mapping[str, str]) -> str:
    """A phrase such as "selection rules differ (best: LSTM; last: Attention, Deep sets)"."""
    names: dict[str, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    if len(names) < 2:
        return ""
    groups = "; ".join(f"{value}: {', '.join(names[value])}" for value in sorted(names))
    return f"{word} differ ({groups})"
