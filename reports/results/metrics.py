"""Metrics: name, unit and direction, and the format of their values."""

import math
from dataclasses import dataclass

from adaptbench.reports.statistics.intervals import Interval

_LABELS = {"mse": "MSE", "nll": "NLL"}


@dataclass(frozen=True)
class Metric:
    """A metric, and how its values are shown.

    Args:
        name: The name in files, such as "accuracy".
        higher_is_better: The direction.
        label: The name for readers, such as "Accuracy".
        logarithmic: Whether values are compared as ratios and drawn on a logarithmic axis.
        unit: The unit of shown values; empty if there is none.
        scale: A stored value times `scale` is the shown value.
        decimals: The decimals of a shown value.
        most_decimals: The most decimals that a small interval can add up to.
    """

    name: str
    higher_is_better: bool
    label: str
    logarithmic: bool
    unit: str = ""
    scale: float = 1.0
    decimals: int = 3
    most_decimals: int = 6

    @classmethod
    def named(cls, name: str, *, higher_is_better: bool) -> "Metric":
        """The metric of this name; an unknown metric is shown by its name, with values as they are stored."""
        if name == "accuracy":  # stored as a fraction, shown in per cent
            return cls(name, higher_is_better, "Accuracy", False, unit="%", scale=100.0, decimals=1, most_decimals=3)
        return cls(name, higher_is_better, _LABELS.get(name, name), logarithmic=not higher_is_better)

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
        """Formats an interval, such as "93.4 ± 0.8"."""
        return self.number(found.mean, found.half_width)

    def number(self, mean: float, half_width: float) -> str:
        """Formats an estimate and half width in the stored unit, such as "93.4 ± 0.8".

        A metric without a unit has two decimals if the half width is 0.1 or more. There are more decimals if the half
        width would otherwise be shown as zero.
        """
        mean, half_width = mean * self.scale, half_width * self.scale
        decimals = 2 if not self.unit and half_width >= 0.1 else self.decimals
        if half_width > 0:
            decimals = min(max(decimals, -math.floor(math.log10(half_width))), self.most_decimals)
        if max(abs(mean), half_width) >= 1e5:
            return f"{mean:.2e} ± {half_width:.1e}"
        return f"{mean:.{decimals}f} ± {half_width:.{decimals}f}"

    def value(self, value: float, sign: str = "") -> str:
        """Formats one stored value; the sign "+" marks positive values too."""
        return f"{value * self.scale:{sign}.{self.decimals}f}"
