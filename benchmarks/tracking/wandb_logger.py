"""Logs a run to Weights & Biases; no failure of W&B costs a result."""

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytorch_lightning.loggers import Logger, WandbLogger

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["online", "offline", "off"]
INIT_SECONDS = 20
FINISH_SECONDS = 60
PATIENCE_SECONDS, PATIENCE_SHARE = 5.0, 0.1
"""A run waits at its end for W&B so long, or this share of the time that it took, whichever is more."""


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


class WandbMirror(Logger):
    """Lightning's `WandbLogger` in its own thread, which is abandoned when it fails or hangs.

    The run only writes into a queue, so W&B cannot delay it.

    Args:
        run_id: the run's id, here and in W&B.
        folder: folder of W&B's files.
        mode: online or offline.
        settings: further arguments of `WandbLogger`, such as project, group and config.
    """

    def __init__(
        self, run_id: str, folder: Path, mode: Literal["online", "offline"], settings: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self._run_id, self._folder, self._mode, self._settings = run_id, folder, mode, settings
        self._since = time.monotonic()
        self._orders: queue.Queue[Callable[[WandbLogger], None] | None] = queue.Queue()
        self._trouble: str | None = None
        self._session: object = None
        self._thread = threading.Thread(target=self._serve, name=f"wandb-{run_id}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "wandb"

    @property
    def version(self) -> str:
        """The run's id."""
        return self._run_id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Queues metrics of the training."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        self._orders.put(lambda logger: logger.log_metrics(values, step))

    def log_hyperparams(self, params: object, *_: object, **__: object) -> None:
        """Does nothing: the configuration is the spec, which W&B gets at the start."""

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
            return f"no answer within {seconds:.0f} s"
        return self._trouble

    def _serve(self) -> None:
        try:
            logger = self._start()
            while (order := self._orders.get()) is not None:
                order(logger)
        except Exception as error:
            self._trouble = " ".join(f"{type(error).__name__}: {error}".split())
            if isinstance(error, ConnectionError) or "Mailbox" in type(error).__name__:
                self._forget_service()

    def _start(self) -> WandbLogger:
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
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

    def _forget_service(self) -> None:
        """Lets the next run start W&B's own process anew, because this one is gone; not twice, for several runs."""
        import wandb

        with suppress(Exception):
            if wandb.setup() is self._session:
                wandb.teardown(exit_code=0)
