"""What a worker process does: one run after the other, each with one thread."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adaptbench.benchmarks.runs.checkpoints import Checkpoints, Interrupted
from adaptbench.benchmarks.runs.process import _Asked
from adaptbench.benchmarks.store.redaction import without_secrets
from adaptbench.benchmarks.store.store import LOG, RunElsewhere, Store
from adaptbench.benchmarks.suites.spec import CHECKPOINT_SECONDS, RUN_SPEC, RunSpec
from adaptbench.benchmarks.tracking.wandb_logger import Mode
from adaptbench.benchmarks.tracking.wandb_runs import Target, close_mirror, open_mirror

PRELOAD = ("adaptbench.benchmarks.runs.run", "adaptbench.benchmarks.suites.registry", "wandb")
"""What a process is forked from has imported, so that workers need not."""
EXIT_LOST = 75
LOG_CHARACTERS = 4000
"""Of a run's log, from its end, that the note of its failure keeps."""


@dataclass(frozen=True)
class Order:
    """What a worker is asked to do; nothing here changes a result.

    Attributes:
        run_id: id of the run.
        spec: JSON of the run's spec.
        root: folder of the runs.
        suite: name of the suite, by which W&B groups runs.
        name: what to call the run in W&B.
        wandb: how W&B follows.
        device: "cpu", "cuda", or with the indices of GPUs, as "cuda:0,1".
        models: whether W&B gets the weights too.
        checkpoint_seconds: time between two checkpoints within an epoch.
    """

    run_id: str
    spec: str
    root: Path
    suite: str
    name: str
    wandb: Mode
    device: str
    models: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS


@dataclass(frozen=True)
class Ended:
    """How a try of a run ended.

    Attributes:
        how: published; failed; left to another process that works on it; or stopped on request, with a checkpoint.
        reason: why it failed.
        log: the end of its log, where it failed.
        unmirrored: what went wrong with W&B; None if nothing did.
    """

    how: Literal["done", "failed", "elsewhere", "stopped"]
    reason: str = ""
    log: str = ""
    unmirrored: str | None = None


def work(order: Order, should_stop: Callable[[], bool] = _Asked.to_stop) -> Ended:
    """Runs one cell and publishes it, unless another process does; W&B follows as far as it can.

    Nothing that the run raises leaves this function; a failure is noted beside the run too, because who ordered the run
    may be gone by then.
    """
    store = Store(order.root)
    try:
        with store.claimed(order.run_id, on_loss=_give_up):
            if store.is_published(order.run_id):  # since it was ordered
                return Ended("elsewhere")
            with _logged(store.partial(order.run_id)):
                return _try(order, store, should_stop)
    except RunElsewhere:
        return Ended("elsewhere")
    except OSError as error:
        return Ended("failed", f"the folder of the runs cannot be written to: {error}")


def _try(order: Order, store: Store, should_stop: Callable[[], bool]) -> Ended:
    try:
        return _run(order, store, should_stop)
    except Interrupted:
        return Ended("stopped")
    except Exception as error:
        traceback.print_exc()
        reason = without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))
        ended = Ended("failed", reason, last_words(store, order.run_id))
        store.note_failure(order.run_id, ended.reason, ended.log)
        return ended


def last_words(store: Store, run_id: str) -> str:
    """Takes secrets out of the log of an unfinished run, and reads its end; empty where there is none."""
    try:
        return _clean(store.partial(run_id) / LOG)[-LOG_CHARACTERS:]
    except OSError:
        return ""


def _clean(log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace")
    clean = without_secrets(said)
    if clean != said:
        log.write_text(clean, encoding="utf-8")
    return clean


def _run(order: Order, store: Store, should_stop: Callable[[], bool]) -> Ended:
    spec = RUN_SPEC.validate_json(order.spec)
    if should_stop():
        raise Interrupted
    if order.wandb == "off":
        _execute(spec, order, store, None, should_stop)
        return Ended("done")
    target = Target(order.suite, order.wandb, models=order.models)
    mirror = open_mirror(spec, order.name, order.root, target)
    try:
        _execute(spec, order, store, mirror, should_stop)
    except BaseException:
        mirror.close({}, failed=True)
        raise
    return Ended("done", unmirrored=close_mirror(mirror, store, order.run_id, target))


def _execute(
    spec: RunSpec,
    order: Order,
    store: Store,
    mirror: Any,  # noqa: ANN401
    should_stop: Callable[[], bool],
) -> None:
    from adaptbench.benchmarks.runs.run import execute

    execute(spec, store, mirror, order.device, Checkpoints(order.checkpoint_seconds, should_stop))


def _give_up() -> None:
    """Ends this process at once: another one believed it dead and works on its run."""
    os._exit(EXIT_LOST)


@contextmanager
def _logged(folder: Path) -> Iterator[None]:
    """Lets everything that this process says while it works on a run go into the run's log."""
    folder.mkdir(parents=True, exist_ok=True)
    before = [os.dup(stream) for stream in (1, 2)]
    with (folder / LOG).open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for stream, descriptor in enumerate(before, start=1):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        with suppress(OSError):  # a published run has no log any more
            _clean(folder / LOG)
