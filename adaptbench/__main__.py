"""The command line, as `python -m adaptbench`."""

from adaptbench.benchmarks.cli import app

app(prog_name="adaptbench")
