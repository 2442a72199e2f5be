"""Sinusoid regression: functions y = A sin(x - phase) with unknown amplitude and phase."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from datamodules.base import EpisodicDataModule, EvalEpisodes, EvalSplit, Mode, TrainEpisodes, require_positive
from datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch, rng_for

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, math.pi)
INPUTS = (-5.0, 5.0)


class SinusoidDataModule(EpisodicDataModule):
    """Sinusoid tasks of Finn et al. 2017 (arXiv 1703.03400), section 5.1.

    y = A sin(x - phase), A from U[0.1, 5], phase from U[0, pi], x from U[-5, 5]. A training batch holds as many
    episodes as its pool of points allows.

    Args:
        train: the training episodes; shots and queries are points of one function.
        test: the validation and test episodes.
        train_functions: the number of fixed training functions; None for a new function in every episode. Smaller
            sets are nested in larger ones of the same seed.
        noise: standard deviation of the Gaussian noise on y, in training and test.
        seed: decides the training functions and batches.
        mode: episodes or examples in `train_dataloader`.
        steps_per_epoch: training batches in an epoch.
        val_episodes: validation episodes for each number of shots.
    """

    task_name: ClassVar[str] = "sinusoid"
    class_word: ClassVar[str] = "functions"
    size_argument: ClassVar[str] = "train_functions"
    likelihood: ClassVar[Literal["categorical", "gaussian"]] = "gaussian"

    def __init__(
        self,
        *,
        train: TrainEpisodes,
        test: EvalEpisodes,
        train_functions: int | None = None,
        noise: float = 0.0,
        seed: int = 0,
        mode: Mode = "episodes",
        steps_per_epoch: int = 100,
        val_episodes: int = 100,
    ) -> None:
        super().__init__(
            train=train, test=test, seed=seed, mode=mode, steps_per_epoch=steps_per_epoch, val_episodes=val_episodes
        )
        if train.ways or test.ways:
            raise ValueError("Expected argument `ways` to be left out for sinusoids, which have no classes.")
        if train.episodes is not None:
            raise ValueError("Expected argument `episodes` to be left out for sinusoids, where `pool` decides it.")
        if not 0 <= noise < math.inf:
            raise ValueError(f"Expected argument `noise` to be zero or more but got {noise}.")
        if train_functions is not None:
            require_positive(train_functions=train_functions)
        self.noise = float(noise)  # the episodes' randomness belongs to its text, and 0 is the task that 0.0 is
        self.functions: np.ndarray | None = None
        if train_functions is not None:
            self.functions = _draw_functions(rng_for(self.task_name, "functions", seed), train_functions)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """One x value."""
        return (1,)

    @property
    def targets(self) -> int:
        """One y value."""
        return 1

    @property
    def pretraining_outputs(self) -> int:
        """One y value."""
        return 1

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Ranges are those of the paper; only noise may differ."""
        noise = init_args.get("noise", 0.0)
        return f"noise {noise:g}" if noise else "noise-free"

    def train_batch(self, index: int) -> EpisodeBatch:
        """Draws a pool of points, an equal share from each episode's function."""
        rng = rng_for(self.task_name, "train", self.seed, index)
        size = self.train.draw(rng)
        episodes = self.train.pool // (size.shots + size.queries)
        return self._episodes(rng, self._train_functions(rng, episodes), size)

    def example_batch(self, index: int) -> ExampleBatch:
        """Draws points, each from a training function of its own."""
        rng = rng_for(self.task_name, "examples", self.seed, index)
        x, y = self._points(rng, self._train_functions(rng, self.train.pool), 1)
        return ExampleBatch(torch.from_numpy(x.reshape(-1, 1)), torch.from_numpy(y.reshape(-1, 1)))

    def eval_batch(self, split: EvalSplit, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws episodes from functions that no training has met (with probability one)."""
        rng = rng_for(self.task_name, self.noise, split, size, episodes)
        return self._episodes(rng, _draw_functions(rng, episodes), size)

    def chance(self, size: EpisodeSize) -> float:
        """Variance of y given x, averaged over x: the error of the best prediction that ignores the support set."""
        low, high = AMPLITUDES
        mean_square = (high**3 - low**3) / (3 * (high - low))
        square_mean = ((low + high) / 2) ** 2
        cosine = 0.5 + math.sin(2 * INPUTS[1]) / (4 * INPUTS[1])
        return mean_square / 2 - square_mean * 4 / math.pi**2 * cosine + self.noise**2

    def _train_functions(self, rng: np.random.Generator, count: int) -> np.ndarray:
        if self.functions is None:
            return _draw_functions(rng, count)
        return self.functions[rng.integers(len(self.functions), size=count)]

    def _points(self, rng: np.random.Generator, functions: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
        amplitude, phase = functions[:, :1], functions[:, 1:]
        x = rng.uniform(*INPUTS, size=(len(functions), points))
        y = amplitude * np.sin(x - phase)
        if self.noise:
            y += rng.normal(scale=self.noise, size=y.shape)
        return x.astype(np.float32), y.astype(np.float32)

    def _episodes(self, rng: np.random.Generator, functions: np.ndarray, size: EpisodeSize) -> EpisodeBatch:
        x, y = self._points(rng, functions, size.shots + size.queries)
        rows = torch.arange(x.size).reshape(x.shape)
        values = torch.from_numpy(y)[..., None]
        return EpisodeBatch(
            inputs=torch.from_numpy(x.reshape(-1, 1)),
            support=rows[:, : size.shots],
            support_y=values[:, : size.shots],
            query=rows[:, size.shots :],
            query_y=values[:, size.shots :],
        )


def _draw_functions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws amplitudes and phases as [count, 2], row after row, so that the first n do not depend on `count`."""
    return rng.uniform([AMPLITUDES[0], PHASES[0]], [AMPLITUDES[1], PHASES[1]], size=(count, 2))
