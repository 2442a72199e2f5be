"""Results as data frames for users of Python."""

import re

import pandas as pd
import pytest

from adaptbench import load_results
from adaptbench.reports.errors import ReportError
from adaptbench.reports.results.records import EPISODE_COLUMNS, RUN_COLUMNS

pytestmark = pytest.mark.usefixtures("no_figures")


def test_runs_and_episodes_are_two_frames(quick):
    quick.remove(quick.cells[0])
    with pytest.warns(UserWarning, match=rf"No rows of 1 of {len(quick.cells)} runs: 1 not finished\.$"):
        runs, episodes = load_results(quick.path)
    assert (tuple(runs.columns), tuple(episodes.columns)) == (RUN_COLUMNS, EPISODE_COLUMNS)
    finished = {cell["run_id"] for cell in quick.cells[1:]}
    assert set(runs["run_id"]) == set(episodes["run_id"]) == finished
    assert len(runs) == len(finished) * 2 * 2 and len(episodes) == len(finished) * 2 * 60
    own = runs[runs["metric"] != "nll"].set_index(["run_id", "shots"])["value"]
    means = episodes.groupby(["run_id", "shots"])["value"].mean()
    pd.testing.assert_series_equal(own.sort_index(), means.sort_index(), check_index_type=False)
    assert runs.loc[runs["task"] == "sinusoid", ["ways", "train_classes"]].isna().all(axis=None)
    times = runs[runs["task"] == "omniglot"].set_index("shots")["predict_ms_per_episode"]
    assert set(times[1]) == {0.25} and set(times[5]) == {1.25}
    assert (runs["part"] == "test").all()


def test_a_folder_without_finished_runs_gives_empty_frames(folder):
    folder.plan_quick().write_suite()
    with pytest.warns(UserWarning, match=rf"{len(folder.cells)} not finished"):
        runs, episodes = load_results(str(folder.path), "quick")
    assert (tuple(runs.columns), tuple(episodes.columns)) == (RUN_COLUMNS, EPISODE_COLUMNS)
    assert runs.empty and episodes.empty
    with pytest.raises(ReportError, match="quick"):
        load_results(folder.path, "other")


def test_every_column_is_documented():
    documented = re.findall(r"`(\w+)`", load_results.__doc__)
    assert set(documented) - {"runs", "episodes"} == {*RUN_COLUMNS, *EPISODE_COLUMNS}


def test_a_run_that_is_left_out_is_named_with_its_reason(quick):
    run_id = quick.cells[2]["run_id"]
    (quick.path / run_id / "episodes.parquet").unlink()
    with pytest.warns(UserWarning, match=rf"1 unreadable\. {run_id} is unreadable: episodes.parquet cannot be read"):
        load_results(quick.path)


def test_whole_results_come_without_a_warning(quick, recwarn):
    load_results(quick.path)
    assert not recwarn.list
