"""What a regression run predicted in its first test episodes, so that reports can draw it."""

import pandas as pd
from torch import Tensor

from datamodules.episodes import EpisodeBatch
from lit_modules.likelihoods import Likelihood

EPISODES = 3
COLUMNS = ("shots", "episode", "role", "x", "y", "mean")


def fits(prediction: Tensor, batch: EpisodeBatch, shots: int, likelihood: Likelihood) -> pd.DataFrame:
    """Support set, queries and predicted means of the first test episodes.

    Args:
        prediction: [B, Q, P].
        batch: the episodes.
        shots: how many support examples each has.
        likelihood: reads the prediction.

    Returns:
        A row for each example, with the columns COLUMNS; no rows where x or y is not one number.
    """
    if batch.inputs.shape[1:].numel() != 1 or batch.query_y.shape[-1] != 1 or likelihood.metric != "mse":
        return pd.DataFrame(columns=list(COLUMNS))
    means = likelihood.point(prediction)
    rows = [
        {"shots": shots, "episode": episode, "role": role, "x": float(x), "y": float(y), "mean": mean}
        for episode in range(min(EPISODES, len(batch.query)))
        for role, places, targets, found in (
            ("support", batch.support[episode], batch.support_y[episode], None),
            ("query", batch.query[episode], batch.query_y[episode], means[episode]),
        )
        for index, (x, y) in enumerate(zip(batch.inputs[places].flatten(), targets.flatten(), strict=True))
        for mean in (float("nan") if found is None else float(found[index]),)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
