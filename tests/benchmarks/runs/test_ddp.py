"""Several devices for one training: each with episodes of its own, the same ones every time."""

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from adaptbench.benchmarks.runs.build import TaskShape, build_module, build_task
from adaptbench.benchmarks.runs.checkpoints import Checkpoints, Interrupted
from adaptbench.benchmarks.runs.devices import CPU, Devices
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import TrainerOptions

TWO = {"trainer__devices": 2, "budget__examples": 640, "budget__epochs": 2}


def children(pid, module):
    """Lists the processes below a process that run a module."""
    found = []
    with contextlib.suppress(OSError):
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            found += [child] * (module in command) + children(child, module)
    return found


def test_ranks_divide_the_batches_that_one_device_would_draw(episodic):
    task = build_task(episodic(**TWO))

    def inputs(step, rank, ranks):
        task.trainer = SimpleNamespace(global_step=step, global_rank=rank, world_size=ranks, accumulate_grad_batches=1)
        return [batch.inputs for batch in task.train_dataloader()]

    alone = inputs(6, 0, 1)
    first, second = inputs(3, 0, 2), inputs(3, 1, 2)
    for one, other, expected in zip(first, second, zip(alone[::2], alone[1::2], strict=True), strict=False):
        assert torch.equal(one, expected[0]) and torch.equal(other, expected[1])
        assert not torch.equal(one, other)
    assert all(map(torch.equal, first, inputs(3, 0, 2)))


@pytest.mark.slow
def test_gradients_of_two_ranks_are_averaged(episodic, store):
    """Against a loop without Lightning that takes the mean of the losses of both batches."""
    spec = episodic(**TWO)
    folder = execute(spec, store)
    task = build_task(spec)
    module = build_module(spec, TaskShape.of(task))
    made = spec.optimization.configure(module.parameters(), spec.steps)
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    module.log_means = lambda *_: None
    assert spec.steps == 8
    for step in range(spec.steps):
        losses = [module.training_step(task.train_batch(2 * step + rank), 0) for rank in range(2)]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), spec.optimization.clip)
        optimizer.step()
        scheduler.step()
    trained = torch.load(folder / "model.ckpt", weights_only=True)["state_dict"]
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, rtol=0, atol=1e-5)
    assert store.result(spec.run_id).model_dump()["examples_encoded"] == 640


@pytest.mark.slow
@pytest.mark.parametrize("selection", ["last", "best"])
def test_stopped_together_they_end_with_the_same_bits(selection, episodic, tmp_path, contents):
    spec = episodic(**TWO, budget__selection=selection)
    execute(spec, Store(tmp_path / "undisturbed"))
    stopped, steps, tries = Store(tmp_path / "stopped"), itertools.count(1), 0
    while not stopped.is_published(spec.run_id):
        tries += 1
        with contextlib.suppress(Interrupted):
            execute(spec, stopped, checkpoints=Checkpoints(0.0, lambda: next(steps) % 4 == 3))
        assert children(os.getpid(), "adaptbench.benchmarks.runs.ddp_process") == []
    assert 1 < tries < 6
    assert contents(tmp_path / "undisturbed") == contents(tmp_path / "stopped")


@pytest.mark.slow
def test_when_one_rank_dies_the_run_fails_and_the_next_command_completes_it(
    adaptbench, write_suite, own_learners, contents, tmp_path
):
    learners = {f"learners.{name}": {"learner": {"name": f"own.{name}"}} for name in ("Slow", "Sound")}
    suite = write_suite(learners=(), **{"trainer.devices": 2}, **learners)
    options = ("--jobs", "2", "--wandb", "off", "--no-report", "--out")
    process = adaptbench.start("run", suite, *options, "runs")
    deadline = time.monotonic() + 60
    while not (ranks := children(process.pid, "adaptbench.benchmarks.runs.ddp_process")) or not list(
        tmp_path.glob("runs/.partial-*/*.ckpt")
    ):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    assert len(ranks) == 1, "two runs of two devices at a time on two cores"
    os.kill(ranks[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and out.count("failed") >= 1
    assert adaptbench("run", suite, *options, "runs").returncode == 0
    assert adaptbench("run", suite, *options, "whole").returncode == 0
    assert contents(tmp_path / "runs") == contents(tmp_path / "whole") != {}


def test_devices_say_what_the_trainer_takes_and_which_is_the_first():
    two = Devices.joined([Devices("cuda", (2,)), Devices("cuda", (5,))])
    assert two == Devices("cuda", (2, 5)) and two.first == torch.device("cuda:2")
    pair = TrainerOptions(devices=2)
    assert two.trainer_arguments(pair) == {"accelerator": "gpu", "devices": [2, 5]}
    assert Devices("cuda").trainer_arguments(pair) == {"accelerator": "gpu", "devices": [0, 1]}
    assert Devices("cuda").first == torch.device("cuda")
    assert Devices.joined([CPU, CPU]) == CPU and CPU.first == torch.device("cpu") and CPU.name == "cpu"
    assert CPU.trainer_arguments(pair) == {"accelerator": "cpu", "devices": 2}
