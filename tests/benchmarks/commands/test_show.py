"""Episodes as pictures."""

import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.commands.show import GIVEN, PARTS, _draw_images, draw_episode
from adaptbench.benchmarks.suites.registry import TASKS
from adaptbench.datamodules import omniglot
from adaptbench.datamodules.base import EpisodeBatch, EpisodeSize
from adaptbench.datamodules.omniglot_splits import SPLITS, Split


@pytest.fixture
def small_omniglot(lookalike_archives, monkeypatch):
    """Omniglot, with the look-alike in the place of the official archives and of the split."""

    def halves(characters):
        rows = np.arange(len(characters))
        return Split(train=rows[:20], val=rows[20:30], test=rows[30:])

    monkeypatch.setitem(SPLITS, "vinyals", halves)
    monkeypatch.setitem(omniglot.OmniglotDataModule.__init__.__kwdefaults__, "archives", lookalike_archives)


@pytest.mark.parametrize("part", PARTS)
def test_images_are_drawn(part, small_omniglot, tmp_path):
    sizes = []
    for shots in (1, 3):
        path = tmp_path / f"{shots}.png"
        draw_episode("omniglot", path, ways=3, shots=shots, part=part, seed=4)
        with Image.open(path) as image:
            sizes.append(image.size)
            assert len(image.convert("L").getcolors()) > 20
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1], "more shots, more rows"


def test_part_split_and_scope_choose_the_episode(small_omniglot, tmp_path):
    def picture(**arguments):
        path = tmp_path / "a.png"
        draw_episode("omniglot", path, ways=3, **arguments)
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))[100:].tobytes()  # below the title

    assert picture() == picture(split="vinyals") == picture(part="test", split="vinyals", scope="across")
    assert picture(part="val") == picture(part="val", split="vinyals") != picture()
    assert picture(scope="within") not in (picture(), picture(part="val"))


@pytest.mark.parametrize("part", PARTS)
def test_a_stream_is_drawn_in_order_with_each_label_one_step_late(part, small_omniglot, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    draw_episode("omniglot-online", tmp_path / "a.png", ways=3, shots=4, part=part, seed=4)
    steps = [axes for axes in figures[0].axes if axes.images]
    assert len(steps) == 3 * 4
    asked = [axes.get_xlabel().removeprefix("predict: ") for axes in steps]
    assert sorted(asked) == [label for label in "012" for _ in range(4)]
    assert [axes.get_title().removeprefix("given: ") for axes in steps] == ["none", *asked[:-1]]
    images = {label: set() for label in asked}
    for axes, label in zip(steps, asked, strict=True):
        images[label].add(axes.images[0].get_array().tobytes())
    assert [len(drawings) for drawings in images.values()] == [4, 4, 4], "each drawing of a class is another one"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", sorted(set(TASKS) - {"image_folder"}))
def test_every_task_that_ships_is_drawn(name, part, real_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    draw_episode(name, tmp_path / "a.png", part=part, seed=3)
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 300 and len(image.convert("L").getcolors()) > 20


def test_a_folder_of_images_is_drawn(tmp_path):
    for name, file in itertools.product("abcdefghijklmnopqrstuvwxyz", range(4)):
        (tmp_path / "mine" / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 8 * ord(name) % 251 + file).save(tmp_path / "mine" / name / f"{file}.png")
    draw_episode("image_folder", tmp_path / "a.png", path=str(tmp_path / "mine"))
    with pytest.raises(ValueError, match="path"):
        draw_episode("image_folder", tmp_path / "a.png")


def test_the_seed_chooses_the_episode(tmp_path):
    pictures = []
    for number, seed in enumerate((0, 0, 1)):
        path = tmp_path / f"{number}.png"
        draw_episode("sinusoid", path, seed=seed)
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("sinusoid", {"ways": 5}, "`ways` to be left out for sinusoid,"),
        ("sinusoid", {"shots": 0}, "`shots` to be a positive integer but got 0"),
        ("sinusoid", {"queries": -1}, "`queries` to be a positive integer but got -1"),
        ("sinusoid", {"part": "tset"}, "`--part` to be `train`, `val` or `test` but got `tset`"),
        ("sinusoid", {"split": "lake"}, "`--split` to be left out for sinusoid, which has none, but got `lake`"),
        ("sinusoid", {"scope": "within"}, "`--scope` to be left out for sinusoid, which has none, but got `within`"),
        ("glyphs", {"split": "lake"}, "`--split` to be left out for glyphs, which has none, but got `lake`"),
        ("omniglot", {"split": "vinylas"}, "`split` to be a known split such as 'vinyals'"),
        ("omniglot", {"scope": "inside"}, "`scope` to be 'across' or 'within' but got 'inside'"),
        ("omniglot", {"scope": "within", "ways": 8}, "so at most 6 ways are possible"),
        ("lake_runs", {"ways": 5}, "because the official runs have them"),
        ("lake_runs", {"seed": 20}, "`--seed` to be from 0 to 19"),
        ("sinusoid", {"seed": 100}, "`--seed` to be from 0 to 99"),
        ("sinusoid", {"seed": -1, "part": "train"}, "`--seed`"),
        ("omniglot-online", {"queries": 2}, "`--queries` to be left out for omniglot-online, whose steps are queries"),
        ("omniglot-online", {"shots": 20}, "20 shots and queries together, are possible"),
        ("sinusoids", {}, "Did you mean `sinusoid`"),
        ("omniglot", {"ways": 1}, "`ways` to be at least 2 but got 1"),
        ("omniglot", {"ways": 11}, "do not fit into 10 classes"),
        ("omniglot", {"shots": 19}, "do not fit into 10 classes with 20 examples each"),
    ],
)
def test_impossible_requests_are_explained(name, arguments, complaint, small_omniglot, tmp_path):
    with pytest.raises(ValueError) as error:
        draw_episode(name, tmp_path / "a.png", **arguments)
    assert complaint in str(error.value)
    assert not (tmp_path / "a.png").exists()


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="foo"):
        draw_episode("sinusoid", tmp_path / "a.foo")


def test_a_folder_or_a_name_without_ending_gets_a_picture_that_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out, path in (
        (".", "show-sinusoid.png"),
        (str(tmp_path), f"{tmp_path}/show-sinusoid.png"),
        ("mine", "mine.png"),
        ("v1.2", "v1.2"),
    ):
        result = CliRunner().invoke(app, ["show", "sinusoid", "--out", out])
        if out == "v1.2":
            assert result.exit_code == 2 and "2" in result.stderr and "png" in result.stderr
            continue
        assert result.exit_code == 0 and result.stdout == f"Picture: {path}\n"
        with Image.open(path) as image:
            assert image.format == "PNG"
    assert {each.name for each in tmp_path.iterdir()} == {"show-sinusoid.png", "mine.png"}


def test_a_notebooks_and_a_users_settings_of_matplotlib_change_nothing(tmp_path):
    """Nor do output of another encoding and a terminal of another kind."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: red\n")
    hostile = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(tmp_path),
        "PYTHONIOENCODING": "ascii",
    }
    pictures = []
    for name, changes in (("plain", {}), ("hostile", hostile)):
        command = [sys.executable, "-m", "adaptbench", "show", "sinusoid", "--out", f"{name}.png"]
        result = subprocess.run(command, cwd=tmp_path, env={**os.environ, **changes}, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, "")
        pictures.append((tmp_path / f"{name}.png").read_bytes())
    assert pictures[0] == pictures[1]


def test_classes_with_unequal_shots_stand_under_their_own_labels():
    labels = torch.eye(2)
    batch = EpisodeBatch(
        inputs=torch.arange(6, dtype=torch.uint8)[:, None, None].expand(6, 4, 4),
        support=torch.tensor([[0, 1, 2, 3]]), support_y=labels[[0, 1, 1, 1]][None],
        query=torch.tensor([[4, 5]]), query_y=labels[[1, 0]][None],
    )  # fmt: skip
    figure = Figure()
    _draw_images(figure, batch, 0, EpisodeSize(ways=2, shots=2, queries=1))
    shown = [[int(axes.images[0].get_array()[0, 0]) if axes.images else None for axes in figure.axes[row::2]]
             for row in (0, 1)]  # fmt: skip
    assert shown == [[0, None, None, 5], [1, 2, 3, 4]]
    assert sum(axes.spines["left"].get_edgecolor() == to_rgba(GIVEN) for axes in figure.axes if axes.images) == 4


@pytest.mark.slow
def test_a_run_shows_what_it_answered(write_suite, tmp_path):
    runs, picture = tmp_path / "runs", tmp_path / "answers.png"
    command = ["run", str(write_suite()), "--out", str(runs), "--wandb", "off", "--jobs", "1", "--no-report"]
    assert CliRunner().invoke(app, command).exit_code == 0
    for result in runs.glob("[!.]*/result.json"):
        content = json.loads(result.read_text())
        shown = CliRunner().invoke(app, ["show", "--run", str(result.parent), "--seed", "1", "--out", str(picture)])
        if content["kind"] == "pretrain":
            assert shown.exit_code == 2
            assert "is a pretraining" in shown.output
            continue
        assert shown.exit_code == 0, shown.output
        score = next(score for score in content["scores"] if score["metric"] == "mse")
        episodes = pd.read_parquet(result.parent / "episodes.parquet")
        own = episodes[(episodes["shots"] == score["shots"]) & (episodes["episode"] == 1)]["mse"].item()
        said = re.search(r"Mean squared error of \d+ queries: (\S+)\.\n", shown.output)
        assert float(said[1]) == pytest.approx(own, rel=5e-3)  # the very episode that was scored
        with Image.open(picture) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 10
    for wrong in (["--seed", "9999"], ["--shots", "77"], ["--split", "lake"], ["--part", "train"]):
        refused = CliRunner().invoke(app, ["show", "--run", str(result.parent), *wrong])
        assert refused.exit_code == 2
    assert CliRunner().invoke(app, ["show"]).exit_code == 2
    absent = CliRunner().invoke(app, ["show", "--run", "best/prototypes-20way"])
    assert absent.exit_code == 2 and "best/prototypes-20way does not exist" in " ".join(absent.output.split())
