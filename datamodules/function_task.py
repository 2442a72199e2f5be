"""The base of regression tasks: functions that are linear in unknown weights, with Gaussian noise."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from adaptbench.datamodules.base import EpisodicDataModule, EvalPart, Sampling, TestOn, require_positive
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch, rng_for
from adaptbench.datamodules.guards import Finding, classes_apart
from adaptbench.datamodules.posteriors import Moments, of_list

EPISODES_AT_ONCE = 50


class FunctionDataModule(EpisodicDataModule):
    """A task of functions y = z(x) . w + noise, where w follows from a function's parameters.

    A training batch holds as many episodes as its pool of points allows. Shots and queries are points of one function.

    Args:
        sampling: the episodes to draw.
        train_functions: number of fixed training functions; None for a new function in every episode. Smaller sets
            are subsets of larger ones with the same seed.
        noise: standard deviation of the Gaussian noise on y, in training and test.

    Class attributes:
        usual_noise: the noise where none is given.
    """

    class_word: ClassVar[str] = "functions"
    size_argument: ClassVar[str] = "train_functions"
    likelihood: ClassVar[Literal["categorical", "gaussian"]] = "gaussian"
    tested_on: ClassVar[tuple[TestOn, ...]] = ("unseen", "seen")
    usual_noise: ClassVar[float] = 0.0

    def __init__(self, sampling: Sampling, *, train_functions: int | None, noise: float) -> None:
        super().__init__(sampling)
        train, test = sampling.train, sampling.test
        if train.ways or test.ways:
            raise ValueError(f"Expected argument `ways` to be left out for {self.task_name}, which has no classes.")
        if train.episodes is not None:
            raise ValueError(f"Expected argument `episodes` to be left out for {self.task_name}: `pool` decides it.")
        if not 0 <= noise < np.inf:
            raise ValueError(f"Expected argument `noise` to be zero or more but got {noise}.")
        if train_functions is not None:
            require_positive(train_functions=train_functions)
        else:
            self.refuse_unlimited()
        self.noise = float(noise)  # the episodes' seed is made from its JSON, where 0 and 0.0 differ
        self.functions: np.ndarray | None = None
        if train_functions is not None:
            self.functions = self.draw_functions(rng_for(self.task_name, "functions", self.seed), train_functions)

    @abstractmethod
    def draw_functions(self, rng: np.random.Generator, count: int, part: EvalPart = "seen") -> np.ndarray:
        """Draws the parameters of functions, [count, K]; the first n rows do not depend on `count`."""

    @abstractmethod
    def points(self, rng: np.random.Generator, functions: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws points of each function: x [F, points, D] and y [F, points], both float32."""

    @abstractmethod
    def linear(self, x: np.ndarray) -> np.ndarray:
        """What y is linear in, z(x): [..., K] of x [..., D]."""

    @abstractmethod
    def weights(self, functions: np.ndarray) -> np.ndarray:
        """The w of functions [F, K]: [F, K]."""

    @abstractmethod
    def posterior_of_all(self, z: np.ndarray, y: np.ndarray) -> Moments:
        """The posterior of w over all functions that training may have, of a support set z [B, S, K] and y [B, S]."""

    @abstractmethod
    def in_words(self, function: np.ndarray) -> str:
        """Names a function by all digits of its parameters [K]."""

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
        """Describes the noise."""
        noise = init_args.get("noise", cls.usual_noise)
        return f"noise {noise:g}" if noise else "noise-free"

    def train_batch(self, index: int) -> EpisodeBatch:
        """Draws a pool of points, an equal share from each episode's function."""
        rng = rng_for(self.task_name, "train", self.seed, index)
        size = self.train.draw(rng)
        episodes = self.train.pool // (size.shots + size.queries)
        return self._episodes(rng, self._train_functions(rng, episodes), size)

    def example_batch(self, index: int) -> ExampleBatch:
        """Draws points, each from its own training function."""
        rng = rng_for(self.task_name, "examples", self.seed, index)
        functions = self._train_functions(rng, self.train.pool)
        x, y = self.points(rng, functions, 1)
        return ExampleBatch(
            torch.from_numpy(x[:, 0]), torch.from_numpy(y), functions=torch.from_numpy(functions.astype(np.float32))
        )

    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws episodes from functions that training has not seen (with probability one), or from those it has."""
        rng, functions = self._eval_functions(part, size, episodes)
        return self._episodes(rng, functions, size)

    def posterior(self, batch: EpisodeBatch, knows: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicts the queries by Bayes' rule, exactly: mean and standard deviation, each [B, Q, 1].

        Args:
            batch: the episodes.
            knows: the functions that are possible and equally likely, or distributed as training draws them.

        Raises:
            ValueError: if there is no noise, without which every function but one is impossible.
        """
        if not self.noise:
            raise ValueError("Expected argument `noise` to be above zero for an exact predictor but got 0.")
        z = self.linear(batch.inputs.double().cpu().numpy())
        y = batch.support_y[..., 0].double().cpu().numpy()
        means, scales = [], []
        for first in range(0, len(y), EPISODES_AT_ONCE):
            rows = slice(first, first + EPISODES_AT_ONCE)
            support, query = (z[each[rows].cpu().numpy()] for each in (batch.support, batch.query))
            if knows == "training" and self.functions is not None:
                found = of_list(support, y[rows], self.noise, self.weights(self.functions))
            else:
                found = self.posterior_of_all(support, y[rows])
            means.append(np.einsum("bqk,bk->bq", query, found.mean))
            variance = np.einsum("bqk,bkl,bql->bq", query, found.covariance, query)
            scales.append(np.sqrt(np.maximum(variance, 0.0) + self.noise**2))
        mean, scale = (torch.from_numpy(np.concatenate(each))[..., None] for each in (means, scales))
        return mean, scale

    def guards(self) -> list[Finding]:
        """Also checks that parts share no function."""
        tests = [self._eval_functions("test", size, self.test.episodes)[1] for size in self.test.sizes]
        vals = [self._eval_functions("val", size, self.val_episodes)[1] for size in self.test.sizes]
        trained = tests[0][:0] if self.functions is None else self.functions
        parts = {"train": trained, "val": np.concatenate(vals), "test": np.concatenate(tests)}
        named = {part: [self.in_words(function) for function in rows] for part, rows in parts.items()}
        return [classes_apart(named, self.class_word), *super().guards()]

    def _eval_functions(
        self, part: EvalPart, size: EpisodeSize, episodes: int
    ) -> tuple[np.random.Generator, np.ndarray]:
        rng = rng_for(self.task_name, self.noise, part, size, episodes)
        if part == "seen":
            return rng, self._train_functions(rng, episodes)
        return rng, self.draw_functions(rng, episodes, part)

    def _train_functions(self, rng: np.random.Generator, count: int) -> np.ndarray:
        if self.functions is None:
            return self.draw_functions(rng, count)
        return self.functions[rng.integers(len(self.functions), size=count)]

    def _episodes(self, rng: np.random.Generator, functions: np.ndarray, size: EpisodeSize) -> EpisodeBatch:
        return batch_of(*self.points(rng, functions, size.shots + size.queries), size.shots)


def batch_of(x: np.ndarray, y: np.ndarray, shots: int) -> EpisodeBatch:
    """Makes episodes of points x [B, S + Q, D] and y [B, S + Q], whose first `shots` are the support set."""
    rows = torch.arange(y.size).reshape(y.shape)
    values = torch.from_numpy(y)[..., None]
    return EpisodeBatch(
        inputs=torch.from_numpy(x.reshape(-1, x.shape[-1])),
        support=rows[:, :shots],
        support_y=values[:, :shots],
        query=rows[:, shots:],
        query_y=values[:, shots:],
    )
