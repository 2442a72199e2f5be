"""The terminal that every command writes to, and how a command ends with a complaint."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from subprocess import SubprocessError

import typer
from rich.console import Console
from rich.markup import escape

from adaptbench.benchmarks.store.redaction import without_secrets
from adaptbench.datamodules.errors import DataUnavailable

console = Console(width=None if sys.stdout.isatty() else 110)
complaints = Console(stderr=True)


@contextmanager
def complaining() -> Iterator[None]:
    """Ends the command with one line: exit code 2 for what was asked wrongly, 1 for what failed, 130 for Ctrl-C."""
    try:
        yield
    except (ValueError, OSError, DataUnavailable, SubprocessError) as error:
        complaints.print(f"[red]error[/] {escape(without_secrets(str(error)))}", highlight=False, soft_wrap=True)
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
