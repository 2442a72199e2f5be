"""Gains per doubling: known slopes, where they end, what may not be compared, and the sentences."""

import numpy as np
import pytest

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.comparison.gains import gains
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes
from adaptbench.reports.statistics.contrasts import contrast
from adaptbench.reports.tables.scores import score_table
from adaptbench.reports.words.headlines import headlines
from adaptbench.reports.words.sentences import best_sentence, gain_sentence

SIZES = (64, 128, 256, 512)
NOISE = np.random.default_rng(0).normal(0, 0.002, size=(5, 4, 40))


@pytest.fixture
def measure(folder):
    """Writes accuracies by size (the same at both shots) and returns the gains of the learner and the comparison."""

    def write(means, seeds=(0, 1, 2), **changes):
        for seed in seeds:
            for size in SIZES[: len(means)]:
                folder.plan("omniglot", "lstm", "LSTM", "rnn", seed, size)
        folder.write_suite()
        for cell in folder.cells:
            index = SIZES.index(cell["train_classes"])
            folder.write_run(cell, scores=means[index] + NOISE[cell["seed"], index], **changes)
        (comparison,) = compare(read_outcomes(folder.path, read_suite(folder.path)))
        return gains(comparison), comparison

    return write


def test_slope_is_the_gain_of_a_doubling(measure):
    found, comparison = measure([0.50, 0.54, 0.58, 0.62])
    gain = found[0]
    assert (gain.axis, gain.values, gain.fixed.shots) == ("classes", SIZES, 1)
    assert gain.per_doubling.estimate == pytest.approx(0.04, abs=0.001)
    assert gain.per_doubling.significant
    assert gain.ends_at is None
    assert gain_sentence(gain, comparison).startswith(
        "LSTM at 5-way 1-shot: each doubling of the training characters from 64 to 512 adds "
    )
    assert gain_sentence(gain, comparison).endswith("the last step is still a significant gain.")


def test_where_it_flattens_is_said(measure):
    found, comparison = measure([0.50, 0.60, 0.70, 0.70])
    assert found[0].ends_at == 256
    assert gain_sentence(found[0], comparison).endswith("from 256 characters on no further gain is significant.")


def test_no_gain_is_said_with_its_interval(measure):
    found, comparison = measure([0.6, 0.6, 0.6])
    assert found[0].ends_at == 64
    assert " [-" in gain_sentence(found[0], comparison)
    assert gain_sentence(found[0], comparison).endswith("which is not significantly different from no change.")


def test_shots_are_an_axis_of_their_own(measure):
    found, _ = measure([0.5, 0.6])
    shots = [gain for gain in found if gain.axis == "shots"]
    assert [(gain.fixed.train_classes, gain.values) for gain in shots] == [(64, (1, 5)), (128, (1, 5))]
    assert all(not gain.per_doubling.significant for gain in shots)


def test_errors_are_compared_as_logarithms(folder):
    for seed in (0, 1, 2):
        folder.plan("sinusoid", "lstm", "LSTM", "rnn", seed, None)
    folder.write_suite().finish()
    (comparison,) = compare(read_outcomes(folder.path, read_suite(folder.path)))
    (gain,) = gains(comparison)
    means = {
        shots: np.mean([np.log(run.score(setting).value) for run in comparison.entries[0][0].runs])
        for setting, shots in zip(comparison.settings, (5, 10), strict=True)
    }
    assert gain.relative
    assert gain.per_doubling.estimate == pytest.approx(means[10] - means[5])
    assert "multiplies the error by 0." in gain_sentence(gain, comparison)


def test_sizes_under_other_conditions_have_no_slope(measure, folder):
    measure([0.5, 0.6, 0.7])
    folder.finish(folder.find(train_classes=128), examples_encoded=50_000)
    (comparison,) = compare(read_outcomes(folder.path, read_suite(folder.path)))
    gain = gains(comparison)[0]
    assert gain.per_doubling is None
    assert "examples encoded differ" in gain_sentence(gain, comparison)


def test_a_seed_that_is_missing_somewhere_is_left_out_of_the_slope(measure, folder):
    measure([0.5, 0.6, 0.7])
    folder.remove(folder.find(train_classes=128, seed=1)[0])
    (comparison,) = compare(read_outcomes(folder.path, read_suite(folder.path)))
    assert gains(comparison)[0].per_doubling.n_seeds == 2


def test_the_best_is_named_with_those_not_significantly_different(quick):
    (sinusoid, omniglot) = compare(read_outcomes(quick.path, read_suite(quick.path)))
    text = best_sentence(omniglot, 0)
    means = {row[0].label: row[0].interval.mean for row in omniglot.entries}
    best = max(means, key=means.get)
    assert text.startswith(f"On Omniglot, 5-way 1-shot with 50 characters, {best} has the best accuracy: ")
    alike = [row[0].label for row in omniglot.entries if row[0].best and row[0].label != best]
    assert all(label in text for label in alike) or "from any other learner" in text
    assert best_sentence(sinusoid, 0).startswith("On Sinusoids, 5-shot with unlimited functions, ")


def test_whoever_is_no_better_than_a_guess_is_not_named_beside_the_best(quick):
    def sentence():
        (_, omniglot) = compare(read_outcomes(quick.path, read_suite(quick.path)))
        return best_sentence(omniglot, 0), [row[0] for row in omniglot.entries]

    text, entries = sentence()
    beside = next(entry for entry in entries if entry.alike)
    quick.finish(quick.find(task="omniglot", train_classes=50, learner=beside.learner), at_chance=True)
    text, _ = sentence()
    assert "has the best" in text and beside.label not in text


def test_a_winner_among_guesses_alone_and_a_best_that_guesses_are_said_to_be_so(quick):
    def sentence_and_headlines():
        (_, omniglot) = compare(read_outcomes(quick.path, read_suite(quick.path)))
        return best_sentence(omniglot, omniglot.largest[0]), headlines(omniglot), omniglot

    _, _, omniglot = sentence_and_headlines()
    best = omniglot.best_first(omniglot.largest[0])[0].learner
    quick.finish([cell for cell in quick.find(task="omniglot") if cell["learner"] != best], at_chance=True)
    assert sentence_and_headlines()[0].endswith("; no other learner is above chance.")
    quick.finish(quick.find(task="omniglot"), at_chance=True)
    text, (first, _), _ = sentence_and_headlines()
    assert text == first.score == "" and first.winner == "The best is no better than a guess"


def test_what_stands_in_place_of_shots_is_called_by_its_name(folder):
    """A stream's columns are presentations, all on the same episodes, so that gains pair them episode by episode."""
    for seed in (0, 1, 2):
        folder.plan("online", "lstm", "LSTM", "rnn", seed, 50, tests=[(5, 1), (5, 2)])["shots_word"] = "presentation"
    folder.write_suite().finish(episodes_digest="f" * 64)
    (comparison,) = compare(read_outcomes(folder.path, read_suite(folder.path)))
    (gain,) = gains(comparison)
    differences = [
        run.episode_scores[comparison.settings[1]] - run.episode_scores[comparison.settings[0]]
        for run in comparison.entries[0][0].runs
    ]
    assert gain.per_doubling == contrast([differences], [1.0])
    assert "each doubling of the presentations from 1 to 2" in gain_sentence(gain, comparison)
    assert score_table(comparison).columns == ("1st presentation", "2nd presentation")
