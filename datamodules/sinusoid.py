"""Sinusoid regression: functions y = A sin(x - phase) with unknown amplitude and phase."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from adaptbench.datamodules.base import EpisodicDataModule, EvalPart, Sampling, TestOn, require_positive
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch, rng_for
from adaptbench.datamodules.guards import Finding, classes_apart

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, math.pi)
INPUTS = (-5.0, 5.0)
PICTURED_POINTS = 101

Range = tuple[float, float]


class SinusoidDataModule(EpisodicDataModule):
    """Sinusoid tasks of Finn et al. 2017 (arXiv 1703.03400), section 5.1.

    y = A sin(x - phase), A from U[0.1, 5], phase from U[0, pi], x from U[-5, 5]. A training batch holds as many
    episodes as its pool of points allows. Shots and queries are points of one function. With other test ranges, the
    test is out of the range of training; the validation never is.

    Args:
        sampling: the episodes to draw.
        train_functions: number of fixed training functions; None for a new function in every episode. Smaller sets
            are subsets of larger ones with the same seed.
        noise: standard deviation of the Gaussian noise on y, in training and test.
        amplitudes: range of A.
        phases: range of the phase.
        test_amplitudes: range of A in the test, such as (5, 10); None for the range of training.
        test_phases: range of the phase in the test; None for the range of training.
    """

    task_name: ClassVar[str] = "sinusoid"
    class_word: ClassVar[str] = "functions"
    size_argument: ClassVar[str] = "train_functions"
    likelihood: ClassVar[Literal["categorical", "gaussian"]] = "gaussian"
    tested_on: ClassVar[tuple[TestOn, ...]] = ("unseen", "seen")

    def __init__(
        self,
        sampling: Sampling,
        *,
        train_functions: int | None = None,
        noise: float = 0.0,
        amplitudes: Range = AMPLITUDES,
        phases: Range = PHASES,
        test_amplitudes: Range | None = None,
        test_phases: Range | None = None,
    ) -> None:
        super().__init__(sampling)
        train, test = sampling.train, sampling.test
        if train.ways or test.ways:
            raise ValueError("Expected argument `ways` to be left out for sinusoids, which have no classes.")
        if train.episodes is not None:
            raise ValueError("Expected argument `episodes` to be left out for sinusoids, where `pool` decides it.")
        if not 0 <= noise < math.inf:
            raise ValueError(f"Expected argument `noise` to be zero or more but got {noise}.")
        if train_functions is not None:
            require_positive(train_functions=train_functions)
        self.ranges = _ranges(amplitudes=amplitudes, phases=phases)
        self.test_ranges = _ranges(
            test_amplitudes=amplitudes if test_amplitudes is None else test_amplitudes,
            test_phases=phases if test_phases is None else test_phases,
        )
        self.noise = float(noise)  # the episodes' seed is made from its JSON, where 0 and 0.0 differ
        self.functions: np.ndarray | None = None
        if train_functions is not None:
            rng = rng_for(self.task_name, "functions", self.seed)
            self.functions = _draw_functions(rng, train_functions, self.ranges)
        else:
            self.refuse_unlimited()

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

    @property
    def function_parameters(self) -> int:
        """Amplitude and phase."""
        return 2

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Describes the noise, and every range that differs from the paper's."""
        noise = init_args.get("noise", 0.0)
        words = [f"noise {noise:g}" if noise else "noise-free"]
        for name, word in _RANGE_WORDS.items():
            if (value := init_args.get(name)) is not None:
                words.append(f"{word} {value[0]:g} to {value[1]:g}")
        return ", ".join(words)

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
        x, y = (torch.from_numpy(values.reshape(-1, 1)) for values in self._points(rng, functions, 1))
        return ExampleBatch(x, y, functions=torch.from_numpy(functions.astype(np.float32)))

    def eval_batch(self, part: EvalPart, size: EpisodeSize, episodes: int) -> EpisodeBatch:
        """Draws episodes from functions that training has not seen (with probability one), or from those it has."""
        rng, functions = self._eval_functions(part, size, episodes)
        return self._episodes(rng, functions, size)

    def eval_functions(self, part: EvalPart, size: EpisodeSize, episodes: int) -> torch.Tensor:
        """Returns amplitude and phase of each evaluation episode's function, [B, 2] float32."""
        return torch.from_numpy(self._eval_functions(part, size, episodes)[1].astype(np.float32))

    def picture_batch(self, shots: int, functions: int) -> EpisodeBatch:
        """Draws test functions, with support points and with noise-free queries at evenly spaced x.

        The support points for fewer shots are the first of those for more shots, so that pictures can be compared.

        Args:
            shots: support points, at most 100.
            functions: number of functions.
        """
        rng = rng_for(self.task_name, self.noise, "picture")
        drawn = _draw_functions(rng, functions, self.test_ranges)
        x, y = self._points(rng, drawn, 100)
        grid = np.tile(np.linspace(*INPUTS, PICTURED_POINTS), (functions, 1))
        truth = drawn[:, :1] * np.sin(grid - drawn[:, 1:])
        points = np.concatenate([x[:, :shots], grid.astype(np.float32)], axis=1)
        values = np.concatenate([y[:, :shots], truth.astype(np.float32)], axis=1)
        return _batch(points, values, shots)

    def guards(self) -> list[Finding]:
        """Also checks that parts share no function."""
        tests = [self._eval_functions("test", size, self.test.episodes)[1] for size in self.test.sizes]
        vals = [self._eval_functions("val", size, self.val_episodes)[1] for size in self.test.sizes]
        trained = np.empty((0, 2)) if self.functions is None else self.functions
        parts = {"train": trained, "val": np.concatenate(vals), "test": np.concatenate(tests)}
        named = {part: [f"{a:.17g} sin(x - {phase:.17g})" for a, phase in rows] for part, rows in parts.items()}
        return [classes_apart(named, self.class_word), *super().guards()]

    def _eval_functions(
        self, part: EvalPart, size: EpisodeSize, episodes: int
    ) -> tuple[np.random.Generator, np.ndarray]:
        rng = rng_for(self.task_name, self.noise, part, size, episodes)
        if part == "seen":
            return rng, self._train_functions(rng, episodes)
        return rng, _draw_functions(rng, episodes, self.test_ranges if part == "test" else self.ranges)

    def chance(self, size: EpisodeSize, part: EvalPart = "test") -> float:
        """The variance of y given x, averaged over x: the error of the best prediction that ignores the support set."""
        if part == "seen" and self.functions is not None:
            return self._variance_of(self.functions)
        (low, high), (first, last) = self.test_ranges
        mean_square = (high**3 - low**3) / (3 * (high - low)) if high > low else low**2
        square_mean = ((low + high) / 2) ** 2
        width, turned = last - first, math.cos(first + last)
        spread = math.sin(2 * INPUTS[1]) / (2 * INPUTS[1])  # mean of cos 2x over the inputs
        sine_square = (1 - spread * turned * (math.sin(width) / width if width else 1.0)) / 2
        explained = square_mean * (2 * math.sin(width / 2)) ** 2 / width**2 if width else square_mean
        return mean_square * sine_square - explained * (0.5 - turned * spread / 2) + self.noise**2

    def _variance_of(self, functions: np.ndarray) -> float:
        """The variance of y among functions [F, 2], averaged over x: y = A cos(phase) sin x - A sin(phase) cos x."""
        amplitude, phase = functions.T
        spread = math.sin(2 * INPUTS[1]) / (2 * INPUTS[1])
        of_sine, of_cosine = (amplitude * np.cos(phase)).var(), (amplitude * np.sin(phase)).var()
        return float(of_sine * (1 - spread) + of_cosine * (1 + spread)) / 2 + self.noise**2

    def _train_functions(self, rng: np.random.Generator, count: int) -> np.ndarray:
        if self.functions is None:
            return _draw_functions(rng, count, self.ranges)
        return self.functions[rng.integers(len(self.functions), size=count)]

    def _points(self, rng: np.random.Generator, functions: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
        amplitude, phase = functions[:, :1], functions[:, 1:]
        x = rng.uniform(*INPUTS, size=(len(functions), points))
        y = amplitude * np.sin(x - phase)
        if self.noise:
            y += rng.normal(scale=self.noise, size=y.shape)
        return x.astype(np.float32), y.astype(np.float32)

    def _episodes(self, rng: np.random.Generator, functions: np.ndarray, size: EpisodeSize) -> EpisodeBatch:
        return _batch(*self._points(rng, functions, size.shots + size.queries), size.shots)


_RANGE_WORDS = {
    "amplitudes": "amplitude",
    "phases": "phase",
    "test_amplitudes": "tested at amplitude",
    "test_phases": "tested at phase",
}


def _batch(x: np.ndarray, y: np.ndarray, shots: int) -> EpisodeBatch:
    """Makes episodes of points [B, S + Q], whose first `shots` are the support set."""
    rows = torch.arange(x.size).reshape(x.shape)
    values = torch.from_numpy(y)[..., None]
    return EpisodeBatch(
        inputs=torch.from_numpy(x.reshape(-1, 1)),
        support=rows[:, :shots],
        support_y=values[:, :shots],
        query=rows[:, shots:],
        query_y=values[:, shots:],
    )


def _draw_functions(rng: np.random.Generator, count: int, ranges: tuple[Range, Range]) -> np.ndarray:
    """Draws amplitudes and phases as [count, 2]; the first n rows do not depend on `count`."""
    low, high = zip(*ranges, strict=True)
    return rng.uniform(low, high, size=(count, 2))


def _ranges(**ranges: Range) -> tuple[Range, Range]:
    """Checks the ranges of amplitude and phase.

    Raises:
        ValueError: if one is not two numbers in ascending order.
    """
    for name, value in ranges.items():
        if len(value) != 2 or not -math.inf < value[0] <= value[1] < math.inf:
            raise ValueError(f"Expected argument `{name}` to be two numbers in ascending order but got {value}.")
    amplitude, phase = ((float(low), float(high)) for low, high in ranges.values())
    return amplitude, phase
