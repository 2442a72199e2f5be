"""Omniglot's episodes: no class is in two parts, and batches depend on the protocol, the seed and their index."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeSize, ExampleBatch, episodes_digest
from adaptbench.datamodules.omniglot import OmniglotDataModule
from adaptbench.datamodules.omniglot_splits import SPLITS, Split

TRAIN = TrainEpisodes(ways=3, shots=(1, 2), queries=2, pool=60, episodes=10)
TEST = EvalEpisodes(ways=3, shots=(1, 2), queries=3, episodes=20)
SIZE = EpisodeSize(3, 1, 3)


def interleaved(characters):
    """Every second character for training, the others for validation and test by turns."""
    rows = np.arange(len(characters))
    return Split(rows[::2], rows[1::4], rows[3::4])


@pytest.fixture(scope="module")
def omniglot(lookalike, tmp_path_factory):
    """Makes tasks of the look-alike: 20 training, 10 validation and 10 test characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ADAPTBENCH_OMNIGLOT", str(lookalike.folder))
        patch.setitem(SPLITS, "interleaved", interleaved)

        def make(train=TRAIN, test=TEST, seed=0, mode="episodes", steps_per_epoch=100, val_episodes=100, **arguments):
            sampling = Sampling(
                train=train, test=test, seed=seed, mode=mode, steps_per_epoch=steps_per_epoch, val_episodes=val_episodes
            )
            return OmniglotDataModule(sampling, **{"split": "interleaved", "archives": lookalike.archives, **arguments})

        yield make


@pytest.fixture
def real(real_cache, monkeypatch):
    """Makes tasks of the real Omniglot."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    train = TrainEpisodes(ways=5, shots=(1, 5), queries=2, pool=128, episodes=20)
    test = EvalEpisodes(ways=5, shots=(1, 5), queries=5, episodes=50)

    def make(seed=0, **arguments):
        return OmniglotDataModule(Sampling(train=train, test=test, seed=seed), **arguments)

    return make


@pytest.fixture(scope="module")
def identities(omniglot):
    """Character and number of quarter turns of every image that there can be, by its bytes."""
    pixels = omniglot().images.pixels
    found = {
        np.rot90(image, turn).tobytes(): (character, turn)
        for character, drawings in enumerate(pixels)
        for image in drawings
        for turn in range(4)
    }
    assert len(found) == 4 * 40 * 20
    return found


def rows_digest(batch):
    """A digest of everything but the pixels, which may differ by a grey level between versions of Pillow."""
    return episodes_digest(batch._replace(inputs=torch.zeros(0)))


def parts(task):
    return [set(rows.tolist()) for rows in task.characters.values()]


def test_no_character_is_in_two_parts(omniglot):
    train, val, test = parts(omniglot())
    assert len(train) == 20 and len(val) == len(test) == 10
    assert len(train | val | test) == 40


def test_smaller_sets_of_characters_lie_in_larger_ones(omniglot):
    chosen = [parts(omniglot(train_classes=n))[0] for n in (3, 7, 20)]
    assert [len(characters) for characters in chosen] == [3, 7, 20]
    assert chosen[0] < chosen[1] < chosen[2] == parts(omniglot())[0]
    assert parts(omniglot(train_classes=7, seed=1))[0] != chosen[1]


@pytest.mark.parametrize("rotations", ["none", "train", "all"])
def test_batches_show_their_own_part_only(omniglot, identities, rotations):
    task = omniglot(rotations=rotations, train_classes=7)
    batches = {
        "train": torch.cat([task.train_batch(index).inputs for index in range(5)] + [task.example_batch(0).inputs]),
        "val": task.eval_batch("val", SIZE, 5).inputs,
        "test": task.eval_batch("test", SIZE, 5).inputs,
    }
    for part, images in batches.items():
        characters, turns = zip(*(identities[image.tobytes()] for image in images.numpy()), strict=True)
        assert set(characters) == set(task.characters[part].tolist()), part
        turned = rotations == "all" or (rotations == "train" and part == "train")
        assert set(turns) == ({0, 1, 2, 3} if turned else {0}), part


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_class_is_one_character_turned_one_way(omniglot, identities, index):
    batch = omniglot().train_batch(index)
    classes = [identities[image.tobytes()] for image in batch.inputs.numpy()]
    per_class = batch.support.shape[1] // 3 + 2
    groups = [set(classes[start : start + per_class]) for start in range(0, len(classes), per_class)]
    assert all(len(group) == 1 for group in groups)
    assert len(set.union(*groups)) == len(groups)
    for rows, targets in ((batch.support, batch.support_y), (batch.query, batch.query_y)):
        for episode in range(len(rows)):
            labels = targets[episode].argmax(-1).tolist()
            meaning = {(label, classes[row]) for label, row in zip(labels, rows[episode].tolist(), strict=True)}
            assert len(meaning) == 3


def test_turned_copies_of_a_character_meet_in_one_episode_as_different_classes(omniglot, identities):
    task = omniglot(train_classes=2)
    batch = task.train_batch(0)
    classes = [identities[image.tobytes()] for image in batch.inputs.numpy()]
    assert len(set(classes)) == 8 and len({character for character, _ in classes}) == 2


@pytest.mark.parametrize("shots", [1, 2])
def test_a_pool_is_filled_with_classes(omniglot, shots):
    task = omniglot(train=TrainEpisodes(ways=3, shots=(shots,), queries=2, pool=60, episodes=10))
    batch = task.train_batch(0)
    assert batch.inputs.shape == (60, *task.example_shape) and batch.inputs.dtype == torch.uint8
    assert batch.support.shape == (10, 3 * shots) and batch.query.shape == (10, 6)
    assert batch.support_y.shape == (10, 3 * shots, task.targets)
    assert len(torch.unique(batch.inputs, dim=0)) == 60


def test_few_classes_get_more_drawings_each(omniglot):
    one_of_each = omniglot(train_classes=5, rotations="none").train_batch(0)
    assert len(one_of_each.inputs) == 60  # 5 classes with 12 drawings
    everything = omniglot(train_classes=3, rotations="none", train=TrainEpisodes(
        ways=3, shots=(1,), queries=2, pool=200, episodes=10)).train_batch(0)  # fmt: skip
    assert len(torch.unique(everything.inputs, dim=0)) == len(everything.inputs) == 3 * 20


def test_too_few_classes_for_an_episode_are_refused(omniglot):
    with pytest.raises(ValueError, match="`train_classes` to give at least 3 classes, rotations included, but got 2"):
        omniglot(train_classes=2, rotations="none")


def test_batches_depend_on_seed_and_index_alone(omniglot):
    expected = [episodes_digest(omniglot(seed=4).train_batch(index)) for index in range(6)]
    task = omniglot(seed=4)
    task.eval_batch("val", SIZE, 10), task.example_batch(2)
    for index in (5, 0, 3, 3, 1, 4, 2):
        np.random.seed(index)
        torch.manual_seed(index)
        assert episodes_digest(task.train_batch(index)) == expected[index]
    assert len(set(expected)) == 6
    assert episodes_digest(omniglot(seed=5).train_batch(0)) != expected[0]


def test_changing_a_batch_changes_no_other(omniglot):
    task = omniglot()
    before = episodes_digest(task.train_batch(0))
    task.train_batch(0).inputs.zero_()
    assert episodes_digest(task.train_batch(0)) == before


def test_test_episodes_depend_on_the_protocol_alone(omniglot):
    expected = episodes_digest(omniglot().eval_batch("test", SIZE, 20))
    others = [
        {"seed": 1},
        {"train_classes": 5},
        {"rotations": "none"},
        {"train": TrainEpisodes(ways=3, shots=(1,), queries=1, pool=6, episodes=1)},
        {"mode": "examples", "steps_per_epoch": 3, "val_episodes": 7},
    ]
    for arguments in others:
        assert episodes_digest(omniglot(**arguments).eval_batch("test", SIZE, 20)) == expected, arguments


def test_test_episodes_differ_between_protocols(omniglot, monkeypatch):
    monkeypatch.setitem(SPLITS, "same by another name", interleaved)
    batches = [
        omniglot().eval_batch("test", SIZE, 20),
        omniglot().eval_batch("val", SIZE, 20),
        omniglot().eval_batch("test", EpisodeSize(3, 2, 3), 20),
        omniglot().eval_batch("test", EpisodeSize(3, 1, 2), 20),
        omniglot(rotations="all").eval_batch("test", SIZE, 20),
        omniglot(split="same by another name").eval_batch("test", SIZE, 20),
    ]
    assert len({rows_digest(batch) for batch in batches}) == len(batches)


TRIALS = EvalEpisodes(ways=2, shots=(1,), queries=1, episodes=40)


@pytest.mark.parametrize("part", ["val", "test"])
def test_one_person_draws_the_support_set_and_another_one_the_queries(omniglot, part):
    task = omniglot(test=TRIALS, scope="within", drawers="apart")
    batch = task.eval_batch(part, TRIALS.sizes[0], 40)
    people = task.images.pixels.shape[1]
    support, query = (rows.numpy() % people for rows in (batch.support, batch.query))
    assert (support == support[:, :1]).all() and (query == query[:, :1]).all()
    assert (support[:, 0] != query[:, 0]).all()
    assert len(set(support[:, 0])) > 3
    classes = [rows.sort(dim=1).values.numpy() // people for rows in (batch.support, batch.query)]
    np.testing.assert_array_equal(*classes)
    for rows, labels in ((batch.support, batch.support_y), (batch.query, batch.query_y)):
        by_label = rows.numpy()[np.arange(40)[:, None], labels.argmax(dim=-1).argsort(dim=1)] // people
        np.testing.assert_array_equal(
            by_label, batch.support.numpy()[np.arange(40)[:, None], batch.support_y.argmax(-1).argsort(dim=1)] // people
        )
    mixed = omniglot(test=TRIALS, scope="within").eval_batch(part, TRIALS.sizes[0], 40).support.numpy() % people
    assert (mixed != mixed[:, :1]).any()


@pytest.mark.parametrize(
    "arguments",
    [
        {"scope": "within", "drawers": "apart"},
        {"test": TRIALS, "drawers": "apart"},
        {"test": TRIALS, "scope": "within", "drawers": "both"},
    ],
    ids=str,
)
def test_drawers_apart_need_trials_within_alphabets(omniglot, arguments):
    with pytest.raises(ValueError, match="Expected argument `drawers` to be 'mixed'"):
        omniglot(**arguments)


def test_omniglot_with_unequal_shots_passes_its_guards(real):
    train = TrainEpisodes(ways=5, shots=(5,), queries=3, pool=256, episodes=32)
    test = EvalEpisodes(ways=5, shots=(5,), queries=10, episodes=400)
    sampling = Sampling(train=train, test=test, val_episodes=20)
    unequal, equal = (OmniglotDataModule(sampling, unequal_shots=each) for each in (True, False))
    assert {finding.guard for finding in unequal.guards() if finding.status == "failed"} == set()
    assert unequal.train_batch(0).support_y.sum(dim=1).std() > 1
    digests = {episodes_digest(task.eval_batch("test", test.sizes[0], 400)) for task in (unequal, equal)}
    assert len(digests) == 2
    assert OmniglotDataModule.protocol({"unequal_shots": True}).endswith("unequal shots")


def test_unequal_shots_need_room(omniglot):
    with pytest.raises(ValueError, match="possible"):
        omniglot(test=EvalEpisodes(ways=3, shots=(9,), queries=5, episodes=2), unequal_shots=True)
    train = TrainEpisodes(ways=3, shots=(4,), queries=2, pool=24, episodes=2)
    with pytest.raises(ValueError, match="`pool` to hold 27 examples but got 24"):
        omniglot(train=train, unequal_shots=True)


@pytest.mark.parametrize(("rotations", "classes"), [("none", 10), ("train", 10), ("all", 40)])
def test_an_evaluation_batch_holds_each_image_of_its_part_once(omniglot, rotations, classes):
    batch = omniglot(rotations=rotations).eval_batch("test", SIZE, 20)
    assert len(torch.unique(batch.inputs, dim=0)) == len(batch.inputs) == classes * 20
    assert batch.support.shape == (20, 3) and batch.query.shape == (20, 9)


@pytest.mark.parametrize(("rotations", "classes"), [("none", 7), ("train", 28), ("all", 28)])
def test_examples_are_labelled_with_their_training_class(omniglot, identities, rotations, classes):
    task = omniglot(rotations=rotations, train_classes=7, mode="examples")
    assert task.pretraining_outputs == classes
    batches = [task.example_batch(index) for index in range(10)]
    assert all(isinstance(batch, ExampleBatch) and batch.inputs.shape == (60, 28, 28) for batch in batches)
    labels = torch.cat([batch.targets for batch in batches]).tolist()
    images = torch.cat([batch.inputs for batch in batches]).numpy()
    meaning = {(label, identities[image.tobytes()]) for label, image in zip(labels, images, strict=True)}
    assert set(labels) == set(range(classes)) and len(meaning) == len({m for _, m in meaning}) == classes


class Witness(pl.LightningModule):
    """Trains nothing worth having, and remembers which batches it met."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.met = []

    def training_step(self, batch, batch_idx):
        inputs, *_ = batch
        self.met.append(inputs.numpy().tobytes())
        return self.weight.sum()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(epochs):
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.mark.parametrize("mode", ["episodes", "examples"])
def test_resumed_training_meets_the_batches_it_would_have_met(omniglot, tmp_path, mode):
    task = omniglot()
    draw = task.train_batch if mode == "episodes" else task.example_batch
    expected = [draw(index).inputs.numpy().tobytes() for index in range(9)]

    first, stopped = Witness(), trainer(epochs=2)
    stopped.fit(first, datamodule=omniglot(mode=mode, steps_per_epoch=3))
    stopped.save_checkpoint(tmp_path / "last.ckpt")
    second = Witness()
    trainer(epochs=3).fit(
        second, datamodule=omniglot(mode=mode, steps_per_epoch=3), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )

    assert first.met == expected[:6]
    assert second.met == expected[6:]


def test_evaluation_dataloaders_yield_one_batch_for_each_number_of_shots(omniglot):
    task = omniglot(val_episodes=4)
    assert [batch.support.shape for batch in task.val_dataloader()] == [(4, 3), (4, 6)]
    for batch, size in zip(task.test_dataloader(), TEST.sizes, strict=True):
        assert episodes_digest(batch) == episodes_digest(task.eval_batch("test", size, 20))


def test_chance_and_protocol(omniglot):
    assert omniglot().chance(EpisodeSize(20, 1, 1)) == pytest.approx(0.05)
    assert OmniglotDataModule.protocol({}) == "vinyals, rotations in training"
    assert OmniglotDataModule.protocol({"split": "lake", "rotations": "none"}) == "lake, no rotations"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": TrainEpisodes(shots=(1,), queries=1, pool=9)}, "`ways` and `episodes` to be given"),
        (
            {"test": EvalEpisodes(ways=4, shots=(1,), queries=1, episodes=1)},
            "as large in training.* 3 and 4",
        ),
        ({"rotations": "some"}, "`rotations` to be 'none', 'train' or 'all' but got 'some'"),
        ({"train_classes": 21}, "`train_classes` to be an integer from 1 to 20 but got 21"),
        ({"split": "interleave"}, "`split` to be a known split such as 'interleaved'"),
        ({"image_size": 0}, "`size` to be a positive integer but got 0"),
    ],
    ids=str,
)
def test_impossible_arguments_are_refused(omniglot, arguments, message):
    with pytest.raises(ValueError, match=message):
        omniglot(**arguments)


def test_real_splits_are_disjoint_and_nested(real):
    train, val, test = parts(real())
    assert [len(train), len(val), len(test)] == [1028, 172, 423] and len(train | val | test) == 1623
    assert parts(real(train_classes=50))[0] < parts(real(train_classes=200))[0] < train


def test_real_test_episodes_depend_on_the_protocol_alone(real):
    size = EpisodeSize(5, 1, 5)
    batch = real().eval_batch("test", size, 50)
    assert batch.inputs.shape == (423 * 20, 28, 28)
    other = real(seed=3, train_classes=64, rotations="none").eval_batch("test", size, 50)
    assert episodes_digest(other) == episodes_digest(batch)
    # Published numbers depend on these: other ones need a new version of every suite.
    assert rows_digest(batch) == "749f90b0176c123265c3587bd23f4159"


def test_real_training_batches_are_functions_of_their_index(real):
    task = real(train_classes=100)
    assert task.pretraining_outputs == 400
    batch = task.train_batch(7)
    assert 5 * 7 <= len(batch.inputs) <= 128 and batch.support.shape[0] == 20
    assert episodes_digest(real(train_classes=100).train_batch(7)) == episodes_digest(batch)


def test_augmentation_changes_training_images_only(omniglot):
    plain, augmented = omniglot(), omniglot(augment=True)
    assert torch.equal(plain.train_batch(3).support, omniglot().train_batch(3).support)
    assert not torch.equal(plain.train_batch(3).inputs, augmented.train_batch(3).inputs)
    assert torch.equal(augmented.train_batch(3).inputs, omniglot(augment=True).train_batch(3).inputs)
    assert not torch.equal(plain.example_batch(3).inputs, augmented.example_batch(3).inputs)
    for before, after in zip(plain.eval_batch("test", SIZE, 20), augmented.eval_batch("test", SIZE, 20), strict=True):
        assert torch.equal(before, after)
    assert "augmented" in type(augmented).protocol({"augment": True})


def test_training_classes_are_grouped_by_alphabet(omniglot):
    task = omniglot(rotations="train")
    groups = task.pretraining_groups
    names = [task.images.characters[row][0] for row in task.characters["train"] for _ in range(4)]
    assert len(groups) == task.pretraining_outputs and set(groups) == set(range(len(set(names))))
    assert len(set(zip(groups, names, strict=True))) == len(set(names)) > 1
