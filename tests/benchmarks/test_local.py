"""The local executor, where the command line's tests cannot reach it."""

from benchmarks.local import LocalBackend
from benchmarks.plan import PlannedRun
from benchmarks.schedule import drive


def test_a_run_whose_need_is_gone_fails_instead_of_waiting_for_ever(transfer, store):
    spec = transfer()
    run = PlannedRun(spec, "fine-tuning", "sinusoid fine-tuning", needs=spec.pretrained.run_id)
    *_, last = drive([run], LocalBackend(["cpu"], order=lambda run: None), store)
    assert "is gone" in last.failed[spec.run_id]
    assert not last.waiting
