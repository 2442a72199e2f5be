"""How often predictions of a class are right, by the probability that they give it."""

import pandas as pd
import torch
from torch import Tensor

from adaptbench.datamodules.episodes import EpisodeSize
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.reports.format_tables import CALIBRATION_BINS as BINS


def calibration(prediction: Tensor, target: Tensor, size: EpisodeSize) -> pd.DataFrame:
    """Counts the queries of all test episodes of a size in bins of the probability of the predicted class.

    Args:
        prediction: [B, Q, P] logits.
        target: [B, Q, Y] one-hot classes.
        size: the size of the episodes.

    Returns:
        A row for each bin, also an empty one, with the columns `CALIBRATION` of the format.
    """
    likelihood = LIKELIHOODS["categorical"]
    confidence = likelihood.point(prediction).amax(dim=-1).double().flatten().cpu()
    right = likelihood.score(prediction, target).double().flatten().cpu()
    place = (confidence * BINS).long().clamp(max=BINS - 1)
    sums = [torch.bincount(place, weights, minlength=BINS) for weights in (None, confidence, right)]
    identity = {"ways": size.ways, "shots": size.shots, "bin": range(BINS)}
    queries, confidences, correct = (each.numpy() for each in sums)
    return pd.DataFrame(
        {**identity, "queries": queries, "confidence": confidences, "correct": correct.astype("int64")}
    ).astype({"ways": "Int64"})
