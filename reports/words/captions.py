"""Captions and notes: the words that every form of a table shares."""

import re

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.comparison import Comparison, Entry

_SELECTION_NAMES = {"last": "the model after the last step", "best": "the model that was best on validation"}
CHANCE_MARK = "†"
CHANCE_NOTE = "at least one seed is not better than chance"


def note(entry: Entry) -> str:
    """The note on an entry below its table; may be empty."""
    parts = [entry.refusal] if entry.refusal else []
    if entry.interval is not None and entry.interval.n_seeds < len(entry.planned_seeds):
        parts.append(f"{entry.interval.n_seeds} of {len(entry.planned_seeds)} seeds")
        if entry.interval.n_seeds == 1:
            parts.append("the interval is over episodes only and does not cover other seeds")
    if diverged := sum(run.diverged(entry.setting) for run in entry.runs):
        parts.append(f"diverged in {diverged} test episodes, which are scored as a guess")
    text = "; ".join([*parts, *entry.problems])
    return shorten(text, 240)


def shorten(text: str, length: int) -> str:
    """Cuts a text to one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def caption(comparison: Comparison) -> str:
    """The caption of the main table: metric, task, protocol, seeds, episodes, interval, induction, selection."""
    metric = comparison.metric
    sentences = [
        f"{metric.heading} ({metric.direction} is better) on {comparison.task}{_ways(comparison)}; "
        f"protocol: {comparison.protocol}.",
        *comparison.remarks,
        _interval_sentence(comparison),
        _conditions_sentence(comparison),
    ]
    if any(entry.best for entry in comparison.all_entries()):
        sentences.append(
            f"Bold: the best mean of a column, and all that are not significantly different from it "
            f"(paired tests, Holm-corrected, 5 %{_few(comparison)})."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def slug(text: str) -> str:
    """A name for files: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "unnamed"


def _few(comparison: Comparison) -> str:
    """The scope of the tests if some have one seed only."""
    one = any(pair.n_seeds == 1 for pairs in comparison.pairs for pair in pairs)
    return "; with one seed, over episodes only" if one else ""


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
    if seeds == 1:
        return f"Mean ± half width of the 95 % interval over {tested} of one seed; it does not cover other seeds."
    return f"Mean ± half width of the 95 % interval over {seeds} seeds and {tested} (crossed random effects)."


def _conditions_sentence(comparison: Comparison) -> str:
    found = [entry.conditions for entry in comparison.all_entries() if entry.conditions is not None]
    if not found:
        return ""
    how = " and ".join(sorted({induction(each) for each in found}))
    selections = sorted({each.selection for each in found})
    return f"Prediction: {how}. Tested: {' or '.join(_SELECTION_NAMES.get(s, s) for s in selections)}."
