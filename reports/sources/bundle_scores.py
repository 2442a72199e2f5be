"""What the tables of a bundle say against what its runs say: a score must follow from its own episodes."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no annotations

from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Result


def by_run(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each run, without its id."""
    ids = table.column("run_id").combine_chunks().dictionary_encode()
    codes = ids.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    rows = table.drop_columns(["run_id"]).take(pa.array(order))
    ends = np.cumsum(np.bincount(codes, minlength=len(ids.dictionary)))
    for run_id, start, end in zip(ids.dictionary.to_pylist(), [0, *ends[:-1]], ends, strict=True):
        own = rows.slice(int(start), int(end - start))
        absent = [name for name in own.column_names if own.column(name).null_count == len(own) and name != "ways"]
        yield str(run_id), own.drop_columns(absent)


def check_scores(results: Mapping[str, Result], episodes: pa.Table | None) -> None:
    """Refuses a score that the scores of its own episodes do not give."""
    frames = {} if episodes is None else {run_id: rows.to_pandas() for run_id, rows in by_run(episodes)}
    for run_id, result in results.items():
        for score in result.scores:
            metric = "accuracy" if score.metric == "error_percent" else score.metric
            frame = frames.get(run_id)
            if metric == "order_sensitivity":
                continue
            if frame is None or metric not in frame:
                raise ReportError(f"Expected episodes.parquet to have {metric} of run {run_id} but it has not.")
            frame = frame[frame["on"] == score.on] if "on" in frame else frame
            here = frame["ways"].isna() if score.ways is None else frame["ways"] == score.ways
            own = frame.loc[here & (frame["shots"] == score.shots), metric].to_numpy("float64", na_value=np.nan)
            mean = float(np.mean(own[~np.isnan(own)])) if not np.isnan(own).all() else np.nan
            mean = 100 * (1 - mean) if score.metric == "error_percent" else mean
            same = np.isclose(mean, score.value, rtol=1e-4, atol=1e-6, equal_nan=True) if len(own) else False
            if len(own) != score.n_episodes or not same:
                raise ReportError(
                    f"Expected the {score.metric} of run {run_id} at {score.shots} shots to be {score.value:g} over "
                    f"{score.n_episodes} episodes, as runs.jsonl says, but its episodes give {mean:g} over {len(own)}."
                )


def check_calibration(results: Mapping[str, Result], calibration: pa.Table | None) -> None:
    """Refuses an accuracy that the counts of right queries do not give."""
    frames = {} if calibration is None else {run_id: rows.to_pandas() for run_id, rows in by_run(calibration)}
    for run_id, frame in frames.items():
        for score in results[run_id].scores:
            if score.metric == "accuracy" and score.on == "unseen":
                own = frame[(frame["ways"] == score.ways) & (frame["shots"] == score.shots)]
                mean = own["correct"].sum() / max(1, own["queries"].sum())
                if not np.isclose(mean, score.value, rtol=1e-4, atol=1e-6):
                    raise ReportError(
                        f"Expected the accuracy of run {run_id} at {score.shots} shots to be {score.value:g}, as "
                        f"runs.jsonl says, but calibration.parquet counts {mean:g} of its queries as right."
                    )
