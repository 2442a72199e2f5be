"""Predicted functions of a regression run, which a report draws beside the true ones."""

from typing import Protocol, runtime_checkable

import pandas as pd
import torch

from adaptbench.benchmarks.evaluation.adapters import Adapter
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.likelihoods import LIKELIHOODS

SHOTS = (1, 2, 5, 10)
FUNCTIONS = 4


@runtime_checkable
class Pictured(Protocol):
    """A task of functions of one variable that has episodes for figures."""

    def picture_batch(self, shots: int, functions: int) -> EpisodeBatch:
        """Returns episodes whose queries trace the true functions."""


def fits(adapter: Adapter, task: Pictured, device: torch.device) -> pd.DataFrame:
    """Predicts some test functions from 1, 2, 5 and 10 points.

    Returns:
        A row for each point with the columns `FITS` of the format.
    """
    return pd.concat([_fit(adapter, task, shots=shots, device=device) for shots in SHOTS], ignore_index=True)


def _fit(adapter: Adapter, task: Pictured, shots: int, device: torch.device) -> pd.DataFrame:
    batch = task.picture_batch(shots, FUNCTIONS).to(device)
    predicted = LIKELIHOODS["gaussian"].point(adapter.predict(batch.without_targets()))[..., 0]
    missing = torch.full_like(batch.support_y[..., 0], float("nan"))
    frames = [
        _points(batch, "support", rows=batch.support, y=batch.support_y, predicted=missing),
        _points(batch, "query", rows=batch.query, y=batch.query_y, predicted=predicted),
    ]
    return pd.concat(frames, ignore_index=True).assign(shots=shots)


def _points(
    batch: EpisodeBatch, role: str, rows: torch.Tensor, y: torch.Tensor, predicted: torch.Tensor
) -> pd.DataFrame:
    function = torch.arange(len(rows)).repeat_interleave(rows.shape[1])
    columns = {"x": batch.inputs[rows, 0], "y": y[..., 0], "prediction": predicted}
    values = {name: column.flatten().cpu().numpy() for name, column in columns.items()}
    return pd.DataFrame({"function": function.numpy(), "role": role, **values})
