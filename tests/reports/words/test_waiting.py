"""A long wait says for whom."""

import io
import time

import pytest
from rich.console import Console

from adaptbench.reports import terminal
from adaptbench.reports.words import waiting


@pytest.fixture
def console(monkeypatch, request):
    """A log, or a terminal if the test asks for one."""
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.05)
    return Console(file=io.StringIO(), width=200, color_system=None, force_terminal=getattr(request, "param", False))


def test_a_long_wait_says_for_whom_and_a_short_one_nothing(console):
    with waiting.waiting_for("nobody", console):
        pass
    with waiting.waiting_for("Ray at nowhere:1", console):
        time.sleep(0.3)
    assert console.file.getvalue() == "waiting for Ray at nowhere:1\n"


@pytest.mark.parametrize("console", [True, False], ids=["terminal", "log"], indirect=True)
def test_a_report_is_waited_for_aloud(console, monkeypatch):
    monkeypatch.setattr(terminal, "print_report", lambda *_: None)
    monkeypatch.setattr(terminal, "write_report", lambda *_: time.sleep(0.3))
    terminal.show_report("runs", None, None, console)
    assert "waiting for the report, which is being drawn" in console.file.getvalue()
