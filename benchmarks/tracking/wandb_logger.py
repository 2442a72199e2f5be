"""Logs a run to Weights & Biases; no failure of W&B costs a result."""

import os
import queue
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytorch_lightning.loggers import WandbLogger

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["online", "offline", "off"]
INIT_SECONDS = 20
FINISH_SECONDS = 60
PATIENCE_SECONDS, PATIENCE_SHARE = 5.0, 0.1
"""A run waits at its end for W&B so long, or this share of the time that it took, whichever is more."""
ANSWER_SECONDS = 5.0
"""W&B's own process hangs if it does not even end a connection in so many seconds."""
LAST_ANSWER_SECONDS = 1.0
"""The same when this process ends, which may be killed if that takes long."""
_FORGETTING = threading.Lock()


def default_mode() -> Mode:
    """Online if somebody is logged in to W&B, else offline; `WANDB_MODE` decides first."""
    import wandb

    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("disabled", "offline"):
        return "off" if mode == "disabled" else "offline"
    try:
        return "online" if wandb.Api(api_key=None).api_key else "offline"
    except Exception:  # W&B raises several errors of its own without a login
        return "offline"


class WandbMirror:
    """Lightning's `WandbLogger` in its own thread, which is abandoned when it fails or hangs.

    The run only writes into a queue, so W&B cannot delay it. Rows that W&B has from an earlier try are not sent again.

    Args:
        run_id: the run's id in W&B.
        folder: folder of W&B's files.
        mode: online or offline.
        settings: further arguments of `WandbLogger`, such as project, group and config.
    """

    def __init__(
        self, run_id: str, folder: Path, mode: Literal["online", "offline"], settings: Mapping[str, Any]
    ) -> None:
        self._run_id, self._folder, self._mode, self._settings = run_id, folder, mode, settings
        self._since = time.monotonic()
        self._orders: queue.Queue[Callable[[WandbLogger], None] | None] = queue.Queue()
        self._rows_there = 0
        self._trouble: str | None = None
        self._session: Any = None
        self._began = False
        self._thread = threading.Thread(target=self._serve, name=f"wandb-{run_id}", daemon=True)
        self._thread.start()

    def log_curve(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Queues rows of `curve.parquet`, those of a step together; a resumed run starts with its first row."""
        points: dict[int, dict[str, float]] = {}
        for row in rows:
            points.setdefault(int(row["step"]), {})[f"{row['part']}/{row['metric']}"] = float(row["value"])
        for step, values in points.items():
            self._log_row({**values, "trainer/global_step": step})

    def log_scores(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Queues scores as curves over the shots of the test, which each row has under `scores/shots`."""

        def define(logger: WandbLogger) -> None:
            for name in dict.fromkeys(name for row in rows for name in row):  # by name, before Lightning's `*`
                logger.experiment.define_metric(name, step_metric="scores/shots")

        self._orders.put(define)
        for row in rows:
            self._log_row(row)

    def _log_row(self, values: Mapping[str, float]) -> None:
        def log(logger: WandbLogger) -> None:
            if self._rows_there:
                self._rows_there -= 1
            else:
                logger.experiment.log(dict(values))

        self._orders.put(log)

    def log_file(self, path: Path, name: str, kind: str) -> None:
        """Queues a file as an artifact."""
        self._orders.put(lambda logger: logger.experiment.log_artifact(str(path), name=name, type=kind))

    def log_report(self, tables: Mapping[str, "pd.DataFrame"], files: Sequence[Path]) -> None:
        """Queues tables, pictures (PNG) and pages (HTML)."""

        def log(logger: WandbLogger) -> None:
            import wandb

            values: dict[str, Any] = {
                # W&B can write None but not pandas' own missing values.
                f"tables/{name}": wandb.Table(dataframe=table.astype(object).where(table.notna(), None))
                for name, table in tables.items()
            }
            for file in files:
                if file.suffix == ".png":
                    values[f"figures/{file.stem}"] = wandb.Image(str(file))
                elif file.suffix == ".html":
                    values["page"] = wandb.Html(file.read_text(encoding="utf-8"), inject=False)
            logger.experiment.log(values)

        self._orders.put(log)

    @property
    def patience(self) -> float:
        """The seconds that a live run may wait for W&B at its end."""
        return max(PATIENCE_SECONDS, PATIENCE_SHARE * (time.monotonic() - self._since))

    def close(
        self,
        summary: Mapping[str, Any],
        failed: bool = False,
        seconds: float = FINISH_SECONDS,
        then: Callable[[], None] | None = None,
    ) -> str | None:
        """Queues the results and how the run ended, and waits for W&B at most `seconds`.

        Args:
            summary: the results.
            failed: whether the run failed.
            seconds: how long to wait. W&B goes on in its thread after that, as long as this process lives.
            then: called once W&B has everything, also after that time.

        Returns:
            What went wrong with W&B; None if nothing did.
        """
        self._orders.put(lambda logger: logger.experiment.summary.update(dict(summary)))
        self._orders.put(lambda logger: logger.experiment.finish(exit_code=int(failed)))
        if then is not None:
            self._orders.put(lambda _: then())
        self._orders.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._watch()
            # A pool that ends its workers sends SIGTERM meanwhile. Of two finalizers it can cut short only the first.
            Finalize(None, signal.signal, args=(signal.SIGTERM, signal.SIG_IGN), exitpriority=2)
            Finalize(None, self._leave, exitpriority=1)
            return f"no answer within {seconds:.0f} s"
        return self._trouble

    def _serve(self) -> None:
        try:
            logger = self._start_again_if_killed()
            self._began = True
            self._rows_there = logger.experiment.step
            while (order := self._orders.get()) is not None:
                order(logger)
        except Exception as error:
            self._trouble = " ".join(f"{type(error).__name__}: {error}".split())
            if _is_of_lost_service(error):
                self._forget_service()

    def _start_again_if_killed(self) -> WandbLogger:
        try:
            return self._start()
        except Exception as error:
            if not (_is_of_lost_service(error) and self._service_was_killed()):
                raise
        self._forget_service()
        return self._start()

    def _start(self) -> WandbLogger:
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        if self._mode == "offline":
            for earlier in self._folder.glob(f"wandb/offline-run-*-{self._run_id}"):  # all of it is logged again
                shutil.rmtree(earlier, ignore_errors=True)
        # Silences W&B before Lightning passes an argument that it warns about.
        self._session = wandb.setup(wandb.Settings(silent=True, mode=self._mode))
        logger = WandbLogger(
            id=self._run_id,
            save_dir=self._folder,
            offline=self._mode == "offline",
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                init_timeout=INIT_SECONDS, silent=True, console="off", disable_git=True, disable_code=True
            ),
            **self._settings,
        )
        _ = logger.experiment
        return logger

    def _watch(self) -> None:
        watchdog = threading.Timer(FINISH_SECONDS, self._end_hung_service)
        watchdog.daemon = True
        watchdog.start()

    def _end_hung_service(self) -> None:
        """Kills W&B's own process if it hangs: it may only wait for the server, which it does online and once begun."""
        if not self._thread.is_alive():
            return
        if self._mode == "offline" or not self._began or not self._service_answers(ANSWER_SECONDS):
            with suppress(Exception):
                self._kill_service()
        self._watch()

    def _leave(self) -> None:
        """Kills W&B's own process at the end of this one if it hangs, because nothing else would ever end it."""
        if self._thread.is_alive() and not self._service_answers(LAST_ANSWER_SECONDS):
            with suppress(Exception):
                self._kill_service()

    def _service_answers(self, seconds: float) -> bool:
        """Whether W&B's own process ends a connection that is ended here; true, too, if nobody takes connections."""
        try:
            kind, _, where = self._session._connection._proc.token.env_value.split("-", 2)[2].partition("-")
            unix = kind == "unix"
            with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as connection:
                connection.settimeout(seconds)
                connection.connect(where if unix else ("localhost", int(where.rpartition("-")[2])))
                connection.shutdown(socket.SHUT_WR)
                return connection.recv(1) == b""
        except TimeoutError:
            return False
        except Exception:  # it has ended, or this version of W&B connects in another way
            return True

    def _forget_service(self) -> None:
        """Lets the next run start W&B's own process anew, because this one is gone; not twice, for several runs."""
        import wandb

        with _FORGETTING, suppress(Exception):
            if wandb.setup() is self._session:
                self._kill_service()
                wandb.teardown(exit_code=0)

    def _service_was_killed(self) -> bool:
        """Whether W&B's own process ended by a signal, and not because this process ends."""
        with suppress(Exception):
            return bool(self._session._connection._proc._process.wait(1.0) < 0)
        return False

    def _kill_service(self) -> None:
        service = self._session._connection._proc._process
        service.kill()
        service.wait()


def _is_of_lost_service(error: Exception) -> bool:
    """Whether W&B's own process is gone, which W&B says in errors of several kinds."""
    return isinstance(error, ConnectionError) or type(error).__module__.startswith("wandb.sdk.mailbox")
