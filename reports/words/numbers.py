"""Numbers, captions and notes in words: what every form of a table says alike."""

import math
import re

from adaptbench.reports.comparison.comparability import induction
from adaptbench.reports.comparison.comparison import Comparison, Entry
from adaptbench.reports.statistics.intervals import Interval

METRIC_NAMES = {"accuracy": "Accuracy", "mse": "MSE", "nll": "NLL"}
_SELECTION_NAMES = {"last": "the model after the last step", "best": "the model that was best on validation"}
CHANCE_MARK = "†"
CHANCE_NOTE = "at least one seed is no better than a guess"


def metric_name(comparison: Comparison) -> str:
    """The metric with its unit, such as "Accuracy in %"."""
    name = METRIC_NAMES.get(comparison.metric, comparison.metric)
    return f"{name} in %" if comparison.metric == "accuracy" else name


def scale(metric: str) -> float:
    """What a stored score is multiplied by before it is shown: accuracy is stored as a fraction, shown in per cent."""
    return 100.0 if metric == "accuracy" else 1.0


def number(value: Interval, metric: str) -> str:
    """Mean and half width, such as "93.4 ± 0.8".

    Accuracy has one decimal and other metrics three (two where the half width is 0.1 or more); there are more where the
    half width would otherwise be lost.
    """
    return number_text(value.mean, value.half_width, metric)


def number_text(mean: float, half_width: float, metric: str) -> str:
    """The same for any estimate and half width in the stored unit."""
    mean, half_width = mean * scale(metric), half_width * scale(metric)
    decimals, most = (1, 3) if metric == "accuracy" else (2 if half_width >= 0.1 else 3, 6)
    if half_width > 0:
        decimals = min(max(decimals, -math.floor(math.log10(half_width))), most)
    if max(abs(mean), half_width) >= 1e5:
        return f"{mean:.2e} ± {half_width:.1e}"
    return f"{mean:.{decimals}f} ± {half_width:.{decimals}f}"


def note(entry: Entry) -> str:
    """What has to be said about an entry below its table; empty where nothing is."""
    parts = [entry.refusal] if entry.refusal else []
    if entry.interval is not None and entry.interval.n_seeds < len(entry.planned_seeds):
        parts.append(f"{entry.interval.n_seeds} of {len(entry.planned_seeds)} seeds")
        if entry.interval.n_seeds == 1:
            parts.append("the interval is over episodes only and says nothing about seeds")
    if diverged := sum(run.diverged(entry.setting) for run in entry.runs):
        parts.append(f"diverged in {diverged} test episodes, which are scored as a guess")
    text = "; ".join([*parts, *entry.problems])
    return shorten(text, 240)


def shorten(text: str, length: int) -> str:
    """One line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def caption(comparison: Comparison) -> str:
    """What a table or figure shows: metric, task, protocol, seeds, episodes, interval, induction, selection."""
    direction = "higher" if comparison.higher_is_better else "lower"
    sentences = [
        f"{metric_name(comparison)} ({direction} is better) on {comparison.task}{_ways(comparison)}; "
        f"protocol: {comparison.protocol}.",
        *comparison.remarks,
        _interval_sentence(comparison),
        _conditions_sentence(comparison),
    ]
    if any(entry.best for entry in comparison.all_entries()):
        best = "highest" if comparison.higher_is_better else "lowest"
        sentences.append(
            f"Bold: the {best} mean of a column, and all that cannot be told apart from it "
            f"(paired tests, Holm-corrected, 5 %{_few(comparison)})."
        )
    return " ".join(sentence for sentence in sentences if sentence)


def slug(text: str) -> str:
    """A name for files: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "unnamed"


def _few(comparison: Comparison) -> str:
    """What the tests are over where one seed is all they have."""
    return (
        "; with one seed, over episodes only"
        if any(pair.n_seeds == 1 for pairs in comparison.pairs for pair in pairs)
        else ""
    )


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
        return f"Mean ± half width of the 95 % interval over {tested} of one seed; it says nothing about other seeds."
    return f"Mean ± half width of the 95 % interval over {seeds} seeds and {tested} (crossed random effects)."


def _conditions_sentence(comparison: Comparison) -> str:
    found = [entry.conditions for entry in comparison.all_entries() if entry.conditions is not None]
    if not found:
        return ""
    how = " and ".join(sorted({induction(each) for each in found}))
    selections = sorted({each.selection for each in found})
    return f"Prediction: {how}. Tested: {' or '.join(_SELECTION_NAMES.get(s, s) for s in selections)}."
