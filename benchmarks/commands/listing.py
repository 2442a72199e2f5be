"""The command `adaptbench list`: suites, tasks and learners, one per line; torch is imported by `--verbose` only."""

from collections.abc import Callable, Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from adaptbench.benchmarks.suites.registry import GRADIENT_LEARNERS, LEARNERS, STRATEGIES, TASKS, Named, load, suites
from adaptbench.reports.selection import suggest


def show_list(what: str, verbose: bool, console: Console) -> None:
    """Prints the suites, tasks or learners.

    Args:
        what: "suites", "tasks" or "learners".
        verbose: whether to add digests of test episodes to tasks, and forms to learners.
        console: gets the list.

    Raises:
        ValueError: if `what` is anything else.
    """
    tables: dict[str, Callable[[], Mapping[str, Named]]] = {
        "suites": suites,
        "tasks": lambda: TASKS,
        "learners": lambda: LEARNERS | GRADIENT_LEARNERS | STRATEGIES,
    }
    if what not in tables:
        raise ValueError(
            f"Expected `suites`, `tasks`, `learners` or `runs` but got `{what}`. {suggest(what, [*tables, 'runs'])}"
        )
    grid = Table.grid(*(Column(overflow="fold") for _ in range(4)), padding=(0, 2))
    for name, entry in tables[what]().items():
        grid.add_row(f"[bold]{name}[/]", entry.family, escape(entry.summary), escape(entry.reference))
    console.print(grid)
    if verbose and what == "learners":
        _list_forms(console)
    if verbose and what == "tasks":
        _list_protocols(console)


def _list_forms(console: Console) -> None:
    from adaptbench.benchmarks.runs.build import learner_size
    from adaptbench.benchmarks.suites.spec import Component

    for published, title in ((True, "Published forms"), (False, "Forms built here")):
        grid = Table.grid(padding=(0, 2))
        for name, entry in (LEARNERS | GRADIENT_LEARNERS).items():
            for form in (form for form in entry.forms if bool(form.source) == published):
                size = learner_size(Component(name=name, init_args=dict(form.init_args)), features=128, ways=5)
                arguments = ", ".join(f"{argument}: {value}" for argument, value in form.init_args.items())
                grid.add_row(f"[bold]{form.label}[/]", f"{size:,}", escape(f"{name} {arguments}"), escape(form.source))
        console.print(f"\n{title}, with parameters for 5 ways and 128 features, without the encoder:")
        console.print(grid, highlight=False)


def _list_protocols(console: Console) -> None:
    from adaptbench.benchmarks.commands.list_tasks import OWN_PROTOCOLS, PROTOCOLS, describe_protocol
    from adaptbench.datamodules.errors import DataUnavailable
    from adaptbench.reports.results.settings import Setting

    console.print("\nTest episodes: their digest, and the 1-shot accuracy of the nearest neighbour on pixels.")
    missing: dict[str, str] = {}
    for name, init_args in PROTOCOLS:
        try:
            for found in describe_protocol(name, init_args):
                size = Setting(None, found.size.ways, found.size.shots, shots_word=found.shots_word).episode_phrase
                pixels = "" if found.pixels is None else f"  pixels {100 * found.pixels:.1f} %"
                line = f"{found.digest}  {name}: {found.protocol}, {size}{pixels}"
                console.print(escape(line), highlight=False, soft_wrap=True)
        except DataUnavailable as error:
            missing[name] = str(error)
    for name, init_args in OWN_PROTOCOLS:
        line = f"{'of the images in FOLDER':<32}  {name}: {load('task', name).protocol(init_args)}"
        console.print(escape(line), highlight=False, soft_wrap=True)
    for name, reason in missing.items():
        console.print(f"[yellow]missing[/] {name}: {escape(reason)}", highlight=False, soft_wrap=True)
