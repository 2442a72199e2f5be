"""Episodes with changed support sets: each keeps its protocol, and what has none is left out."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.laboratory.episodes import draw
from adaptbench.benchmarks.laboratory.laboratory import write_laboratory
from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeSize
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.image_folder import ImageFolderDataModule
from adaptbench.reports.laboratory_format import Laboratory

SUITE = """
suite: sizes
version: 1
description: Images in colour, and episodes that are too large for a page.
seeds: [0]
tasks:
  - task: {{name: image_folder, init_args: {{path: {path}, colour: true, image_size: 16}}}}
    train: {{ways: 2, shots: [1], queries: 1, pool: 12, episodes: 4}}
    test: {{ways: 2, shots: [1], queries: 2, episodes: 4}}
    encoder: {{name: strided, init_args: {{filters: 4}}}}
    budget: {{examples: 120, epochs: 1, val_episodes: 2}}
    learners:
      prototypes: {{learner: {{name: prototypes}}}}
  - task: {{name: glyphs, init_args: {{train_classes: 20}}}}
    train: {{ways: 20, shots: [5], queries: 1, pool: 120, episodes: 1}}
    test: {{ways: 20, shots: [5], queries: 1, episodes: 4}}
    encoder: {{name: strided, init_args: {{filters: 4}}}}
    budget: {{examples: 120, epochs: 1, val_episodes: 2}}
    learners:
      prototypes: {{learner: {{name: prototypes}}}}
"""


def glyphs(**arguments):
    train = TrainEpisodes(ways=3, shots=(2,), queries=2, pool=60, episodes=4)
    return GlyphsDataModule(
        Sampling(train=train, test=EvalEpisodes(ways=3, shots=(2,), queries=2, episodes=4)),
        **{"train_classes": 9} | arguments,
    )


@pytest.mark.parametrize("unequal", [False, True])
def test_an_episode_has_the_shots_of_its_protocol_and_other_images_besides(unequal):
    task, shots = glyphs(unequal_shots=unequal), set()
    for part in ("test", "seen"):
        for drawn in draw(task, EpisodeSize(3, 2, 1), part):
            counts = drawn.support_y.sum(dim=0).int().tolist()
            shots |= set(counts)
            assert len(drawn.support) == sum(counts) == 6 and len(drawn.query) == 6
            assert drawn.query_labels.bincount().tolist() == [2, 2, 2]
            images = drawn.images[torch.cat([drawn.support, drawn.others.unique(), drawn.query])]
            assert len(drawn.images) == len(images) == len(images.unique(dim=0)) == 15
            labels = drawn.support_y.argmax(dim=-1)
            assert (drawn.others == 6 + labels).all()
    assert shots == ({1, 2, 3} if unequal else {2})


def test_what_the_data_have_too_few_examples_for_has_no_episodes():
    assert draw(glyphs(images_per_class=4), EpisodeSize(3, 2, 1), "seen") == []
    assert len(draw(glyphs(images_per_class=5), EpisodeSize(3, 2, 1), "seen")) == 4


def test_a_page_shows_colours_and_leaves_out_what_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(90):
        path = tmp_path / "images" / str(number // 6) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = np.random.default_rng(number).integers(256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(levels).save(path)
    (tmp_path / "sizes.yaml").write_text(SUITE.format(path=tmp_path / "images"))
    runs = tmp_path / "runs"
    command = ["run", str(tmp_path / "sizes.yaml"), "--out", str(runs), "--wandb", "off", "--jobs", "1", "--no-report"]
    for arguments in (command, ["report", str(runs), "--laboratory"]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    (shown,) = Laboratory.model_validate_json(write_laboratory(runs, None).read_bytes()).explored
    assert (shown.task, shown.width, shown.height) == ("images", 16, 16)
    assert {episode.unseen for episode in shown.episodes} == {True} and len(shown.episodes) == 4
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.images))))
    train = TrainEpisodes(ways=2, shots=(1,), queries=1, pool=12, episodes=4)
    sampling = Sampling(train=train, test=EvalEpisodes(ways=2, shots=(1,), queries=2, episodes=4))
    task = ImageFolderDataModule(sampling, path=str(tmp_path / "images"), colour=True, image_size=16)
    images = torch.cat([drawn.images for drawn in draw(task, EpisodeSize(2, 1, 1), "test")]).numpy()
    assert np.array_equal(picture.reshape(-1, 16, 16, 3).transpose(0, 3, 1, 2), images)
