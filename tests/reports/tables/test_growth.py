"""Growth with classes: the table of power laws, its sentences, and the figure of errors on logarithmic axes."""

import re
from itertools import pairwise

import matplotlib
import numpy as np
import pytest

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.comparison.gains import gains
from adaptbench.reports.figures.canvas import save
from adaptbench.reports.figures.scores import draw
from adaptbench.reports.figures.styles import line_styles, parameters
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes
from adaptbench.reports.statistics.power_law import Estimate
from adaptbench.reports.tables.differences.growth import growth_table
from adaptbench.reports.words.sentences import _doubling

SIZES = (10, 20, 50, 100, 200, 400)


@pytest.fixture
def grown(folder):
    """Plans one learner at some sizes with given mean accuracies; returns the comparison and the suite."""

    def write(means, sizes=SIZES):
        rng = np.random.default_rng(0)
        for seed in (0, 1, 2):
            for size in sizes:
                folder.plan("omniglot", "lstm", "LSTM", "rnn", seed, size)
        folder.write_suite()
        for cell in folder.cells:
            mean = means[sizes.index(cell["train_classes"])]
            folder.write_run(cell, scores=mean + rng.normal(0, 0.004) + rng.normal(0, 0.01, 60))
        suite = read_suite(folder.path)
        (comparison,) = compare(read_outcomes(folder.path, suite))
        return comparison, suite

    return write


def law(sizes):
    return 1 - 0.8 * np.array(sizes, dtype=float) ** -0.5 - 0.02


def test_each_learner_and_setting_has_its_law_and_sentence(grown):
    comparison, _ = grown(law(SIZES))
    table = growth_table(comparison, gains(comparison), "omniglot")
    assert [label for label, _ in table.rows] == ["LSTM, 5-way 1-shot", "LSTM, 5-way 5-shot"]
    row = table.frame.iloc[0]
    assert row["exponent_lower"] < 0.5 < row["exponent_upper"]
    assert row["first_doubling"] == pytest.approx(law([20])[0] - law([10])[0], rel=0.15)
    assert row["sentence"].startswith("LSTM, 5-way 1-shot: a doubling takes 7.")
    assert "points off the error at 10 characters and " in row["sentence"]
    assert f"A power law through {len(SIZES)} sizes is not contradicted, b = 0." in row["sentence"]


def test_three_sizes_have_no_law(grown):
    comparison, _ = grown(law(SIZES[:3]), SIZES[:3])
    found = gains(comparison)
    assert found
    assert growth_table(comparison, found, "omniglot") is None


def test_a_flat_curve_has_no_exponent(grown):
    comparison, _ = grown(np.full(6, 0.8))
    table = growth_table(comparison, gains(comparison), "omniglot")
    assert table.rows[0][1][0].marks[-1] == "?"
    assert table.frame["sentence"].str.contains("each doubling .* The data do not tell the exponent").all()
    assert not table.frame["sentence"].str.contains("off the error").any(), "doublings by a law that is not known"
    assert table.notes[-1] == ("?", "the data do not tell the exponent")


def test_a_doubling_that_brings_next_to_nothing_has_an_upper_end_alone(grown):
    sizes = tuple(4**n for n in range(2, 9))
    comparison, _ = grown(0.9 - 40 * np.array(sizes, dtype=float) ** -2, sizes)
    sentence = growth_table(comparison, gains(comparison), "omniglot").frame["sentence"][0]
    assert re.search(r"and at most 0\.\d*[1-9] before 65536; ", sentence)


def test_an_upper_end_has_no_loose_point(grown):
    comparison, _ = grown(law(SIZES))
    most = Estimate(0.0, 0.0, 0.1)
    assert _doubling(most, Estimate(0.5, 0.4, 0.6), comparison) == "at most 10"


@pytest.mark.parametrize(
    "sizes",
    [
        tuple(2**n for n in range(4, 15)),
        (10, 20, 50, 100, 200, 400, 800, 1028),
        (10**5,),
        (100000, 110000, 120000, 130000),
    ],
)
def test_numbers_below_an_axis_of_classes_do_not_touch(sizes, grown, tmp_path):
    comparison, suite = grown([0.8] * len(sizes), sizes)
    with matplotlib.rc_context(parameters()):
        figure = draw(comparison, line_styles(suite), "classes")
        save(lambda: figure, tmp_path / "figure")
        boxes = [text.get_window_extent() for text in figure.axes[0].get_xticklabels() if text.get_text()]
    assert boxes and not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_errors_are_drawn_on_logarithmic_axes_with_a_dot_for_each_seed(grown):
    comparison, suite = grown(law(SIZES))
    laws = {(gain.learner, gain.fixed.others("classes")): gain.law for gain in gains(comparison) if gain.law}
    panel = draw(comparison, line_styles(suite), "classes", laws).axes[0]
    assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
    assert panel.get_ylabel().replace("\n", " ") == "Error in % (lower is better)"
    entry = comparison.entries[0][0]
    seeds = [100 * (1 - scores.mean()) for scores in entry.samples.values()]
    drawn = [line.get_ydata().tolist() for line in panel.get_lines()]
    assert pytest.approx(seeds) in drawn
    curve = max(drawn, key=len)
    assert curve[0] == pytest.approx(100 * laws["lstm", entry.setting.others("classes")].at(np.array([10.0]))[0])
