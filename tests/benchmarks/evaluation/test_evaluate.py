"""The one judge: the same episodes for everybody, scores right at both ends, and guesses called guesses."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch

from adaptbench.benchmarks.evaluation import evaluate as judging
from adaptbench.benchmarks.evaluation.evaluate import _at_chance, evaluate
from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeSize, rng_for
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.sinusoid import SinusoidDataModule
from adaptbench.lit_modules.encoders import MLP
from adaptbench.lit_modules.episodic import EpisodicModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS, with_unit_scale
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.prototypes import Prototypes
from adaptbench.lit_modules.training import Encodings

CPU = torch.device("cpu")


class Knowing:
    """Gives every query its own target, which it was told before as only a cheat can be, and mixes in noise."""

    def __init__(self, read, noise=0.0, kind=SinusoidDataModule):
        self.read, self.noise = read, noise
        batches = [task(kind).eval_batch("test", size, 200) for size in task(kind).test.sizes]
        self.targets = {batch.support.shape[1]: batch.query_y for batch in batches}

    def predict(self, batch):
        targets = self.targets[batch.support.shape[1]][: len(batch.query), : batch.query.shape[1]]
        return self.read(targets + self.noise * torch.randn(targets.shape, generator=generator()))


class Guessing:
    """Knows nothing."""

    def predict(self, batch):
        return torch.randn(batch.query_y.shape, generator=generator())


class Zero:
    """Predicts zero."""

    def predict(self, batch):
        return with_unit_scale(torch.zeros_like(batch.query_y))


class Characters(SinusoidDataModule):
    """A categorical task without data: the judge never looks at the examples."""

    task_name = "characters"
    likelihood = "categorical"

    def eval_batch(self, part, size, episodes):
        size = EpisodeSize(4, size.shots, size.queries)
        return episodes_over_pool(rng_for(size, episodes), torch.zeros(100, 1), 10, size, episodes)

    def chance(self, size):
        return 0.25


def generator():
    return torch.Generator().manual_seed(0)


def task(kind=SinusoidDataModule, episodes=200):
    train = TrainEpisodes(shots=(5,), queries=5, pool=40)
    return kind(Sampling(train=train, test=EvalEpisodes(shots=(5, 3), queries=5, episodes=episodes)))


def score(evaluation, metric, shots=5):
    (found,) = (s for s in evaluation.scores if s.metric == metric and s.shots == shots)
    return found


def test_a_perfect_adapter_scores_perfectly():
    regression = evaluate(Knowing(with_unit_scale), task(), CPU)
    assert score(regression, "mse").value == 0.0
    assert not score(regression, "mse").at_chance
    assert score(regression, "nll").value == pytest.approx(0.5 * np.log(2 * np.pi), abs=1e-6)
    classification = evaluate(Knowing(lambda target: 100 * target, kind=Characters), task(Characters), CPU)
    assert score(classification, "accuracy").value == 1.0
    assert score(classification, "nll").value == pytest.approx(0.0, abs=1e-6)
    assert not score(classification, "accuracy").at_chance


def test_a_guessing_adapter_is_at_chance():
    classification = evaluate(Guessing(), task(Characters), CPU)
    assert score(classification, "accuracy").value == pytest.approx(0.25, abs=0.03)
    assert all(record.at_chance for record in classification.scores)
    regression = evaluate(Zero(), task(), CPU)
    assert score(regression, "mse").value > 3.0
    assert all(record.at_chance for record in regression.scores)


def test_records_and_rows_agree():
    evaluation = evaluate(Knowing(with_unit_scale, noise=0.5), task(), CPU)
    assert list(evaluation.episodes.columns) == ["ways", "shots", "episode", "mse", "nll"]
    assert evaluation.episodes["ways"].isna().all()
    assert len(evaluation.episodes) == 2 * 200
    for record in (record for record in evaluation.scores if record.metric in evaluation.episodes):
        rows = evaluation.episodes.query("shots == @record.shots")
        assert record.value == pytest.approx(rows[record.metric].mean())
        assert (record.part, record.queries, record.n_episodes) == ("test", 5, 200)
    assert score(evaluation, "mse").value == pytest.approx(0.25, rel=0.1)


def test_every_adapter_meets_the_same_episodes():
    adapters = (Zero(), Knowing(with_unit_scale))
    first, second = ({s.shots: s.episodes_digest for s in evaluate(a, task(), CPU).scores} for a in adapters)
    assert first == second
    assert len(set(first.values())) == 2
    other = evaluate(Zero(), task(episodes=100), CPU)
    assert score(other, "mse").episodes_digest != first[5]


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_at_chance_is_a_matter_of_noise_and_direction(higher_is_better):
    noise = pd.Series(np.random.default_rng(0).normal(size=400))
    noise = (noise - noise.mean()) / noise.std()  # a standard error of 0.05
    gain = 1 if higher_is_better else -1
    assert _at_chance(noise, 0.0, higher_is_better)
    assert _at_chance(noise + gain * 0.14, 0.0, higher_is_better)
    assert not _at_chance(noise + gain * 0.16, 0.0, higher_is_better)
    assert _at_chance(noise - gain * 5.0, 0.0, higher_is_better)


def test_scores_that_are_no_numbers_or_have_no_spread_are_at_chance():
    assert _at_chance(pd.Series([np.nan, np.nan]), 0.2, True)
    assert _at_chance(pd.Series([0.9]), 0.2, True), "one episode tells nothing"
    assert not _at_chance(pd.Series([1.0, 1.0]), 0.2, True)
    assert _at_chance(pd.Series([0.2, 0.2]), 0.2, True)


@pytest.mark.parametrize("episodes", [50, 200, 600, 1000, 2000])
@pytest.mark.parametrize("ways", [2, 3, 5, 7, 10, 20, 25, 50])
@pytest.mark.parametrize("rounding", [0.0, 1e-8, -1e-8])
def test_a_collapsed_learner_is_at_chance_whatever_its_mean_is_rounded_to(ways, episodes, rounding):
    """Every episode has the same score, so there is no noise that rounding could hide in."""
    chance = 1 / ways
    assert _at_chance(pd.Series(np.full(episodes, chance + rounding)), chance, True)
    assert _at_chance(pd.Series(np.full(episodes, 3.7 * chance * (1 + rounding))), 3.7 * chance, False)
    assert not _at_chance(pd.Series(np.full(episodes, chance + 0.001)), chance, True)


def test_images_that_sizes_share_are_encoded_once_which_changes_no_score(monkeypatch):
    encoded = []
    encoder = MLP((28, 28), width=16)
    encoder.register_forward_hook(lambda _, inputs, __: encoded.append(len(inputs[0])))
    module = EpisodicModule(encoder, Prototypes(16, 5, 5), LIKELIHOODS["categorical"], Optimization())
    train = TrainEpisodes(ways=5, shots=(1, 5), queries=3, pool=120, episodes=4)
    test = EvalEpisodes(ways=5, shots=(1, 5), queries=5, episodes=10)
    glyphs = GlyphsDataModule(Sampling(train=train, test=test), train_classes=30)
    images = len(glyphs.eval_batch("test", test.sizes[0], 10).inputs)
    once = evaluate(module, glyphs, CPU)
    few, encoded[:] = sum(encoded), []
    monkeypatch.setattr(judging, "encoding_once", lambda: nullcontext(Encodings()))
    plain = evaluate(module, glyphs, CPU)
    assert few < 1.1 * images, "the images, and the guards' episodes"
    assert sum(encoded) > 6 * images, "two sizes, each predicted once, and twice for its order"
    assert once.scores == plain.scores and once.episodes.equals(plain.episodes)
    assert min(each.ms_per_episode for each in once.times) * 10 / 1000 > once.seconds / 2, "encoding counts for both"
