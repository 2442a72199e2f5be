"""Episodes as pictures."""

import numpy as np
import pytest
from PIL import Image

from adaptbench.benchmarks.commands.show import draw_episode
from adaptbench.datamodules import omniglot
from adaptbench.datamodules.omniglot_splits import SPLITS, Split


@pytest.fixture
def small_omniglot(lookalike_archives, monkeypatch):
    """Omniglot, with the look-alike in the place of the official archives and of the split."""

    def halves(characters):
        rows = np.arange(len(characters))
        return Split(train=rows[:20], val=rows[20:30], test=rows[30:])

    monkeypatch.setitem(SPLITS, "vinyals", halves)
    monkeypatch.setitem(omniglot.OmniglotDataModule.__init__.__kwdefaults__, "archives", lookalike_archives)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_images_are_drawn(split, small_omniglot, tmp_path):
    sizes = []
    for shots in (1, 3):
        path = tmp_path / f"{shots}.png"
        draw_episode("omniglot", path, ways=3, shots=shots, split=split, seed=4)
        with Image.open(path) as image:
            sizes.append(image.size)
            assert len(image.convert("L").getcolors()) > 20
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1], "more shots, more rows"


def test_split_and_scope_choose_the_episode(small_omniglot, tmp_path):
    def picture(**arguments):
        path = tmp_path / "a.png"
        draw_episode("omniglot", path, ways=3, **arguments)
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))[100:].tobytes()  # below the title

    assert picture() == picture(split="vinyals") == picture(split="vinyals/test", scope="across")
    assert picture(split="val") == picture(split="vinyals/val") != picture()
    assert picture(scope="within") not in (picture(), picture(split="val"))


def test_glyphs_and_the_official_runs_are_drawn(real_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    for name in ("glyphs", "lake_runs", "glyphs_to_omniglot"):
        draw_episode(name, tmp_path / f"{name}.png", seed=3)
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width > 300 and len(image.convert("L").getcolors()) > 20


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
        ("sinusoid", {"ways": 5}, "`ways` to be left out for sinusoids"),
        ("sinusoid", {"shots": 0}, "`shots` to be a positive integer but got 0"),
        ("sinusoid", {"queries": -1}, "`queries` to be a positive integer but got -1"),
        ("sinusoid", {"split": "tset"}, "`--split` to be `train`, `val` or `test` but got `tset`"),
        ("sinusoid", {"scope": "within"}, "`--scope` to be left out for sinusoid, which has none, but got `within`"),
        ("glyphs", {"split": "lake/test"}, "`--split` to be `train`, `val` or `test` but got `lake/test`"),
        ("omniglot", {"split": "vinyals/tests"}, "or a split such as `lake` or `lake/val`, but got `vinyals/tests`"),
        ("omniglot", {"split": "vinylas"}, "`split` to be a known split such as 'vinyals'"),
        ("omniglot", {"scope": "inside"}, "`scope` to be 'across' or 'within' but got 'inside'"),
        ("omniglot", {"scope": "within", "ways": 8}, "so at most 6 ways are possible"),
        ("lake_runs", {"ways": 5}, "because the official runs have them"),
        ("lake_runs", {"seed": 20}, "`--seed` to be from 0 to 19"),
        ("sinusoid", {"seed": 100}, "`--seed` to be from 0 to 99"),
        ("sinusoid", {"seed": -1, "split": "train"}, "`--seed`"),
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
