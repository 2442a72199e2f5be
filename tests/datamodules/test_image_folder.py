"""Images of one's own: any format that Pillow reads, unequal classes, strays, and what may be wrong with a folder."""

import os
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from adaptbench.benchmarks.own import new_suite
from adaptbench.benchmarks.suites.suite import SuiteError, load_suite
from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.image_files import folder_digest, image_files, load_folder
from adaptbench.datamodules.image_folder import ImageFolderDataModule

FORMATS = {
    "png": "L",
    "jpg": "RGB",
    "gif": "P",
    "bmp": "1",
    "webp": "RGBA",
    "tif": "I;16",
    "tiff": "CMYK",
    "ppm": "RGB",
}
SUITE = """
suite: mine
version: 1
description: Images of my own.
seeds: [0]
tasks:
  - task: {{name: image_folder, init_args: {{path: {path}}}}}
    train: {{ways: 2, shots: [1], queries: 1, pool: 12, episodes: 4}}
    test: {{ways: 2, shots: [1], queries: 2, episodes: 20}}
    encoder: {{name: strided, init_args: {{filters: 4}}}}
    budget: {{examples: 120}}
    learners:
      prototypes: {{learner: {{name: prototypes}}}}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def save(file, seed, mode="L", size=(40, 30)):
    file.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(seed).integers(256, size=size, dtype=np.uint8)
    if mode == "I;16":
        Image.fromarray(levels.astype(np.uint16) * 257).save(file)
    else:
        Image.fromarray(levels).convert(mode).save(file)


def fill(folder, counts, suffix="png", first=0):
    for number, (name, count) in enumerate(counts.items()):
        for image in range(count):
            save(folder / name / f"{image:03}.{suffix}", 1000 * (first + number) + image, FORMATS[suffix])


@pytest.fixture
def birds(tmp_path):
    folder = tmp_path / "my birds"
    fill(
        folder, {name: 4 + 3 * number for number, name in enumerate(("wren", "Hüttensänger", "a b", "tit", "owl", "d"))}
    )
    fill(folder / "more", {"rook": 5, "jay": 30, "kite": 8, "teal": 9}, first=10)
    return folder


def sampling(**changes):
    episodes = {"train": TrainEpisodes(ways=2, shots=(1,), queries=1, pool=12, episodes=4)}
    episodes["test"] = EvalEpisodes(ways=2, shots=(1, 2), queries=2, episodes=20)
    return Sampling(**episodes | changes)


def test_every_format_is_read(tmp_path):
    for number, (suffix, mode) in enumerate(FORMATS.items()):
        save(tmp_path / "images" / suffix / f"one.{suffix}", number, mode)
        save(tmp_path / "images" / suffix / f"two.{suffix.upper()}", number + 100, mode)
    for colour, shape in ((False, (16, 16)), (True, (3, 16, 16))):
        images = load_folder(tmp_path / "images", 16, colour=colour)
        assert images.pixels.shape == (2 * len(FORMATS), *shape) and images.pixels.dtype == np.uint8
        assert all(40 < image.mean() < 215 and image.std() > 10 for image in images.pixels)
        assert images.classes == tuple(sorted(FORMATS)) and set(images.counts) == {2}


def test_a_turned_photograph_is_set_upright_and_the_transparent_is_white(tmp_path):
    picture = np.zeros((8, 8), dtype=np.uint8)
    picture[:4] = 200
    tags = Image.Exif()
    tags[0x0112] = 3  # turned by 180 degrees
    (tmp_path / "images/one").mkdir(parents=True)
    Image.fromarray(picture).save(tmp_path / "images/one/a.png", exif=tags)
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "images/one/b.png")
    turned, clear = load_folder(tmp_path / "images", 8, colour=False).pixels
    assert turned[0, 0] == 0 and turned[7, 0] == 200
    assert (clear == 255).all()


def test_strays_are_left_out_and_links_followed(birds, tmp_path):
    before = image_files(birds)
    for name in (".DS_Store", "._000.png", "notes.txt", ".hidden/x.png", "__MACOSX/x.png"):
        (birds / "owl" / name).parent.mkdir(exist_ok=True)
        (birds / "owl" / name).write_bytes(b"no image")
    save(birds / "beside.png", 7)
    (birds / "more" / "loop").symlink_to(birds)
    assert image_files(birds) == before
    fill(tmp_path / "elsewhere", {"crow": 6}, first=20)
    (birds / "linked").symlink_to(tmp_path / "elsewhere/crow")
    assert len(image_files(birds)) == len(before) + 6


def test_batches_show_classes_of_their_own_part_only(birds):
    task = ImageFolderDataModule(sampling(), path=str(birds))
    owner = {task.images.pixels[row].tobytes(): row for row in range(len(task.images.pixels))}
    parts = {}
    for part in ("train", "val", "test"):
        batch = task.train_batch(0) if part == "train" else task.eval_batch(part, task.test.sizes[1], 20)
        rows = np.array([owner[image.numpy().tobytes()] for image in batch.inputs])
        classes = np.searchsorted(task.images.starts, rows, side="right") - 1
        parts[part] = set(classes.tolist())
        assert parts[part] <= set(task.classes[part].tolist())
        for support, labels in zip(batch.support, batch.support_y, strict=True):
            assert len({(classes[row], int(label)) for row, label in zip(support, labels.argmax(1), strict=True)}) == 2
    assert {finding.status for finding in task.guards()} <= {"passed", "noted"}


def test_every_image_of_a_large_class_can_be_drawn(birds):
    task = ImageFolderDataModule(sampling(), path=str(birds), fractions=(0.3, 0.3, 0.4))
    met = {image.numpy().tobytes() for index in range(200) for image in task.train_batch(index).inputs}
    assert len(met) == task.images.counts[task.classes["train"]].sum()
    assert task.example_batch(0).inputs.shape == (12, 28, 28)


def test_a_class_of_5000_images_stands_beside_one_of_5(tmp_path, capsys):
    for number in range(12):
        (tmp_path / "much" / str(number)).mkdir(parents=True)
        levels = np.random.default_rng(number).integers(256, size=(5000 if number == 3 else 5, 8, 8), dtype=np.uint8)
        for image, each in enumerate(levels):
            Image.fromarray(each).save(tmp_path / f"much/{number}/{image}.png", compress_level=0)
    episodes = TrainEpisodes(ways=2, shots=(1,), queries=2, pool=12, episodes=4)
    began = time.process_time()
    task = ImageFolderDataModule(sampling(train=episodes), path=str(tmp_path / "much"), image_size=8)
    assert {finding.status for finding in task.guards()} == {"passed"}
    (part,) = [part for part in ("train", "val", "test") if task.images.counts[task.classes[part]].max() == 5000]
    assert part == "train" and task.drawing_count("train") == 5
    drawn = [image.tobytes() for index in range(500) for image in task.train_batch(index).inputs.numpy()]
    assert time.process_time() - began < 30
    assert len(drawn) == 500 * 12 and len(set(drawn)) > 500  # many of the large class, whose images are drawn alike
    with pytest.raises(ValueError, match=r"take 9 images of a class. Classes with fewer: 11, such as \d+ with 5\."):
        many = EvalEpisodes(ways=2, shots=(5,), queries=4, episodes=4)
        ImageFolderDataModule(sampling(train=episodes, test=many), path=str(tmp_path / "much"), image_size=8)
    new_suite(tmp_path / "much", tmp_path / "much.yaml", Console())
    assert "2-way episodes. Next: adaptbench run" in capsys.readouterr().out


def test_folders_may_be_the_parts(tmp_path):
    for number, part in enumerate(("train", "val", "test")):
        fill(tmp_path / "cars" / part, {f"{part}{index}": 5 for index in range(2 + number)}, first=10 * number)
    task = ImageFolderDataModule(sampling(), path=str(tmp_path / "cars"), colour=True)
    assert [task.class_count(part) for part in ("train", "val", "test")] == [2, 3, 4]
    assert task.train_batch(0).inputs.shape[1:] == task.example_shape == (3, 28, 28)
    for name, value in (("fractions", [0.5, 0.2, 0.3]), ("split_seed", 0)):
        with pytest.raises(ValueError, match=f"Expected no argument `{name}` where folders are the parts but got"):
            ImageFolderDataModule(sampling(), path=str(tmp_path / "cars"), **{name: value})


@pytest.mark.parametrize("asked", ["many", True, 0, 12.5])
def test_a_number_of_training_classes_that_is_none_is_refused(birds, asked):
    with pytest.raises(ValueError, match=f"`train_classes` to be a positive integer but got {asked!r}"):
        ImageFolderDataModule.training_classes({"path": str(birds), "train_classes": asked})


def test_a_protocol_names_the_division_that_was_asked_for():
    for arguments, words in (
        ({}, "birds"),
        ({"split_seed": None, "fractions": None}, "birds"),
        ({"split_seed": 2}, "birds, 60/20/20 % of classes (seed 2)"),
        ({"fractions": [0.5, 0.2, 0.3]}, "birds, 50/20/30 % of classes (seed 0)"),
    ):
        assert ImageFolderDataModule.protocol({"path": "my/birds", **arguments}) == words


def test_a_class_that_is_too_small_is_named_or_left_out(birds):
    fill(birds, {"tiny": 3}, first=30)
    with pytest.raises(
        ValueError, match=r"take 4 images .* Classes with fewer: 1, such as tiny with 3\. `min_images: 4`"
    ):
        ImageFolderDataModule(sampling(), path=str(birds))
    task = ImageFolderDataModule(sampling(), path=str(birds), min_images=4)
    assert sum(task.class_count(part) for part in ("train", "val", "test")) == 10
    assert ImageFolderDataModule.training_classes({"path": str(birds), "min_images": 4}) == task.class_count("train")


def test_equal_images_in_two_parts_stop_a_run_and_are_named(birds):
    task = ImageFolderDataModule(sampling(), path=str(birds))
    one, other = (task.images.classes[task.classes[part][0]] for part in ("train", "test"))
    (birds / other / "copy.png").write_bytes((birds / one / "000.png").read_bytes())
    failed = [
        finding for finding in ImageFolderDataModule(sampling(), path=str(birds)).guards() if finding.status == "failed"
    ]
    assert f"{one}/000.png and {other}/copy.png" in failed[0].found


def test_an_image_that_is_twice_in_its_class_is_named(birds):
    one = ImageFolderDataModule(sampling(), path=str(birds)).images.classes[0]
    (birds / one / "copy.png").write_bytes((birds / one / "000.png").read_bytes())
    findings = {each.guard: each for each in ImageFolderDataModule(sampling(), path=str(birds)).guards()}
    found = findings["image twice in a part"]
    assert found.status == "noted" and f"{one}/000.png and {one}/copy.png" in found.found


def test_all_copies_and_near_copies_are_named_between_classes_and_within_one(birds):
    task = ImageFolderDataModule(sampling(), path=str(birds), image_size=8)
    train, other = (task.images.classes[row] for row in task.classes["train"][:2])
    test = task.images.classes[task.classes["test"][0]]

    def near(source, target, turns):
        levels = np.rot90(np.asarray(Image.open(birds / source)), turns).copy()
        levels[0, :3] = 255 - levels[0, :3]
        Image.fromarray(levels).save(birds / target)

    for number in range(4):
        (birds / train / f"copy {number}.png").write_bytes((birds / train / "001.png").read_bytes())
    for number, target in enumerate((train, other, test)):
        Image.fromarray(np.random.default_rng(number).integers(256, size=(8, 8), dtype=np.uint8)).save(
            birds / train / f"of {number}.png"
        )
        near(f"{train}/of {number}.png", f"{target}/near {number}.png", number)
    found = {each.guard: each for each in ImageFolderDataModule(sampling(), path=str(birds), image_size=8).guards()}
    copies = found["image twice in a part"]
    assert copies.named == tuple(f"{train}/001.png and {train}/copy {number}.png" for number in range(4))
    assert copies.found.startswith("4 pairs of images are equal, such as ") and copies.found.count(" and ") == 3
    for guard, number, target in (
        ("near-duplicates in a class", 0, train),
        ("near-duplicates of classes", 1, other),
        ("near-duplicates", 2, test),
    ):
        pair = {f"{train}/of {number}.png", f"{target}/near {number}.png"}
        assert found[guard].status == "noted" and [set(each.split(" and ")) for each in found[guard].named] == [pair]
        assert re.match(r"1 (of \d+ test images have|images almost equal)", found[guard].found)


def test_images_with_hardly_any_ink_or_of_other_grey_levels_are_no_near_duplicates(tmp_path):
    for number in range(30):
        levels = np.random.default_rng(number).integers(0, 128, size=(16, 16), dtype=np.uint8)
        if number % 2:
            levels[4:8, 4:8] = 255
        path = tmp_path / "night" / f"{number // 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).save(path)
    episodes = TrainEpisodes(ways=2, shots=(1,), queries=1, pool=8, episodes=2)
    night = sampling(train=episodes, test=EvalEpisodes(ways=2, shots=(1,), queries=1, episodes=4))
    found = ImageFolderDataModule(night, path=str(tmp_path / "night"), image_size=16).guards()
    assert [each.status for each in found if each.guard.startswith("near")] == ["passed"] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "nowhere"}, "a folder of images but nowhere is none"),
        ({"fractions": (0.5, 0.5, 0.5)}, "three shares with the sum 1"),
        ({"train_classes": 99}, "`train_classes` to be at most"),
        ({"image_size": 0}, "`image_size`"),
        ({"scope": "near"}, "'across' or 'within'"),
        ({"digest": "0"}, "not those of this run"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(birds, arguments, message):
    with pytest.raises((ValueError, DataUnavailable), match=message):
        ImageFolderDataModule(sampling(), **{"path": str(birds)} | arguments)


def test_a_file_that_is_no_image_is_named(birds):
    (birds / "owl/000.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DataUnavailable, match=r"owl/000\.png is not an image that can be read"):
        ImageFolderDataModule(sampling(), path=str(birds))


def test_a_damaged_cache_is_made_anew(birds, tmp_path):
    before = np.array(load_folder(birds, 12, colour=False).pixels)
    (array,) = (tmp_path / "cache").rglob("*.npy")
    array.write_bytes(array.read_bytes()[:-100] + bytes(100))
    assert np.array_equal(load_folder(birds, 12, colour=False).pixels, before)


def test_a_cache_that_cannot_be_locked_is_read(birds, tmp_path):
    before = np.array(load_folder(birds, 12, colour=False).pixels)
    (lock,) = (tmp_path / "cache").rglob("*.lock")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    assert np.array_equal(load_folder(birds, 12, colour=False).pixels, before)
    lock.with_suffix(".json").unlink()
    with pytest.raises(DataUnavailable, match=r"could not be kept in .*/folders \(Is a directory\); make room"):
        load_folder(birds, 12, colour=False)


def test_a_changed_image_is_another_run(birds, tmp_path):
    suite = tmp_path / "mine.yaml"
    suite.write_text(SUITE.format(path=f"'{birds}'"))
    first = [cell.spec.run_id for cell in load_suite(str(suite)).cells()]
    assert [cell.spec.run_id for cell in load_suite(str(suite)).cells()] == first
    os.utime(birds / "owl/000.png")
    assert [cell.spec.run_id for cell in load_suite(str(suite)).cells()] == first
    before = folder_digest(birds)
    save(birds / "owl/000.png", 12345)
    assert folder_digest(birds) != before
    assert [cell.spec.run_id for cell in load_suite(str(suite)).cells()] != first
    suite.write_text(SUITE.format(path="nowhere"))
    assert load_suite(str(suite)).cells()  # whether data are there is said when a run needs them
    suite.write_text(SUITE.format(path="[]"))
    with pytest.raises(SuiteError):
        load_suite(str(suite))


def test_test_episodes_depend_on_the_images_alone(birds):
    batches = [
        ImageFolderDataModule(sampling(seed=seed), path=str(birds)).eval_batch("test", (2, 1, 2), 5) for seed in (0, 1)
    ]
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))


def test_a_source_of_pretraining_holds_no_test_image(birds):
    task = ImageFolderDataModule(sampling(), path=str(birds), fractions=(0.3, 0.3, 0.4))
    other = ImageFolderDataModule(sampling(), path=str(birds), fractions=(0.3, 0.3, 0.4), split_seed=1)
    assert {finding.guard: finding.status for finding in task.source_guards(other)}["source images"] == "failed"
    assert {finding.guard: finding.status for finding in task.source_guards(task)}["source images"] == "passed"
