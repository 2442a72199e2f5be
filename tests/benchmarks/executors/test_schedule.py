"""The schedule, on a backend that computes nothing: tries, needs, other processes, and stopping."""

from adaptbench.benchmarks.executors.plan import PlannedRun
from adaptbench.benchmarks.executors.schedule import drive
from adaptbench.benchmarks.executors.worker import Ended


class Scripted:
    """Ends each try of a run as a script says, by seed; `done` publishes."""

    slots = 2

    def __init__(self, store, script):
        self.store, self.script = store, script
        self.at_work, self.tries, self.asked, self.closed = [], [], False, False
        self.together = []

    def submit(self, runs):
        self.at_work += runs
        assert sum(run.spec.devices for run in self.at_work) <= self.slots
        self.together.append([run.name for run in self.at_work])
        self.tries += [run.spec.seed for run in runs if hasattr(run.spec, "seed")]

    def ended(self, seconds):
        for run in self.at_work:
            how = self.script.get(run.name, ["done"]).pop(0) if self.script.get(run.name) else "done"
            if how == "done":
                (self.store.begin(run.spec.run_id) / "result.json").write_text("{}")
                self.store.publish(run.spec.run_id)
            yield run.spec.run_id, Ended(how, "it broke" if how == "failed" else "")
        self.at_work = []

    def ask_to_stop(self):
        self.asked = True

    def close(self):
        self.closed = True


def planned(episodic, *seeds):
    return [PlannedRun(episodic(seed=seed), f"run {seed}") for seed in seeds]


def last(execution):
    *_, status = execution
    return status


def test_a_failed_run_is_tried_again_as_often_as_asked(store, episodic):
    script = {"run 0": ["failed"] * 3, "run 1": ["failed", "done"]}
    backend = Scripted(store, script)
    runs = planned(episodic, 0, 1, 2)
    status = last(drive(runs, backend, store, retry=2))
    assert list(status.failed.values()) == ["it broke"]
    assert sorted(backend.tries) == [0, 0, 0, 1, 1, 2]
    assert {run.name for run, _ in status.done} == {"run 1", "run 2"}
    assert store.failure(runs[0].spec.run_id) == "it broke"
    assert backend.closed and store.locked() == []


def test_a_run_that_another_process_has_is_left_to_it(store, episodic):
    runs = planned(episodic, 0, 1, 2)
    ids = [run.spec.run_id for run in runs]
    backend = Scripted(store, {run.name: ["elsewhere"] for run in runs})
    with store.claimed(ids[0], lambda: None):
        store.note_failure(ids[1], "it broke there", "")
        execution = drive(runs, backend, store)
        while not (status := next(execution)).elsewhere:
            pass
        (store.begin(ids[0]) / "result.json").write_text("{}")
        store.publish(ids[0])
    status = last(execution)
    assert [run.name for run in status.found] == ["run 0"]
    assert status.failed == {ids[1]: "it broke there"}
    assert [run.name for run, _ in status.done] == ["run 2"], "nobody had it any more: it was tried here"


def test_what_needs_a_failed_run_fails_with_its_reason(store, transfer):
    spec = transfer()
    runs = [
        PlannedRun(spec.pretrained, "pretraining"),
        PlannedRun(spec, "fit", needs=(spec.pretrained.run_id,)),
    ]
    status = last(drive(runs, Scripted(store, {"pretraining": ["failed"]}), store))
    assert status.failed[spec.run_id] == "what it needs failed: it broke"


def test_stopping_starts_nothing_more_and_waits_for_checkpoints(store, episodic):
    asked = []
    backend = Scripted(store, {"run 0": ["stopped"], "run 1": ["stopped"]})
    execution = drive(planned(episodic, 0, 1, 2), backend, store, stop=lambda: bool(asked))
    next(execution)
    asked.append(True)
    status = last(execution)
    assert status.stopping and backend.asked and backend.closed
    assert len(status.waiting) == 3 and not status.done and not status.failed


def test_a_run_takes_a_slot_for_each_of_its_devices(store, episodic):
    wide = PlannedRun(episodic(seed=3, trainer__devices=2), "wide")
    first, second, third = planned(episodic, 0, 1, 2)
    backend = Scripted(store, {})
    last(drive([first, wide, second, third], backend, store))
    assert backend.together == [["run 0"], ["wide"], ["run 1", "run 2"]]
