"""What `adaptbench speed` measures and says."""

import itertools
import json
import math
import subprocess
import time
from dataclasses import replace

import pandas as pd
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.speed import peers, races, scaling, speed
from adaptbench.benchmarks.speed.races import Reached, Stopwatch, side_by_side
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.reports.figures.scaling import draw_scaling, slopes


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
    result = CliRunner().invoke(app, ["speed", "--repeats", "1", "--only", "training steps", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "a bare PyTorch loop" in result.stdout
    saved = json.loads(out.read_text())
    (row,) = saved["rows"]
    assert row["ours"] > 0 and row["theirs"] > 0 and row["ratio"] == row["ours"] / row["theirs"]
    assert {"processor", "git_commit", "date", "versions"} <= saved["made"].keys()


@pytest.mark.parametrize("options", [[], ["--until", "0.9"]], ids=["rows", "races"])
def test_nothing_to_measure_is_an_error(tmp_path, options):
    result = CliRunner().invoke(app, ["speed", *options, "--only", "nothing", "--out", str(tmp_path / "speed.json")])
    assert result.exit_code == 2
    assert "Expected a part of" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--growth", "--until", "0.9"], "without `--until`"),
        (["--until", "0.9", "--only", "learn2learn"], "no other peer to race against"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(tmp_path, monkeypatch, options, reason):
    monkeypatch.setattr(peers, "MODULES", {"learn2learn": "nowhere"})
    result = CliRunner().invoke(app, ["speed", *options, "--out", str(tmp_path / "new" / "race.json")])
    assert result.exit_code == 2 and reason in " ".join(result.stderr.split())
    assert not list(tmp_path.glob("*/*"))


def test_what_is_measured_is_kept_when_something_fails_later(tmp_path, monkeypatch):
    def broken():
        raise subprocess.CalledProcessError(1, ["adaptbench"])

    rows = (("first", "s", {}, lambda: {"ours": counting(1, 0)}), ("second", "s", {}, lambda: {"ours": broken}))
    monkeypatch.setattr(speed, "ROWS", rows)
    out = tmp_path / "new" / "speed.json"
    result = CliRunner().invoke(app, ["speed", "--out", str(out)])
    assert result.exit_code == 1 and "non-zero exit status" in result.stderr
    assert "first, s" in result.stdout
    assert [row["what"] for row in json.loads(out.read_text())["rows"]] == ["first"]


def test_a_lost_race_has_no_number():
    won, lost, neither = (
        speed.Measurement("a race", "s", ours, "a peer", theirs, 2.0)
        for ours, theirs in ((10.0, math.inf), (math.inf, 10.0), (math.inf, math.inf))
    )
    assert (won.reached, lost.reached, neither.reached) == (True, False, False)
    assert [(each["ours"], each["theirs"], each["ratio"]) for each in speed.as_records([won, lost])] == [
        (10.0, None, None), (None, 10.0, None)
    ]  # fmt: skip
    console = Console(width=120)
    with console.capture() as shown:
        console.print(speed.as_table([lost]))
    assert "not reached" in shown.get() and "2 (missed)" in shown.get()


@pytest.mark.slow
@pytest.mark.parametrize("peer", races.PEERS)
def test_a_race_is_run(tmp_path, monkeypatch, peer):
    if races.library_of(peer) in peers.missing():
        pytest.skip(f"needs {races.library_of(peer)}")
    monkeypatch.setattr(races, "EPISODES", 50)
    monkeypatch.setattr(races, "MAML_LOOK_IMAGES", 640)
    out = tmp_path / "race.json"
    options = ["--until", "0.25", "--examples", "25600", "--threads", "1", "--only", peer, "--out", str(out)]
    result = CliRunner().invoke(app, ["speed", *options])
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["rows"]
    assert [row["what"].partition(", until")[0] for row in rows] == [
        ours for ours, theirs, _ in races.RACES if theirs == peer
    ]
    assert all(row["peer"] == peer and row["ours"] > 0 and row["theirs"] > 0 for row in rows)


def test_races_are_repeated_with_other_seeds_for_a_median(monkeypatch):
    monkeypatch.setattr(races, "_seconds", lambda contender, spec, **_: [1.0, 9.0, 2.0][spec.seed])
    (found,) = races.race(0.9, 1, 60, 25_600, only="own images", repeats=3)
    assert (found.ours, found.theirs) == (2.0, 2.0)


def test_a_library_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "MODULES", {"easyfsl": "nowhere.samplers", "learn2learn": "json"})
    monkeypatch.setattr(speed, "ROWS", (("a cost", "s", {}, lambda: {"ours": counting(1, 1)}),))
    result = CliRunner().invoke(app, ["speed", "--out", str(tmp_path / "speed.json")])
    assert result.exit_code == 0
    assert "easyfsl is not measured, because it cannot be imported: No module named 'nowhere'" in result.stderr
    assert "learn2learn" not in result.stderr


def test_numbers_are_written_out():
    rows = [
        speed.Measurement("much", "tasks/s", 182_900.4, "another", 101.64),
        speed.Measurement("alone", "s", 0.30141),
    ]
    console = Console(width=120)
    with console.capture() as shown:
        console.print(speed.as_table(rows))
    assert all(number in shown.get() for number in ("182,900", "101.6", "0.301")) and "e+" not in shown.get()


@pytest.mark.parametrize("name", [peers.IN_MEMORY, peers.EASYFSL])
def test_peers_draw_tasks_of_the_same_size(name):
    pytest.importorskip(name.partition(",")[0])
    images = torch.rand(8, 20, 1, 28, 28)
    task = peers.SAMPLERS[name](peers.InMemory(images), 5, 1, 1)()
    pictures = [part for part in task if isinstance(part, torch.Tensor) and part.ndim == 4]
    assert sum(map(len, pictures)) == 10 and {tuple(part.shape[1:]) for part in pictures} == {(1, 28, 28)}


def test_episodes_side_by_side_are_those_of_each_batch():
    batches = []
    for seed in range(3):
        inputs = torch.full((4, 28, 28), seed, dtype=torch.uint8)
        rows = torch.tensor([[3, 0]]), torch.tensor([[1, 2]])
        batches.append(EpisodeBatch(inputs, rows[0], torch.eye(2)[None], rows[1], torch.eye(2)[None]))
    joined = side_by_side(batches)
    assert joined.inputs[joined.support].flatten(2).amax(-1).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert joined.query.tolist() == [[1, 2], [5, 6], [9, 10]]


def test_a_race_is_won_or_lost_and_tests_take_no_time():
    batch = EpisodeBatch(torch.zeros(4, 1), *(torch.zeros(1, 2, dtype=torch.int64),), torch.eye(2)[None],
                         torch.zeros(1, 2, dtype=torch.int64), torch.eye(2)[None])  # fmt: skip

    class Task:
        class test:
            sizes, episodes = (None,), 1

        def eval_batch(self, *_):
            return batch

    won = Stopwatch(Task(), 0.9, limit=100)
    won.start()
    won.look(lambda _: time.sleep(0.3) or torch.zeros(1, 2, 2))
    with pytest.raises(Reached):
        won.look(lambda _: batch.query_y)
    assert won.seconds < 0.2
    lost = Stopwatch(Task(), 0.9, limit=-1)
    lost.start()
    with pytest.raises(Reached):
        lost.look(lambda _: torch.zeros(1, 2, 2))
    assert lost.seconds == math.inf


def test_a_cost_in_proportion_has_slope_one_and_a_panel(tmp_path):
    sizes = [10, 100, 1000]
    frame = pd.concat(
        pd.DataFrame({"against": name, "unit": "s", "others": "", "size": sizes, "cost": [c * 1e-6 for c in costs]})
        for name, costs in (("flat", [5, 5, 5]), ("line", [3, 20, 200]), ("square", [1, 10**2, 10**4]))
    )
    assert slopes(frame) == pytest.approx({"flat": 0, "line": 1, "square": 2})
    figure = draw_scaling(frame)
    assert [panel.get_xlabel() for panel in figure.axes] == ["flat", "line", "square"]
    assert "slope 2.00" in figure.axes[2].get_title()


@pytest.mark.slow
def test_growth_is_measured_written_and_drawn(tmp_path, monkeypatch):
    few = [replace(each, sizes=each.sizes[:2]) for each in scaling.SCALINGS if each.against in ("shots", "runs")]
    monkeypatch.setattr(scaling, "SCALINGS", few)
    result = CliRunner().invoke(app, ["speed", "--growth", "--repeats", "1", "--out", str(tmp_path / "growth.json")])
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "growth.json").read_text())["rows"]
    assert {(row["against"], row["size"]) for row in rows} == {("shots", 1), ("shots", 5), ("runs", 10), ("runs", 30)}
    assert all(row["cost"] > 0 for row in rows)
    assert {path.name for path in tmp_path.iterdir()} == {"growth.json", "growth.png", "growth-data.csv", "growth.pdf"}
