"""Captions and notes: the words that every form of a table shares."""

import re
import unicodedata

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.plural import count_of
from adaptbench.reports.results.runs import Run

_SELECTION_NAMES = {"last": "the model after the last step", "best": "the model that was best on validation"}
ALIKE_MARK = "≈"
ALIKE_NOTE = "not significantly different from the best of its column"
CHANCE_MARK = "†"
CHANCE_NOTE = "at least one seed is not better than chance"
ELSEWHERE_NOTE = "starts from weights from elsewhere; what these weights were trained on is unknown"


def signs(entry: Entry) -> tuple[str, ...]:
    """The signs that mark the score of an entry."""
    shown = ((ALIKE_MARK, entry.alike), (CHANCE_MARK, entry.at_chance))
    return tuple(sign for sign, holds in shown if holds)


def note(entry: Entry) -> str:
    """The note on an entry below its table; may be empty."""
    parts = [entry.refusal] if entry.refusal else []
    if entry.interval is not None and entry.interval.n_seeds < entry.wanted_seeds:
        parts.append(f"{entry.interval.n_seeds} of {count_of(entry.wanted_seeds, 'seed')}")
        if entry.interval.n_seeds == 1:
            parts.append("the interval is over episodes only and does not cover other seeds")
    if entry.diverged and not entry.refusal:
        share = f"{len(entry.diverged)} of {len(entry.planned_seeds)}"
        parts.append(f"{share} diverged, scored as a guess in every episode")
    if entry.collapsed:
        parts.append(f"seed {', '.join(map(str, entry.collapsed))} collapsed and others did not")
    if entry.interval is not None and entry.interval.unreliable:
        parts.append(f"the interval is unreliable: {entry.interval.unreliable}")
    if diverged := sum(run.diverged(entry.setting) for run in entry.runs):
        parts.append(f"diverged in {diverged} test episodes, which are scored as a guess")
    if any(_starts_elsewhere(run) for run in entry.runs):
        parts.append(ELSEWHERE_NOTE)
    text = "; ".join([*parts, *entry.problems])
    return shorten(text, 240)


def _starts_elsewhere(run: Run) -> bool:
    """Whether a run that uses what was trained began with weights of the user's."""
    training = run.training
    return bool(training and training.encoder and training.encoder.weights and run.trained)


def shorten(text: str, length: int) -> str:
    """Cuts a text to one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def caption(comparison: Comparison) -> str:
    """The caption of the main table: metric, task, protocol, seeds, episodes, interval, induction, selection."""
    metric = comparison.metric
    sentences = [
        f"{metric.heading} ({metric.direction} is better) on {comparison.place}{_ways(comparison)}.",
        *comparison.remarks,
        _interval_sentence(comparison),
        _conditions_sentence(comparison),
        _sources_sentence(comparison),
    ]
    if any(entry.best for entry in comparison.all_entries()):
        sentences.append(
            f"Bold: the best mean of a column. {ALIKE_MARK}: not significantly different from it "
            f"(range test of {'ratios' if comparison.metric.logarithmic else 'differences'} of means, one family of "
            f"tests a table, 5 %{_few(comparison)})."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def slug(text: str, otherwise: str = "unnamed") -> str:
    """A name for files: letters without accents, digits and hyphens; another one if nothing is left."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-") or otherwise


def _few(comparison: Comparison) -> str:
    """The scope of the tests if some have one seed only."""
    tests = [entry.test for entry in comparison.all_entries() if entry.test is not None]
    return "; with one seed, over episodes only" if any(test.n_seeds == 1 for test in tests) else ""


def _ways(comparison: Comparison) -> str:
    ways = sorted({setting.ways for setting in comparison.settings if setting.ways is not None})
    return f", {' and '.join(map(str, ways))}-way" if ways else ""


def _interval_sentence(comparison: Comparison) -> str:
    intervals = [entry.interval for entry in comparison.all_entries() if entry.interval is not None]
    if not intervals:
        return "No run has finished."
    seeds = max(each.n_seeds for each in intervals)
    episodes = sorted({each.n_episodes for each in intervals})
    tested = f"{' or '.join(map(str, episodes))} test episodes"
    over = f"{tested} of one seed" if seeds == 1 else f"{seeds} seeds and {tested} (crossed random effects)"
    missed = [f"other test {comparison.class_word}"] if comparison.settings[0].ways is not None else []
    missed = ["other seeds", *missed] if seeds == 1 else missed
    return f"Mean and 95 % interval over {over}" + (f"; it does not cover {' or '.join(missed)}." if missed else ".")


def _sources_sentence(comparison: Comparison) -> str:
    """Says which learners came from where; empty in a report of one source."""
    found: dict[str, dict[str, None]] = {}
    for entry in comparison.all_entries():
        for run in entry.runs:
            if run.source is not None:
                found.setdefault(str(run.source), {})[entry.label] = None
    origins = "; ".join(f"{source}: {', '.join(labels)}" for source, labels in found.items())
    return f"Sources: {origins}." if origins else ""


def _conditions_sentence(comparison: Comparison) -> str:
    found = [entry.conditions for entry in comparison.all_entries() if entry.conditions is not None]
    if not found:
        return ""
    how = " and ".join(sorted({induction(each) for each in found}))
    selections = sorted({each.selection for each in found})
    return f"Prediction: {how}. Tested: {' or '.join(_SELECTION_NAMES.get(s, s) for s in selections)}."
