"""Metrics: name, unit and direction, and the format of their values."""

import math
from dataclasses import dataclass

import numpy as np

from adaptbench.reports.statistics.intervals import Interval, Scores
from adaptbench.reports.statistics.scales import LIMITS, Range

_LABELS = {"mse": "MSE", "nll": "NLL"}


@dataclass(frozen=True)
class Metric:
    """A metric, and how its values are shown.

    Args:
        name: The name in files, such as "accuracy".
        higher_is_better: The direction.
        label: The name for readers, such as "Accuracy".
        scores_are: What the scores can be; it decides how means are compared and what their intervals look like.
        unit: The unit of shown values; empty if there is none.
        scale: A stored value times `scale` is the shown value.
        decimals: The decimals of a shown value.
        most_decimals: The most decimals that a small interval can add up to.
    """

    name: str
    higher_is_better: bool
    label: str
    scores_are: Range
    unit: str = ""
    scale: float = 1.0
    decimals: int = 3
    most_decimals: int = 6

    @classmethod
    def named(cls, name: str, *, higher_is_better: bool) -> "Metric":
        """The metric of this name; an unknown metric is shown by its name, with values as they are stored."""
        if name == "accuracy":  # stored as a fraction, shown in per cent
            return cls(
                name, higher_is_better, "Accuracy", "fraction", unit="%", scale=100.0, decimals=1, most_decimals=3
            )
        return cls(name, higher_is_better, _LABELS.get(name, name), "positive" if name == "mse" else "real")

    @property
    def logarithmic(self) -> bool:
        """Whether means are compared as ratios and drawn on a logarithmic axis."""
        return self.scores_are == "positive"

    @property
    def perfect(self) -> float | None:
        """The best score that there is; None if there is none."""
        least, most = LIMITS[self.scores_are]
        best = most if self.higher_is_better else least
        return best if math.isfinite(best) else None

    def error(self, scores: Scores) -> Scores:
        """How far scores are from the best that there is, such as 1 minus an accuracy.

        Raises:
            ValueError: There is no best score.
        """
        if self.perfect is None:
            raise ValueError(f"Expected a metric with a best score but got {self.name!r}, which has none.")
        return np.abs(self.perfect - scores)

    @property
    def error_heading(self) -> str:
        """The label of `error` with the unit, such as "Error in %"."""
        return self.heading if self.perfect == 0 else f"Error in {self.unit}"

    @property
    def heading(self) -> str:
        """The label with the unit, such as "Accuracy in %"."""
        return f"{self.label} in {self.unit}" if self.unit else self.label

    @property
    def lower_label(self) -> str:
        """The label inside a sentence: abbreviations keep their capitals."""
        return self.label if self.label.isupper() else self.label.lower()

    @property
    def direction(self) -> str:
        """The better direction in a word: "higher" or "lower"."""
        return "higher" if self.higher_is_better else "lower"

    @property
    def sign(self) -> float:
        """1 if higher is better, else -1."""
        return 1.0 if self.higher_is_better else -1.0

    def interval(self, found: Interval) -> str:
        """Formats an interval, such as "93.4 [92.6, 94.1]"."""
        return " ".join(self.parts(found.mean, found.lower, found.upper))

    def parts(self, mean: float, lower: float, upper: float, sign: str = "") -> tuple[str, str]:
        """Formats an estimate and the ends of its interval, such as "93.4" and "[92.6, 94.1]".

        Two decimals are enough for a metric without a unit where the nearer end is 0.1 or more away. More decimals are
        shown where the nearer end would otherwise look like the mean.

        Args:
            mean: The estimate in the stored unit.
            lower: The lower end.
            upper: The upper end.
            sign: "+" marks positive values too.
        """
        shown = [value * self.scale for value in (mean, lower, upper)]
        near = min((side for side in (shown[0] - shown[1], shown[2] - shown[0]) if side > 0), default=0.0)
        decimals = 2 if not self.unit and near >= 0.1 else self.decimals
        if near > 0:
            decimals = min(max(decimals, -math.floor(math.log10(near))), self.most_decimals)
        form = f"{sign}.2e" if max(map(abs, shown)) >= 1e5 else f"{sign}.{decimals}f"
        middle, low, high = (format(value, form) for value in shown)
        return middle, f"[{low}, {high}]"

    def value(self, value: float, sign: str = "") -> str:
        """Formats one stored value; the sign "+" marks positive values too."""
        return f"{value * self.scale:{sign}.{self.decimals}f}"
