"""Linear regression: functions y = w . x + noise with unknown weights in eight dimensions."""

from typing import ClassVar

import numpy as np

from adaptbench.datamodules.base import EvalPart, Sampling
from adaptbench.datamodules.episodes import EpisodeSize
from adaptbench.datamodules.function_task import FunctionDataModule
from adaptbench.datamodules.posteriors import Moments, of_normal

DIMENSIONS = 8


class LinearRegressionDataModule(FunctionDataModule):
    """Linear regression tasks of Raventos et al. 2023 (arXiv 2306.15063), section 2: x and w from N(0, 1).

    Both have 8 dimensions. The paper predicts after 1 to 16 points and has noise of variance 0.25; here each number of
    shots is a test of its own.

    Args:
        sampling: the episodes to draw.
        train_functions: number of fixed training functions; None for a new function in every episode.
        noise: standard deviation of the Gaussian noise on y, in training and test.
    """

    task_name: ClassVar[str] = "linear_regression"
    usual_noise: ClassVar[float] = 0.5

    def __init__(self, sampling: Sampling, *, train_functions: int | None = None, noise: float = usual_noise) -> None:
        super().__init__(sampling, train_functions=train_functions, noise=noise)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Eight numbers."""
        return (DIMENSIONS,)

    def chance(self, size: EpisodeSize, part: EvalPart = "test") -> float:
        """The variance of y given x, averaged over x: the error of the best prediction that ignores the support set."""
        if part == "seen" and self.functions is not None:
            return float(self.functions.var(axis=0).sum()) + self.noise**2
        return DIMENSIONS + self.noise**2

    def draw_functions(self, rng: np.random.Generator, count: int, part: EvalPart = "seen") -> np.ndarray:
        """Draws weights."""
        return rng.standard_normal((count, DIMENSIONS))

    def points(self, rng: np.random.Generator, functions: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws x from N(0, 1), and y with its noise."""
        x = rng.standard_normal((len(functions), points, DIMENSIONS))
        y = np.einsum("fpd,fd->fp", x, functions) + rng.normal(scale=self.noise, size=x.shape[:2])
        return x.astype(np.float32), y.astype(np.float32)

    def linear(self, x: np.ndarray) -> np.ndarray:
        """The inputs themselves."""
        return x

    def weights(self, functions: np.ndarray) -> np.ndarray:
        """The parameters themselves."""
        return functions

    def posterior_of_all(self, z: np.ndarray, y: np.ndarray) -> Moments:
        """Ridge regression."""
        return of_normal(z, y, self.noise)

    def in_words(self, function: np.ndarray) -> str:
        """Lists the weights."""
        return " ".join(f"{weight:.17g}" for weight in function)
