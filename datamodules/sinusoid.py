"""Sinusoid regression: functions y = A sin(x - phase) with unknown amplitude and phase."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

from adaptbench.datamodules.base import EvalPart, Sampling
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, rng_for
from adaptbench.datamodules.function_task import FunctionDataModule, batch_of
from adaptbench.datamodules.posteriors import Moments, of_sinusoids

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, math.pi)
INPUTS = (-5.0, 5.0)
PICTURED_POINTS = 101

Range = tuple[float, float]


class SinusoidDataModule(FunctionDataModule):
    """Sinusoid tasks of Finn et al. 2017 (arXiv 1703.03400), section 5.1.

    y = A sin(x - phase), A from U[0.1, 5], phase from U[0, pi], x from U[-5, 5]. With other test ranges, the test is
    out of the range of training; the validation never is.

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
        self.ranges = _ranges(amplitudes=amplitudes, phases=phases)
        self.test_ranges = _ranges(
            test_amplitudes=amplitudes if test_amplitudes is None else test_amplitudes,
            test_phases=phases if test_phases is None else test_phases,
        )
        super().__init__(sampling, train_functions=train_functions, noise=noise)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """One x value."""
        return (1,)

    @property
    def function_parameters(self) -> int:
        """Amplitude and phase."""
        return 2

    @classmethod
    def protocol(cls, init_args: Mapping[str, Any]) -> str:
        """Describes the noise, and every range that differs from the paper's."""
        words = [super().protocol(init_args)]
        for name, word in _RANGE_WORDS.items():
            if (value := init_args.get(name)) is not None:
                words.append(f"{word} {value[0]:g} to {value[1]:g}")
        return ", ".join(words)

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
        drawn = self.draw_functions(rng, functions, "test")
        x, y = self.points(rng, drawn, 100)
        grid = np.tile(np.linspace(*INPUTS, PICTURED_POINTS), (functions, 1))
        truth = drawn[:, :1] * np.sin(grid - drawn[:, 1:])
        points = np.concatenate([x[:, :shots, 0], grid.astype(np.float32)], axis=1)[..., None]
        values = np.concatenate([y[:, :shots], truth.astype(np.float32)], axis=1)
        return batch_of(points, values, shots)

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

    def draw_functions(self, rng: np.random.Generator, count: int, part: EvalPart = "seen") -> np.ndarray:
        """Draws amplitudes and phases."""
        low, high = zip(*(self.test_ranges if part == "test" else self.ranges), strict=True)
        return rng.uniform(low, high, size=(count, 2))

    def points(self, rng: np.random.Generator, functions: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws x from its range, and y with its noise."""
        amplitude, phase = functions[:, :1], functions[:, 1:]
        x = rng.uniform(*INPUTS, size=(len(functions), points))
        y = amplitude * np.sin(x - phase)
        if self.noise:
            y += rng.normal(scale=self.noise, size=y.shape)
        return x[..., None].astype(np.float32), y.astype(np.float32)

    def linear(self, x: np.ndarray) -> np.ndarray:
        """Sine and minus cosine, because A sin(x - phase) = A cos(phase) sin x - A sin(phase) cos x."""
        return np.concatenate([np.sin(x), -np.cos(x)], axis=-1)

    def weights(self, functions: np.ndarray) -> np.ndarray:
        """A cos(phase) and A sin(phase)."""
        amplitude, phase = functions.T
        return np.stack([amplitude * np.cos(phase), amplitude * np.sin(phase)], axis=1)

    def posterior_of_all(self, z: np.ndarray, y: np.ndarray) -> Moments:
        """Uniform amplitudes and phases, integrated."""
        return of_sinusoids(z, y, self.noise, *self.ranges)

    def in_words(self, function: np.ndarray) -> str:
        """Amplitude and phase."""
        return f"{function[0]:.17g} sin(x - {function[1]:.17g})"


_RANGE_WORDS = {
    "amplitudes": "amplitude",
    "phases": "phase",
    "test_amplitudes": "tested at amplitude",
    "test_phases": "tested at phase",
}


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
