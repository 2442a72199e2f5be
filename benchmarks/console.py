"""What commands share: the terminal, options, and how a command ends with a complaint."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from subprocess import SubprocessError
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from adaptbench.datamodules.errors import DataUnavailable

console = Console(width=None if sys.stdout.isatty() else 110)
complaints = Console(stderr=True)
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


@contextmanager
def complaining() -> Iterator[None]:
    """Ends the command with one line: exit code 2 for what was asked wrongly, 1 for what failed, 130 for Ctrl-C."""
    try:
        yield
    except (ValueError, OSError, DataUnavailable, SubprocessError) as error:
        complaints.print(f"[red]error[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, ValueError) else 1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def show_version(wanted: bool) -> None:
    """Prints the version of this package, if it is wanted, and ends the command."""
    if wanted:
        try:
            console.print(metadata.version("adaptbench"), highlight=False)
        except metadata.PackageNotFoundError:
            console.print("a checkout that is not installed")
        raise typer.Exit
