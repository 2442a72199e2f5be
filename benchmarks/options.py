"""Options that several commands share."""

from typing import Annotated

import typer

Only = Annotated[
    list[str] | None,
    typer.Option(help="Only cells with this value, as KEY=VALUE; repeatable. KEY=A,B, or a key twice, means either."),
]
Sources = Annotated[
    list[str] | None,
    typer.Argument(help="Folders of runs, bundles, and suites whose bundle ships; the folder `runs` by default."),
]
Jobs = Annotated[str, typer.Option(help="Runs at a time; `auto` means one per core (or as many as GPUs allow).")]
Wandb = Annotated[str, typer.Option(help="auto (online if you are logged in), online, offline or off.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and how long it would take.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="Number of seeds, from 0; those of the suite by default.")]
