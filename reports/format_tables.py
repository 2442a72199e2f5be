"""The columns of the tables of a run's folder."""

from typing import Literal, NamedTuple


class Column(NamedTuple):
    """A column of a table.

    Args:
        name: Its name.
        kind: The kind of its values; integers are not negative.
        unit: Its unit; empty if it has none.
        meaning: Its meaning.
        texts: The texts that it may hold; any if empty.
        absent: Whether integers may be absent; numbers may be anyway.
    """

    name: str
    kind: Literal["integer", "number", "text"]
    unit: str
    meaning: str
    texts: tuple[str, ...] = ()
    absent: bool = False


EPISODES = (
    Column(
        "on",
        "text",
        "",
        "What the test is about, as in the scores; absent if unseen classes or functions alone.",
        texts=("unseen", "seen", "held_out_drawings"),
    ),
    Column("ways", "integer", "classes", "Classes in the episode; absent in regression.", absent=True),
    Column("shots", "integer", "examples", "Support examples of each class, or of the function."),
    Column("episode", "integer", "", "Number of the episode among those of its size; the same for every run."),
    Column("accuracy", "number", "fraction", "Queries classified correctly; tasks of classification only."),
    Column("mse", "number", "squared target", "Mean squared error over queries; tasks of regression only."),
    Column("nll", "number", "nats per query", "Negative log-likelihood of the queries' targets."),
)
"""`episodes.parquet`: a row for each test episode."""
CALIBRATION_BINS = 15
"""Bins of equal width, as in Guo et al. 2017 (arXiv 1706.04599)."""
CALIBRATION = (
    Column("ways", "integer", "classes", "Classes in the episodes."),
    Column("shots", "integer", "examples", "Support examples of each class."),
    Column("bin", "integer", "", "Bin of the predicted class's probability: bin b of 15 holds b/15 to (b + 1)/15."),
    Column("queries", "integer", "queries", "Queries in the bin, over all test episodes of that size."),
    Column("confidence", "number", "", "Sum of the probabilities of their predicted classes."),
    Column("correct", "integer", "queries", "Queries of the bin that are classified correctly."),
)
"""`calibration.parquet`: a row for each size of test episodes and bin; tasks of classification only."""
CURVE = (
    Column("step", "integer", "steps", "Training steps done."),
    Column("examples_encoded", "integer", "examples", "Examples encoded in training so far."),
    Column("part", "text", "", 'The part: "train" or "val".', texts=("train", "val")),
    Column("metric", "text", "", "The metric, as in the scores of `result.json`."),
    Column("value", "number", "unit of the metric", "Its mean over the epoch, or over the validation episodes."),
)
"""`curve.parquet`: a row for each epoch, part and metric; only for runs that train."""
FITS = (
    Column("shots", "integer", "examples", "Support examples of the function."),
    Column("function", "integer", "", "Number of the test function."),
    Column(
        "role", "text", "", '"support" for an example, "query" for a point of the curve.', texts=("support", "query")
    ),
    Column("x", "number", "unit of the task", "Input."),
    Column("y", "number", "unit of the task", "Target of an example, or true value on the curve."),
    Column("prediction", "number", "unit of the task", "Predicted mean; absent for support examples."),
)
"""`fits.parquet`: predicted functions beside the true ones; tasks of regression only."""
TABLES = {
    "episodes.parquet": EPISODES,
    "calibration.parquet": CALIBRATION,
    "curve.parquet": CURVE,
    "fits.parquet": FITS,
}
