"""The time left of a suite: judged by the runs that are most like each, and by how many run at a time."""

import time

import pytest
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.executors.options import ExecutorOptions
from adaptbench.benchmarks.executors.plan import PlannedRun, make_plan
from adaptbench.benchmarks.executors.schedule import Status
from adaptbench.benchmarks.executors.time_left import Pace, estimate, makespan, seconds_left
from adaptbench.benchmarks.store.store import write_json
from adaptbench.benchmarks.suites.suite import load_suite


@pytest.fixture
def run(episodic):
    return lambda seed, learner="a", **changes: PlannedRun(
        episodic(seed=seed, learner={"name": learner}, **changes), f"run {seed}"
    )


@pytest.fixture
def finish(store, environment, result_of):
    """Publishes a run that was never computed, with the seconds that it took."""

    def publish(spec, train_seconds, test_seconds=0.0):
        folder = store.begin(spec.run_id)
        times = environment.times.model_copy(update={"train_seconds": train_seconds, "test_seconds": test_seconds})
        write_json(folder / "spec.json", spec)
        write_json(folder / "environment.json", environment.model_copy(update={"times": times}))
        write_json(folder / "result.json", result_of(spec.run_id))
        store.publish(spec.run_id)
        return PlannedRun(spec, "finished")

    return publish


def test_nothing_is_said_of_the_time_before_anything_is_known(run):
    now = time.monotonic()
    first = run(0)
    assert seconds_left(Status([run(1)]), {}, 2) is None
    running = {first.spec.run_id: (first, now)}
    assert seconds_left(Status([], running=running), {first.spec.run_id: 0.05}, 2) is None


def test_runs_of_a_learner_are_expected_to_take_equally_long(run):
    done = [(run(0, "short"), 10.0), (run(1, "short"), 20.0), (run(2, "long"), 100.0)]
    waiting = [run(3, "short"), run(4, "long"), run(5, "unknown")]
    short, long, unknown = 15, 100, (10 + 20 + 100) / 3
    assert seconds_left(Status(waiting, done=done), {}, 1) == pytest.approx(short + long + unknown)
    assert seconds_left(Status(waiting, done=done), {}, 2) == pytest.approx(max(short + unknown, long))


def test_a_running_run_tells_by_how_far_it_is(run):
    first = run(0)
    status = Status([run(1)], running={first.spec.run_id: (first, time.monotonic() - 30)})
    assert seconds_left(status, {first.spec.run_id: 0.25}, 1) == pytest.approx(120 + 90, rel=0.01)


def test_the_time_is_never_less_than_the_longest_run(run):
    assert makespan([(run(0), 300.0)], slots=8) == 300
    assert makespan([(run(seed), 600.0) for seed in range(100)], slots=256) == 600
    assert makespan([(run(seed), 600.0) for seed in range(100)], slots=10) == 6000
    assert makespan([], slots=4) == 0


def test_what_needs_a_pretraining_comes_after_it(transfer):
    spec = transfer()
    first, second = PlannedRun(spec.pretrained, "pretraining"), PlannedRun(spec, "fit", (spec.pretrained.run_id,))
    assert makespan([(first, 100.0), (second, 20.0)], slots=8) == 120
    assert makespan([(second, 20.0)], slots=8) == 20, "what it needs is finished"


def test_a_run_of_two_devices_takes_two_slots_or_all_there_are(run):
    wide = run(0, trainer__devices=2)
    assert makespan([(wide, 10.0), (run(1), 10.0), (run(2), 10.0)], slots=2) == 20
    assert makespan([(wide, 10.0), (run(1), 10.0)], slots=1) == 20


def test_budgets_scale_what_is_expected(run, store, finish):
    """As in the suite `classes`, in which some cells train four times as long as others."""
    finished = [finish(run(0, budget__examples=1000).spec, 40.0)]
    left = [run(1, budget__examples=4000), run(2, budget__examples=1000)]
    assert estimate(finished, left, [store], slots=1) == pytest.approx(160 + 40)
    assert estimate(finished, left, [store], slots=2) == pytest.approx(160)


def test_adaptation_is_judged_by_its_test_episodes(transfer, store, finish):
    few, many = transfer(), transfer(test__episodes=200)
    many = few.model_copy(update={"test": many.pretrained.test})
    finished = [finish(few, train_seconds=1000.0, test_seconds=3.0)]
    assert many.run_id != few.run_id
    assert estimate(finished, [PlannedRun(many, "fit")], [store], slots=1) == pytest.approx(30)


def test_runs_of_another_suite_in_the_folder_tell_too(run, store, finish):
    finish(run(0, "a", budget__examples=1000).spec, 10.0)
    finish(run(0, "b", budget__examples=1000).spec, 50.0)
    finish(run(0, "a", task__name="glyphs", encoder__name="conv4").spec, 700.0)
    assert estimate([], [run(1, "a", budget__examples=2000)], [store], slots=1) == pytest.approx(20)
    assert estimate([], [run(1, "new", budget__examples=1000)], [store], slots=1) == pytest.approx(30)
    (store.published(run(0, "a", budget__examples=1000).spec.run_id) / "environment.json").write_text("broken")
    assert estimate([], [run(1, "a", budget__examples=1000)], [store], slots=1) == pytest.approx(50)


def test_the_nearest_runs_are_those_of_the_same_component(episodic):
    small, large = (
        PlannedRun(episodic(learner={"name": "a", "init_args": {"width": width}}), "a") for width in (8, 800)
    )
    pace = Pace()
    pace.add(small, 1.0)
    assert pace and pace.expected(large) == 1.0, "the only one of its name"
    pace.add(large, 99.0)
    assert (pace.expected(small), pace.expected(large)) == (1.0, 99.0)
    elsewhere = PlannedRun(episodic(learner=large.spec.learner, task__name="glyphs"), "a")
    assert pace.expected(elsewhere) == 99.0, "the same learner on another task"


def test_slurm_runs_as_many_at_a_time_as_were_asked_for():
    assert ExecutorOptions(name="slurm", max_parallel=7).at_a_time == 7
    assert ExecutorOptions(name="ray").at_a_time is None
    assert ExecutorOptions(name="local").at_a_time == 1


@pytest.mark.parametrize(
    ("options", "time_left"),
    [
        (("--executor", "slurm", "--gpus", "1"), "Time left: about 0:02:00."),
        (("--executor", "slurm", "--gpus", "1", "--max-parallel", "1"), "Time left: about 0:04:00."),
        (("--executor", "ray", "--gpus", "1"), "Time left: about 0:04:00, one run at a time."),
        (("--jobs", "3"), "Time left: about 0:02:00."),
    ],
)
def test_a_dry_run_needs_no_gpu_of_this_machine(options, time_left, write_suite, store, finish):
    suite = write_suite(learners=("deep_sets",), seeds=(0, 1, 2))
    finish(make_plan(load_suite(str(suite))).runs()[0].spec, train_seconds=100.0, test_seconds=20.0)
    result = CliRunner().invoke(app, ["run", str(suite), "--dry-run", "--out", str(store.root), *options])
    assert result.exit_code == 0, result.output
    assert "1 finished, 2 to do" in result.output and time_left in result.output


def test_the_time_left_is_estimated_from_runs_whose_times_can_be_read(run, store, environment):
    runs = [run(seed) for seed in range(3)]
    for each, text in zip(runs, (environment.model_dump_json(), "{"), strict=False):
        folder = store.published(each.spec.run_id)
        folder.mkdir(parents=True)
        (folder / "environment.json").write_text(text)
    assert estimate(runs[:2], runs[2:], [store], slots=1) == 60
    assert estimate(runs[1:2], runs[2:], [store], slots=1) is None
