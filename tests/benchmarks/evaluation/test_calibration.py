"""Calibration: every query is counted once, in the bin of the probability of its predicted class."""

import pytest
import torch

from adaptbench.benchmarks.evaluation.calibration import BINS, calibration
from adaptbench.datamodules.episodes import EpisodeSize

SIZE = EpisodeSize(5, 1, 10)


def logits_and_targets(calibrated=1.0, episodes=400):
    """Logits, and targets drawn from their softmax at another temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(episodes, 10, 5, generator=generator)
    classes = torch.multinomial((calibrated * logits).softmax(-1).flatten(0, 1), 1, generator=generator)
    return logits, torch.eye(5)[classes[:, 0]].view(episodes, 10, 5)


def error(table):
    return (table["correct"] - table["confidence"]).abs().sum() / table["queries"].sum()


def test_every_query_is_in_the_bin_of_its_probability():
    logits, target = logits_and_targets()
    table = calibration(logits, target, SIZE)
    assert table[["ways", "shots", "bin"]].values.tolist() == [[5, 1, number] for number in range(BINS)]
    assert table["queries"].sum() == target[..., 0].numel()
    right = (logits.argmax(-1) == target.argmax(-1)).sum()
    assert table["correct"].sum() == int(right)
    filled = table[table["queries"] > 0]
    mean = filled["confidence"] / filled["queries"]
    assert ((mean >= filled["bin"] / BINS) & (mean <= (filled["bin"] + 1) / BINS)).all()
    assert table["confidence"].sum() == pytest.approx(float(logits.softmax(-1).amax(-1).sum()), rel=1e-5)


@pytest.mark.parametrize(("temperature", "least", "most"), [(1.0, 0.0, 0.03), (0.3, 0.2, 1.0), (0.0, 0.4, 1.0)])
def test_the_error_is_small_where_probabilities_are_those_of_the_classes(temperature, least, most):
    table = calibration(*logits_and_targets(temperature), SIZE)
    assert least <= error(table) <= most


def test_certain_and_undecided_predictions_have_their_bins():
    target = torch.eye(5)[torch.zeros(1, 2, dtype=torch.long)]
    certain = calibration(1000 * target, target, SIZE)
    assert certain["queries"].tolist() == [0] * (BINS - 1) + [2] and error(certain) == 0.0
    undecided = calibration(torch.zeros(1, 2, 5), target, SIZE)
    assert undecided["queries"].sum() == undecided["correct"].sum() == 2
    assert error(undecided) == pytest.approx(0.8)
