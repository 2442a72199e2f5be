"""Says which scores may be averaged or ranked together, and why others may not."""

from collections.abc import Mapping
from dataclasses import dataclass

from adaptbench.reports.format import Result, Score
from adaptbench.reports.results.runs import Run

# A budget is met by whole batches, so that learners with other batch sizes may overshoot it by a little.
BUDGET_TOLERANCE = 0.01


@dataclass(frozen=True)
class Conditions:
    """What must be equal before two scores are averaged over seeds or ranked against each other."""

    episodes_digest: str
    queries: int
    n_episodes: int
    examples_encoded: int
    selection: str
    transductive: bool


def conditions(run: Run, score: Score) -> Conditions:
    """The conditions under which a score came about."""
    result = run.result
    return Conditions(
        score.episodes_digest,
        score.queries,
        score.n_episodes,
        result.examples_encoded,
        result.selection,
        result.transductive,
    )


def differences(found: Mapping[str, Conditions]) -> tuple[str, ...]:
    """Says in what conditions differ.

    Args:
        found: For each name (of a learner, or of a seed) the conditions of its score.

    Returns:
        One phrase for each kind of difference, with the names and values; empty if all can be compared.
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
    }
    return tuple(phrase for word, named in values.items() if (phrase := _difference(word, named)))


def induction(found: Conditions | Result) -> str:
    """One word for whether queries were predicted each by itself."""
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
