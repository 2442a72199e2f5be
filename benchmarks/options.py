"""Options that several commands share, and what a shell completes."""

import math
import os
from typing import Annotated

import typer

from adaptbench.benchmarks.suites.registry import KINDS, TASKS, suite_files
from adaptbench.benchmarks.tracking import PROJECT as PROJECT


def _learners() -> list[str]:
    return [*KINDS["learner"], *KINDS["strategy"]]


def _only() -> list[str]:
    return [*(f"task={task}" for task in TASKS), *(f"learner={learner}" for learner in _learners())]


Suite = Annotated[
    str,
    typer.Argument(
        help="A built-in suite (see `adaptbench list suites`), or a YAML file.", autocompletion=lambda: [*suite_files()]
    ),
]
Learner = Annotated[str, typer.Argument(help="Your learner, as package.Class.", autocompletion=_learners)]
Task = Annotated[
    str | None,
    typer.Argument(help="A task (see `adaptbench list tasks`).", autocompletion=lambda: [*TASKS, *_learners()]),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        help="Your own encoder under every learner, as package.Class.", autocompletion=lambda: [*KINDS["encoder"]]
    ),
]
What = Annotated[
    str,
    typer.Argument(
        help="suites, tasks, learners or runs.", autocompletion=lambda: ["suites", "tasks", "learners", "runs"]
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        help="Only cells with this value, as KEY=VALUE; repeatable. KEY=A,B, or a key twice, means either.",
        autocompletion=_only,
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Argument(help="Folders of runs, bundles, and suites whose bundle ships; the folder `runs` by default."),
]
Jobs = Annotated[str, typer.Option(help="Runs at a time; `auto` means one per core (or as many as GPUs allow).")]
Wandb = Annotated[str, typer.Option(help="auto (online if you are logged in), online, offline or off.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and how long it would take.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="Number of seeds, from 0; those of the suite by default.")]
Detect = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="First say how many seeds and episodes it takes to see this difference: in points of accuracy, or in "
        "per cent of an error.",
    ),
]
Rates = Annotated[
    str,
    typer.Option(help="Learning rates of your learner, such as 0.001,0.002, of which validation chooses."),
]
Project = Annotated[str, typer.Option(envvar="WANDB_PROJECT", help="W&B's project.")]
Entity = Annotated[str, typer.Option(envvar="WANDB_ENTITY", help="W&B's user or team.")]
Bundles = Annotated[
    list[str] | None,
    typer.Option("--from", help="A bundle (or a folder of runs) whose runs count as finished; repeatable."),
]


def read_rates(text: str) -> tuple[float, ...]:
    """Reads learning rates between commas.

    Raises:
        ValueError: if one is not a positive number, or they stand there twice.
    """
    try:
        rates = tuple(float(each) for each in text.split(",")) if text else ()
    except ValueError:
        rates = (math.nan,)
    if not all(0 < rate < math.inf for rate in rates) or len(set(rates)) < len(rates):
        raise ValueError(f"Expected `--rates` to be different positive numbers, such as 0.001,0.002, but got `{text}`.")
    return rates


def set_wandb(project: str, entity: str) -> None:
    """Tells W&B where runs go, as its own variables do, and to be silent."""
    os.environ |= {"WANDB_SILENT": "true", "WANDB_PROJECT": project, **({"WANDB_ENTITY": entity} if entity else {})}
