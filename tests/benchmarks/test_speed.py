"""What `adaptbench speed` measures and says."""

import itertools
import json

import pytest
import torch
from typer.testing import CliRunner

from benchmarks import peers, speed
from benchmarks.cli import app


def counting(start, step):
    count = itertools.count(start, step)
    return lambda: float(next(count))


def test_medians_and_ratios_are_those_of_turns(monkeypatch):
    rows = (
        ("a rate", "tasks/s", {"slow": 3.0}, lambda: {"ours": counting(10, 10), "slow": counting(5, 1)}),
        ("a cost", "s", {}, lambda: {"ours": counting(1, 1), "peer": counting(4, 0)}),
        ("alone", "s", {None: 0.5}, lambda: {"ours": counting(1, 0)}),
    )
    monkeypatch.setattr(speed, "ROWS", rows)
    rate, cost, alone = speed.measure(3)
    assert (rate.ours, rate.theirs, rate.ratio, rate.floor) == (20, 6, 20 / 6, 3.0)
    assert (cost.ours, cost.theirs, cost.ratio, cost.floor) == (2, 4, 2.0, None)
    assert (alone.ours, alone.peer, alone.ratio, alone.floor) == (1, None, None, 0.5)
    assert [each.what for each in speed.measure(1, only="cost")] == ["a cost"]


@pytest.mark.slow
def test_the_command_prints_and_saves_a_table(tmp_path):
    out = tmp_path / "speed.json"
    result = CliRunner().invoke(app, ["speed", "--repeats", "1", "--only", "sinusoid", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "a bare PyTorch loop" in result.stdout
    saved = json.loads(out.read_text())
    (row,) = saved["rows"]
    assert row["ours"] > 0 and row["theirs"] > 0 and row["ratio"] == row["ours"] / row["theirs"]
    assert {"processor", "git_commit", "date", "versions"} <= saved["made"].keys()


def test_nothing_to_measure_is_an_error(tmp_path):
    result = CliRunner().invoke(app, ["speed", "--only", "nothing", "--out", str(tmp_path / "speed.json")])
    assert result.exit_code == 2
    assert "Expected a part of" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("library", ["easyfsl", "learn2learn"])
def test_peers_draw_tasks_of_the_same_size(library):
    pytest.importorskip(library)
    images = torch.rand(8, 20, 1, 28, 28)
    drawn = [
        sampler() for name, sampler in peers.samplers(images, ways=5, shots=1, queries=1).items() if library in name
    ]
    (task,) = drawn
    pictures = [part for part in task if isinstance(part, torch.Tensor) and part.ndim == 4]
    assert sum(map(len, pictures)) == 10 and {tuple(part.shape[1:]) for part in pictures} == {(1, 28, 28)}
