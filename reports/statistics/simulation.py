"""The tables of docs/statistics.md: how often intervals cover and tests err. `python -m` this module prints them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]  # scipy ships no annotations

from adaptbench.reports.statistics.best import compare_with_best, difference_error, seed_df, seed_variances
from adaptbench.reports.statistics.collapsed import collapsed_seeds
from adaptbench.reports.statistics.intervals import LEVEL, MOST_SKEWNESS, interval_ends
from adaptbench.reports.statistics.scales import Range
from adaptbench.reports.statistics.studentized_range import range_critical

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Floats]

SEEDS = 0.7
"""The standard deviation between seeds, in points of accuracy."""
RESIDUAL = 0.3
"""That of a seed's mean over 600 episodes, given the seed: 7 points an episode."""
OF_EPISODES = 0.12
"""The variance of a difference by its episodes: 6 points an episode for each learner, 600 episodes."""
N_EPISODES = 600

SPREADS: dict[str, Callable[[int], Floats]] = {
    "all alike": lambda n: np.ones(n),
    "one 3 times": lambda n: np.where(np.arange(n) < 1, 3.0, 1.0),
    "half 3 times": lambda n: np.where(np.arange(n) < n // 2, 3.0, 1.0),
    "one 10 times": lambda n: np.where(np.arange(n) < 1, 10.0, 1.0),
    "half 10 times": lambda n: np.where(np.arange(n) < n // 2, 10.0, 1.0),
    "1 to 10 times": lambda n: np.geomspace(1, 10, n),
}
"""By name, how the standard deviations between seeds of the learners relate."""
ERRORS: dict[str, Draw] = {
    "exponential": lambda rng, n, e: rng.exponential(size=(n, 1, e)),
    "lognormal, sigma 1": lambda rng, n, e: np.exp(rng.standard_normal((n, 1, e)) - 0.5),
    "lognormal, sigma 1.5": lambda rng, n, e: np.exp(1.5 * rng.standard_normal((n, 1, e)) - 1.125),
    "lognormal, sigma 2": lambda rng, n, e: np.exp(2 * rng.standard_normal((n, 1, e)) - 2),
    "Pareto, exponent 1.5": lambda rng, n, e: (rng.pareto(1.5, (n, 1, e)) + 1) / 3,
}
"""By name, how errors of mean 1 [N, 1, E] are drawn."""


def claims(learners: int, seeds: int, columns: int, spread: Floats, behind: Floats, tables: int) -> Floats:
    """Which learners are called worse than the best, in tables of accuracies of many episodes.

    Args:
        learners: L.
        seeds: S.
        columns: K, independent of each other.
        spread: [L] standard deviations between seeds, in units of `SEEDS`.
        behind: [L] how far each learner is behind the first in truth, in points.
        tables: N.

    Returns:
        [N, K, L, L] booleans: the last axis is the best, the one before it who is called worse.
    """
    rng = np.random.default_rng(0)
    means = -behind[:, None] + SEEDS * spread[:, None] * rng.standard_normal((tables, columns, learners, seeds))
    means += RESIDUAL * rng.standard_normal(means.shape)
    means += np.sqrt(OF_EPISODES / 2) * rng.standard_normal((*means.shape[:-1], 1))
    of_seeds = seed_variances(means.var(axis=-1, ddof=1), np.full((columns, learners), seeds - 1)) / seeds
    means = means.mean(axis=-1)
    best = means.argmax(axis=-1)[..., None]
    df = seed_df(seeds, columns)
    errors, dfs = difference_error(
        (of_seeds, np.take_along_axis(of_seeds, best, -1), OF_EPISODES), (df, df, N_EPISODES - 1)
    )
    grid = np.geomspace(dfs.min(), dfs.max() * 1.001, 25)
    critical = np.exp(np.interp(np.log(dfs), np.log(grid), np.log(range_critical(LEVEL / columns, learners, grid))))
    worse = np.take_along_axis(means, best, -1) - means > critical * errors
    found: Floats = worse[..., None] & (best[..., None] == np.arange(learners))
    return found


def false_claims(learners: int, seeds: int, columns: int, spread: Floats, tables: int = 3000) -> float:
    """The share of tables with a false claim, where all learners are equally good."""
    found = claims(learners, seeds, columns, spread, np.zeros(learners), tables)
    return float(found.any(axis=(1, 2, 3)).mean())


def power(learners: int, seeds: int, columns: int, difference: float, tables: int = 1500) -> float:
    """The share of learners found to be worse where all are this much behind the best, in points."""
    behind = np.where(np.arange(learners) > 0, difference, 0.0)
    found = claims(learners, seeds, columns, np.ones(learners), behind, tables)
    return float(found[..., 1:, 0].mean())


def errors(rng: np.random.Generator, name: str, n: int, seeds: int, episodes: int) -> Floats:
    """Errors [N, S, E] of mean 1: seeds differ by a tenth, the residual has a standard deviation of a half."""
    own = rng.gamma(4, 0.25, (n, seeds, episodes))
    by_seed = np.exp(0.1 * rng.standard_normal((n, seeds, 1)) - 0.005) if seeds > 1 else 1.0
    found: Floats = ERRORS[name](rng, n, episodes) * own * by_seed
    return found


def accuracies(rng: np.random.Generator, mean: float, n: int, seeds: int, episodes: int) -> tuple[Floats, float]:
    """Accuracies [N, S, E] over 25 queries each, on the logit scale normal, and their true mean."""
    slope = mean * (1 - mean)
    by_seed, by_episode = min(0.007, (1 - mean) / 4) / slope if seeds > 1 else 0.0, min(0.1, 1 - mean) / slope
    shape = (n, seeds, episodes)
    place = special.logit(mean) + by_seed * rng.standard_normal((n, seeds, 1))
    place = place + by_episode * (0.8 * rng.standard_normal((n, 1, episodes)) + 0.6 * rng.standard_normal(shape))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    truth = special.expit(special.logit(mean) + np.hypot(by_seed, by_episode) * nodes) @ weights / weights.sum()
    return rng.binomial(25, special.expit(place)) / 25, float(truth)


def lake_runs(rng: np.random.Generator, error: float, overdispersion: float, n: int, seeds: int) -> Floats:
    """Shares of errors [N, S, 20] in 20 runs of 20 trials, whose variance over runs is this many times a binomial's."""
    within = (overdispersion - 1) / 19
    strength = 1 / within - 1
    chance = rng.beta(error * strength, (1 - error) * strength, (n, 1, 20))
    return rng.binomial(20, np.broadcast_to(chance, (n, seeds, 20))) / 20


def coverage(scores: Floats, truth: float, scores_are: Range) -> tuple[float, float]:
    """The share of cells whose interval covers the truth, and the share that is called unreliable."""
    lower, upper, skewness = interval_ends(scores, scores_are)
    return float(np.mean((lower <= truth) & (truth <= upper))), float(np.mean(np.abs(skewness) > MOST_SKEWNESS))


def error_claims(name: str, ratio: float, tables: int, seeds: int = 3, episodes: int = 1000) -> float:
    """The share of tables of 4 learners with a claim; all but the first err `ratio` times as much."""
    rng = np.random.default_rng(0)
    found = 0.0
    for _ in range(tables):
        base = ERRORS[name](rng, 1, episodes)[0]
        own = rng.gamma(2, 0.5, (4, 1, episodes)) * rng.gamma(4, 0.25, (4, seeds, episodes))
        scores = (
            base * own * np.exp(0.1 * rng.standard_normal((4, seeds, 1))) * np.array([1, *[ratio] * 3])[:, None, None]
        )
        column = {index: dict(enumerate(each)) for index, each in enumerate(scores)}
        (tests,) = compare_with_best([column], higher_is_better=False, relative=True)
        wrong = [test.significant for test in tests]
        found += any(wrong) if ratio == 1 else sum(wrong) / 3
    return found / tables


def false_alarms(seeds: int, gain: float, deviation: float, n: int = 4000) -> float:
    """The share of normal seeds [S] of which one is called collapsed; gain and deviation in accuracy, 5 ways."""
    means = 0.2 + gain + deviation * np.random.default_rng(0).standard_normal((n, seeds))
    return float(np.mean([bool(collapsed_seeds(dict(enumerate(row)), 0.2, 1.0)) for row in means]))


def _table(head: Sequence[str], rows: Iterator[tuple[str, list[float]]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    lines += [f"| {name} | {' | '.join(f'{100 * value:.1f}' for value in values)} |" for name, values in rows]
    return "\n".join(lines)


def _tables() -> Iterator[str]:
    sizes = [(learners, seeds) for learners in (4, 9) for seeds in (2, 3, 5, 10)]
    head = [f"{learners} learners, {seeds} seeds" for learners, seeds in sizes]
    for columns in (1, 3, 6):
        yield f"False claims, {columns} column(s): % of tables\n\n" + _table(
            ["spread between seeds", *head],
            ((name, [false_claims(n, s, columns, spread(n)) for n, s in sizes]) for name, spread in SPREADS.items()),
        )
    for columns in (1, 6):
        yield f"Power, {columns} column(s): % of differences found\n\n" + _table(
            ["points", *head], ((f"{d}", [power(n, s, columns, d) for n, s in sizes]) for d in (1, 2, 3, 4, 6, 8))
        )
    yield "Errors compared by ratio, 4 learners, 3 seeds, 1000 episodes: %\n\n" + _table(
        ["errors", "false claims", "found at 1.25", "found at 1.5", "found at 2"],
        ((name, [error_claims(name, ratio, 300) for ratio in (1, 1.25, 1.5, 2)]) for name in ERRORS),
    )
    rng = np.random.default_rng(0)
    cells = [(seeds, episodes) for seeds in (1, 3, 5) for episodes in (50, 100, 300, 1000)]
    found = {name: [coverage(errors(rng, name, 1000, *cell), 1.0, "positive") for cell in cells] for name in ERRORS}
    head = [f"{seeds} x {episodes}" for seeds, episodes in cells]
    for which, title in enumerate(("Coverage of errors", "Errors called unreliable")):
        rows = ((name, [each[which] for each in row]) for name, row in found.items())
        yield f"{title}, seeds x episodes: %\n\n" + _table(["errors", *head], rows)
    cells = [(seeds, episodes) for seeds in (1, 2, 3, 5, 10) for episodes in (100, 600)]
    yield "Coverage of accuracies, seeds x episodes: %\n\n" + _table(
        ["accuracy", *(f"{seeds} x {episodes}" for seeds, episodes in cells)],
        (
            (f"{mean}", [coverage(*accuracies(rng, mean, 1000, *cell), "fraction")[0] for cell in cells])
            for mean in (0.2, 0.5, 0.8, 0.95, 0.99, 0.995)
        ),
    )
    yield "Coverage of Lake's 20 runs, overdispersion x seeds: %\n\n" + _table(
        ["error", *(f"{over} x {seeds}" for over in (1.5, 2.5) for seeds in (1, 3))],
        (
            (f"{e}", [coverage(lake_runs(rng, e, o, 4000, s), e, "fraction")[0] for o in (1.5, 2.5) for s in (1, 3)])
            for e in (0.04, 0.1, 0.3)
        ),
    )
    yield "A seed called collapsed where none did: %\n\n" + _table(
        ["points over a guess, spread", "2 seeds", "3 seeds", "5 seeds", "10 seeds"],
        (
            (f"{gain}, {spread}", [false_alarms(s, gain / 100, spread / 100) for s in (2, 3, 5, 10)])
            for gain, spread in ((70, 0.7), (70, 3), (30, 3), (10, 3), (5, 3))
        ),
    )


if __name__ == "__main__":
    for each in _tables():
        print(each, end="\n\n", flush=True)
