"""What the documentation shows, done."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from rich.console import Console
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.own import new_suite
from adaptbench.benchmarks.suites.suite import load_suite

DOCS = Path(__file__).parents[2] / "docs"
CLASSES = dict(
    re.findall(r"`(\w+)\.py`:\n\n```python\n(.*?)```", (DOCS / "own.md").read_text(encoding="utf-8"), re.DOTALL)
)
REFUSED = "refused on sinusoid: "
WRONG = """
import torch
from residual import Residual


class Detached(Residual):
    def forward(self, examples):
        return super().forward(examples).detach()


class Narrow(Residual):
    def forward(self, examples):
        return super().forward(examples)[:, :3]


class Centred(Residual):
    def forward(self, examples):
        x = super().forward(examples)
        return x - x.mean(dim=0)


class Lookup(torch.nn.Module):
    def __init__(self, features, targets, outputs):
        super().__init__()

    def forward(self, support_x, support_y, query_x):
        return {}["key"]


class Short(Lookup):
    def forward(self, support_x, support_y, query_x):
        return query_x[..., :1]


class Silent(torch.nn.Module):
    pass


class Plain:
    pass


class Nameless(torch.nn.Identity):
    def __init__(self, example_shape):
        super().__init__()


class Constant(Lookup):
    def forward(self, support_x, support_y, query_x):
        return torch.zeros(*query_x.shape[:2], support_y.shape[-1])
"""


@pytest.fixture
def own_classes(tmp_path, monkeypatch):
    """The classes of the documentation, each in its file, and some that are wrong."""
    for name, code in {**CLASSES, "wrong": WRONG}.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    yield tmp_path
    for name in ("wrong", *CLASSES):
        sys.modules.pop(name, None)


def check(name):
    return CliRunner().invoke(app, ["check", name])


@pytest.mark.parametrize(
    ("name", "kind", "tasks"),
    [
        ("matching.Matching", "learner", ("glyphs",)),
        ("residual.Residual", "encoder", ("glyphs",)),
        ("ridge.Ridge", "strategy", ("glyphs",)),
        ("lines.Lines", "task", ("lines.Lines",)),
    ],
)
def test_every_class_of_the_documentation_passes_the_check(name, kind, tasks, own_classes):
    assert len([line for line in CLASSES[name.partition(".")[0]].splitlines() if line]) <= 30
    done = check(name)
    assert done.exit_code == 0, done.output
    assert f"{kind}." in done.stdout and all(f"works on {task}: " in done.stdout for task in tasks)
    assert kind == "task" or re.search(r"refused on sinusoid: (Matching|Residual|Ridge) ", done.stdout)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("wrong.Detached", "Expected a gradient to reach the weights of the encoder `wrong.Detached`"),
        ("wrong.Constant", "Expected a gradient to reach the weights of the learner `wrong.Constant`"),
        ("wrong.Narrow", "Expected the features of the encoder `wrong.Narrow` to have shape [80, 32] but got [80, 3]"),
        ("wrong.Centred", "other queries: A prediction moves by"),
        ("wrong.Nameless", "`wrong.Nameless` has no number `features`. It must be a torch.nn.Module with"),
        (
            "wrong.narrow",
            "Expected a class but `wrong.narrow` cannot be imported: wrong has no narrow. Did you mean `Narr",
        ),
        ("wrong.Lookup", "cannot be called: KeyError: 'key' (wrong.py, line 27)"),
        ("wrong.Short", "to predict [2, 4, 5] for 2 episodes of 4 queries but got [2, 4, 1]. It must be"),
        ("wrong.Silent", "Expected `wrong.Silent` to have `forward`"),
        ("wrong.Plain", "Expected `wrong.Plain` to have `forward`"),
        ("prototypes", "Expected the dotted path of a class"),
    ],
)
def test_a_class_that_lacks_something_is_refused_with_a_sentence(name, complaint, own_classes):
    done = check(name)
    assert (done.exit_code, "Traceback" in done.output) == (2, False)
    assert complaint in done.output
    assert complaint not in done.stdout or complaint not in done.stderr


@pytest.mark.slow
def test_a_lightning_program_of_ones_own_and_lightning_cli_run(tmp_path, monkeypatch):
    text = (DOCS / "lightning.md").read_text(encoding="utf-8")
    files = ("script.py", "calibrated.py", "main.py")
    for name, code in zip(files, re.findall(r"```python\n(.*?)```", text, re.DOTALL), strict=True):
        (tmp_path / name).write_text(code)
    (tmp_path / "cell.yaml").write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))

    def python(*arguments):
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)

    script = python("script.py")
    assert script.returncode == 0, script.stderr
    assert "test/accuracy/5-way 1-shot" in script.stdout and "test/accuracy/5-way 5-shot" in script.stdout
    own = (tmp_path / "script.py").read_text().replace("EpisodicModule(encoder", "Calibrated(encoder")
    logged = "assert 0 < trainer.callback_metrics['val/calibration_error'] < 1\n"
    own = f"from calibrated import Calibrated\n{own.replace('trainer.test', logged + 'trainer.test')}"
    (tmp_path / "own.py").write_text(own)
    measured = python("own.py")
    assert measured.returncode == 0, measured.stderr
    assert "test/accuracy/5-way 1-shot" in measured.stdout
    cli = python("main.py", "fit", "--config", "cell.yaml", "--trainer.default_root_dir", "kept")
    assert cli.returncode == 0, cli.stderr
    assert "`Trainer.fit` stopped: `max_epochs=2` reached." in cli.stdout + cli.stderr


@pytest.mark.slow
def test_the_learner_of_the_documentation_runs(adaptbench, write_suite, own_classes):
    suite = write_suite(
        learners=("attention",),
        **{
            "task": {"name": "glyphs"},
            "train": {"ways": 3, "shots": [1], "queries": 2, "pool": 30, "episodes": 4},
            "test": {"ways": 3, "shots": [1], "queries": 2, "episodes": 40},
            "encoder": {"name": "strided", "init_args": {"filters": 4}},
        },
    )
    ours_only = ("--only", "learner=Matching", "--jobs", "1", "--wandb", "off")
    result = adaptbench("run", suite, "--learner", "matching.Matching", *ours_only)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert "Matching" in result.stdout and "1 of 1 run finished" in result.stdout
    refused = adaptbench("run", "smoke", "--learner", "matching.Matching")
    assert refused.returncode == 2 and "needs a task of classification" in refused.stderr


@pytest.mark.slow
def test_the_metric_of_the_documentation_is_computed_of_finished_runs(adaptbench, write_suite, own_classes, tmp_path):
    suite = write_suite(
        "mine",
        learners=("attention", "fine_tuning"),
        seeds=(0, 1),
        **{
            "task": {"name": "glyphs", "init_args": {"train_classes": 20}},
            "train": {"ways": 3, "shots": [1], "queries": 2, "pool": 30, "episodes": 4},
            "test": {"ways": 3, "shots": [1, 2], "queries": 2, "episodes": 40},
            "encoder": {"name": "strided", "init_args": {"filters": 4}},
        },
    )
    assert adaptbench("run", suite, "--jobs", "1", "--wandb", "off").returncode == 0
    assert adaptbench("submit", "runs", "--predictions").returncode == 0
    done = subprocess.run([sys.executable, "metric.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if re.search(r"\d\.\d{3} +0\.\d{3}$", line)]
    assert len(rows) == 4 and "hardest tenth" in done.stdout and "Brier" in done.stdout
    for row in rows:
        hardest, _, brier, _ = map(float, row.split()[-4:])
        assert 0 <= hardest < 0.5 and 0 < brier < 2


def test_a_new_suite_fits_its_images_and_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for number in range(12):
        for image in range(3 + number):
            path = tmp_path / "my birds" / f"class {number}" / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 20 * number + image).save(path)
    new = ["new", "suite", "--images", "my birds"]
    done = CliRunner().invoke(app, new)
    assert done.exit_code == 0, done.output
    assert "Classes with fewer than 6 images are left out: class 0 (3), class 1 (4), class 2 (5). Next: " in done.output
    assert 'label: "my birds"' in (tmp_path / "my birds.yaml").read_text(encoding="utf-8")
    dry = CliRunner().invoke(app, ["run", "my birds.yaml", "--dry-run"])
    assert dry.exit_code == 0 and "suite" not in dry.stderr, dry.output
    assert "12 to do" in dry.stdout  # three learners and a pretraining, three seeds
    again = CliRunner().invoke(app, new)
    assert again.exit_code == 2 and "my birds.yaml exists" in again.stderr
    for title, name in (("2024", "2024"), ("true", "true"), ("ñ-birds", "birds"), ("猫", "images")):
        (tmp_path / "my birds").rename(tmp_path / title)
        new_suite(Path(title), tmp_path / "other.yaml", Console())
        assert load_suite(str(tmp_path / "other.yaml")).suite == name
        (tmp_path / "other.yaml").unlink()
        (tmp_path / title).rename(tmp_path / "my birds")
    assert CliRunner().invoke(app, ["new", "suite", "--images", "cache"]).exit_code == 1


NAMES = ("Vögel", "café crème", "ёлка", "猫", "snow man", "Ωmega", "zig zag", "star", "ladder", "house", "a'b", "x=y")
TRAINER = """
import pytorch_lightning as pl
from matching import Matching
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from residual import Residual

from adaptbench import (
    Categorical, EpisodicModule, EvalEpisodes, ImageFolderDataModule, Optimization, Sampling, TrainEpisodes,
)

sampling = Sampling(
    train=TrainEpisodes(ways=2, shots=(1, 5), queries=5, pool=70, episodes=4),
    test=EvalEpisodes(ways=2, shots=(1, 5), queries=5, episodes=20),
    steps_per_epoch=5,
)
task = ImageFolderDataModule(sampling, path="meine Bilder", colour=True, min_images=10)
encoder = Residual(task.example_shape, filters=8)
module = EpisodicModule(encoder, Matching(encoder.features, targets=2, outputs=2), Categorical(), Optimization(lr=0.01))
watched = {"monitor": "val/accuracy", "mode": "max"}
trainer = pl.Trainer(
    max_epochs=3, accelerator="cpu", logger=False, callbacks=[EarlyStopping(**watched), ModelCheckpoint(**watched)]
)
trainer.fit(module, datamodule=task)
(found,) = trainer.test(module, datamodule=task, ckpt_path="best", weights_only=True)
assert found["test/accuracy/2-way 5-shot"] > 0.5
"""


def draw_images(folder):
    """Draws twelve classes of small images, in unequal numbers, sizes and formats."""
    for number, name in enumerate(NAMES):
        rng = random.Random(number)
        stroke = [(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)) for _ in range(6)]
        (folder / name).mkdir(parents=True)
        for index in range(8 + 3 * number):
            width, height = rng.randrange(20, 70), rng.randrange(20, 70)
            image = Image.new("RGB", (width, height), "white")
            line = [((x + rng.gauss(0, 0.03)) * width, (y + rng.gauss(0, 0.03)) * height) for x, y in stroke]
            ImageDraw.Draw(image).line(line, fill=(20 * number, 90, 200 - 15 * number), width=3)
            image.save(folder / name / f"Bild {index} é.{('png', 'jpg', 'bmp')[index % 3]}")


@pytest.mark.slow
def test_a_learner_of_ones_own_on_images_of_ones_own_in_a_suite_and_in_a_trainer(
    adaptbench, own_classes, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw_images(tmp_path / "meine Bilder")
    made = adaptbench("new", "suite", "--images", "meine Bilder")
    assert "2-way episodes. Classes with fewer than 10 images are left out: Vögel (8)." in made.stdout, made.stderr
    assert "Next: adaptbench run 'meine Bilder.yaml'" in made.stdout
    suite = tmp_path / "meine Bilder.yaml"
    suite.write_text(suite.read_text(encoding="utf-8").replace("examples: 51200", "examples: 1540"), encoding="utf-8")
    shown = adaptbench("show", "image_folder", "--path", "meine Bilder", "--ways", "2")
    assert shown.returncode == 0, shown.stderr
    own = ("--learner", "matching.Matching", "--seeds", "1", "--jobs", "1", "--wandb", "off")
    done = adaptbench("run", suite.name, *own)
    assert (done.returncode, done.stderr) == (0, "") and "4 of 4 runs finished" in done.stdout
    assert "Matching" in done.stdout and "No learner is marked as best" not in done.stdout
    packed = adaptbench("submit", "runs")
    assert "meineBilder.zip: 4 of 4 runs" in packed.stdout, packed.stderr

    trained = subprocess.run([sys.executable, "-c", TRAINER], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert trained.returncode == 0, trained.stderr


@pytest.mark.slow
def test_a_regression_family_of_ones_own_beside_published_numbers(adaptbench, own_classes, tmp_path):
    text = (DOCS / "own.md").read_text(encoding="utf-8")
    (suite,) = re.findall(r"```yaml\n(suite: lines\n.*?)```", text, re.DOTALL)
    (tmp_path / "lines.yaml").write_text(
        suite.replace("48000", "2400").replace("tasks:", "published: theirs.csv\ntasks:")
    )
    (tmp_path / "theirs.csv").write_text(re.search(r"```csv\n(.*?)```", text, re.DOTALL)[1])
    done = adaptbench("run", "lines.yaml", "--seeds", "1", "--jobs", "1", "--wandb", "off")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    table = (tmp_path / "runs/report-lines/published.md").read_text(encoding="utf-8")
    assert "Their LSTM (original)" in table and "Their transformer (original)" in table
