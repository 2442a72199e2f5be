"""Guards: each lets what is sound pass, and fails on the leak that it is there for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeSize, rng_for
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.guards import (
    alphabets_apart,
    classes_apart,
    fingerprints,
    images_apart,
    images_as_fed,
    images_differ,
    queries_apart,
    seen_as_said,
)
from adaptbench.datamodules.label_permutation import labels_permuted
from adaptbench.datamodules.near_duplicates import ink_of, near_duplicates
from adaptbench.datamodules.omniglot import OmniglotDataModule
from adaptbench.datamodules.omniglot_images import load_images
from adaptbench.datamodules.omniglot_near_duplicates import find_pairs, known_pairs
from adaptbench.datamodules.sinusoid import SinusoidDataModule
from adaptbench.datamodules.streams import as_streams, select_presentation

SIZE = EpisodeSize(5, 2, 3)
CLASSES = Sampling(
    train=TrainEpisodes(ways=5, shots=(1,), queries=3, pool=80, episodes=32),
    test=EvalEpisodes(ways=5, shots=(1,), queries=5, episodes=200),
)


def episodes(count=400, seed=0, size=SIZE):
    return episodes_over_pool(rng_for(seed), torch.zeros(200, 1), 20, size, count, width=size.ways)


def relabelled(batch, permutation):
    """The same episodes with the labels of each permuted; permutation [B, ways] gives new labels by old ones."""
    index = torch.as_tensor(permutation).argsort(dim=1)[:, None]
    take = lambda y: y.gather(2, index.expand(-1, y.shape[1], -1))  # noqa: E731
    return batch._replace(support_y=take(batch.support_y), query_y=take(batch.query_y))


def ranks(batch):
    """The rank of each label's class in its episode, [B, ways]: labels in the order of classes are not permuted."""
    labelled = np.where(batch.support_y.numpy() > 0, batch.support.numpy()[:, :, None], np.inf)
    return labelled.min(axis=1).argsort(axis=1).argsort(axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_sound_episodes_pass(seed):
    batches = [episodes(seed=seed), episodes(seed=seed + 100, size=EpisodeSize(3, 1, 1))]
    assert labels_permuted(batches).status == queries_apart(batches).status == "passed"


def unequal(count=400, seed=0):
    return episodes_over_pool(rng_for(seed), torch.zeros(400, 1), 20, EpisodeSize(5, 5, 3), count, unequal=True)


@pytest.mark.parametrize("seed", range(20))
def test_sound_episodes_of_unequal_shots_pass(seed):
    finding = labels_permuted([unequal(seed=seed), unequal(seed=seed + 100)], tests=1, drawings=20)
    assert finding.status == "passed"
    assert "uneven position" in finding.found


@pytest.mark.parametrize("leak", ["sorted by label", "most shots first", "same label beside each other"])
def test_leaks_of_unequal_shots_are_found(leak):
    batch = unequal(count=600)
    labels = batch.support_y.argmax(dim=-1)
    shots = batch.support_y.sum(dim=1)
    if leak == "most shots first":  # labels follow the number of shots, and the first example has the first label
        batch = relabelled(batch, (-shots).argsort(dim=1).argsort(dim=1).numpy())
        order = batch.support_y.argmax(dim=-1).argsort(dim=1)
    elif leak == "sorted by label":
        order = labels.argsort(dim=1)
    else:  # runs of labels, whose order differs between episodes
        ranks = torch.from_numpy(rng_for("runs").permuted(np.tile(np.arange(5), (600, 1)), axis=1))
        order = ranks.gather(1, labels).argsort(dim=1)
    take = order[..., None].expand_as(batch.support_y)
    batch = batch._replace(support=batch.support.gather(1, order), support_y=batch.support_y.gather(1, take))
    assert labels_permuted([batch]).status == "failed"


def test_labels_in_the_order_of_classes_are_found():
    sorted_ = relabelled(episodes(), ranks(episodes()))
    assert (np.diff(ranks(sorted_), axis=1) > 0).all(), "a test of nothing"
    assert labels_permuted([sorted_]).status == "failed"


def test_a_label_that_is_likelier_for_some_classes_is_found():
    batch, rng = episodes(2000), np.random.default_rng(0)
    order = ranks(batch)
    order[200:] = rng.permuted(order[200:], axis=1)  # only one episode in ten is not permuted
    assert labels_permuted([relabelled(batch, order)]).status == "failed"


def test_a_target_that_always_stands_first_is_found():
    batch = episodes()
    order = batch.query_y.argmax(-1).argsort(dim=1, stable=True)
    first = batch._replace(
        query=batch.query.gather(1, order), query_y=batch.query_y.gather(1, order[..., None].expand(-1, -1, 5))
    )
    assert (first.query_y[:, 0].argmax(-1) == 0).all(), "a test of nothing"
    assert labels_permuted([first]).status == "failed"


@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_target_that_always_stands_at_one_place_is_found(place):
    batch = episodes()
    labels = batch.query_y.argmax(-1)
    order = torch.arange(labels.shape[1]).repeat(len(labels), 1)
    order[:, place] = zero = (labels == 0).int().argmax(dim=1)
    order.scatter_(1, zero[:, None], torch.full_like(zero, place % labels.shape[1])[:, None])
    order[:, place] = zero
    moved = batch._replace(
        query=batch.query.gather(1, order), query_y=batch.query_y.gather(1, order[..., None].expand(-1, -1, 5))
    )
    assert (moved.query_y[:, place].argmax(-1) == 0).all(), "a test of nothing"
    assert labels_permuted([moved]).status == "failed"


@pytest.mark.parametrize("part", ["support", "query"])
@pytest.mark.parametrize("order", ["sorted", "in turns"])
def test_labels_in_order_from_a_random_place_are_found(part, order):
    """No position prefers a label; one label says what the next is."""
    batch, rng = episodes(), np.random.default_rng(0)
    rows, y = getattr(batch, part), getattr(batch, f"{part}_y")
    place = y.argmax(-1).argsort(dim=1, stable=True)
    if order == "in turns":
        place = place.unflatten(1, (5, -1)).transpose(1, 2).flatten(1)
    offsets = rng.integers(place.shape[1], size=len(place))
    place = torch.stack([row.roll(int(offset)) for row, offset in zip(place, offsets, strict=True)])
    ordered = {part: rows.gather(1, place), f"{part}_y": y.gather(1, place[..., None].expand(-1, -1, 5))}
    found = labels_permuted([batch._replace(**ordered)])
    assert found.status == "failed"


def following(batch, drawings, likes, rng):
    """The same episodes, in which each class gets the label that it likes, if no other class of the episode does."""
    classes = np.where(batch.support_y.numpy() > 0, batch.support.numpy()[:, :, None], 0).max(axis=1) // drawings
    followed = np.full_like(classes, -1)
    for episode, own in enumerate(classes):
        taken = {}
        for old, character in enumerate(own):
            taken.setdefault(likes[character], old)
        free = rng.permutation([label for label in range(5) if label not in taken]).tolist()
        new = {old: label for label, old in taken.items()}
        followed[episode] = [new[old] if old in new else free.pop() for old in range(5)]
    return relabelled(batch, followed)


def test_labels_that_follow_the_identity_of_the_class_are_found():
    """Each class prefers one label, and the classes that prefer it are shared out over all places in the pool."""
    batch, rng = episodes(2000), np.random.default_rng(0)
    cheating = following(batch, 10, rng.permutation(20) % 5, rng)
    assert labels_permuted([batch], 1, 10).status == "passed"
    assert labels_permuted([cheating], 1, 10).status == "failed"


@pytest.mark.parametrize(("pool", "count"), [(20, 32), (40, 64)])
def test_labels_that_follow_the_identity_of_the_class_in_training_are_found(pool, count):
    """Each class is in a few episodes of a batch, and the next batch has other classes."""
    rng, size = np.random.default_rng(0), EpisodeSize(5, 1, 2)
    draw = lambda index: episodes_over_pool(rng_for(index), torch.zeros(10 * pool, 1), pool, size, count)  # noqa: E731
    batches = [draw(index) for index in range(16)]
    cheating = [following(batch, 10, rng.permutation(pool) % 5, rng) for batch in batches]
    assert labels_permuted(batches).status == "passed"
    found = labels_permuted(cheating)
    assert found.status == "failed" and "class in training" in found.found
    some = [bad if index % 4 == 0 else good for index, (good, bad) in enumerate(zip(batches, cheating, strict=True))]
    assert labels_permuted(some).status == "failed", "one batch in four"


def test_streams_are_tested_once_and_by_their_support():
    streams = as_streams(episodes_over_pool(rng_for("streams"), torch.zeros(200, 1), 20, EpisodeSize(5, 4, 0), 400))
    sizes = [select_presentation(streams, number) for number in (1, 2, 3, 4)]
    once, often = labels_permuted(sizes[:1], 1, 10, True), labels_permuted(sizes, 4, 10, True)
    assert once.status == often.status == "passed" and once.found.split("by")[1] == often.found.split("by")[1]
    order = sizes[0].support_y.argmax(-1).argsort(dim=1, stable=True)
    ordered = streams._replace(
        support=streams.support.gather(1, order),
        support_y=streams.support_y.gather(1, order[..., None].expand(-1, -1, 5)),
    )
    assert labels_permuted([ordered], 1, 10, True).status == "failed"


@pytest.mark.parametrize(("known", "expected"), [(None, "noted"), (1, "noted"), (0, "failed")])
def test_an_image_that_is_two_examples_of_an_episode_is_counted(known, expected):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, size=(200, 7, 5), dtype=np.uint8))
    batch = episodes()._replace(inputs=fingerprints(images))
    assert images_differ([batch], known).status == "passed"
    images[int(batch.query[7, 2])] = images[int(batch.support[7, 1])]
    again = batch._replace(inputs=fingerprints(images))
    assert queries_apart([again]).status == "passed", "another row"
    finding = images_differ([batch, again], known)
    assert finding.status == expected and "1 images are in an episode" in finding.found


def test_fingerprints_tell_apart_what_differs_in_a_grey_level():
    image = np.random.default_rng(0).integers(0, 255, size=(28, 28), dtype=np.uint8)
    images = np.concatenate([np.tile(image, (785, 1, 1)), np.zeros((1, 28, 28), np.uint8)])
    images[np.arange(784), np.arange(784) // 28, np.arange(784) % 28] += 1
    assert len(fingerprints(torch.from_numpy(images)).unique()) == 786


def test_too_few_episodes_tell_nothing():
    assert labels_permuted([episodes(10)]).status == "noted"


def test_a_query_in_the_support_is_found():
    batch = episodes()
    batch.query[7, 2] = batch.support[7, 1]
    finding = queries_apart([episodes(seed=1), batch])
    assert finding.status == "failed" and "Episode 7 of 400" in finding.found


def test_an_image_in_two_parts_is_found():
    images = np.random.default_rng(0).integers(0, 256, size=(30, 4, 4), dtype=np.uint8)
    prints = fingerprints(torch.from_numpy(images)).numpy()
    parts = {"train": prints[:10], "val": prints[10:20], "test": prints[20:]}
    assert images_apart(parts).status == "passed"
    parts["test"] = np.concatenate([prints[20:], prints[3:4]])
    finding = images_apart(parts)
    assert (
        finding.status == "failed"
        and "Images of test that are in train too: 1, such as number 10, there 3" in finding.found
    )


@pytest.mark.parametrize(
    ("fed", "complete", "expected"),
    [([1, 2], True, "passed"), ([1, 5], True, "failed"), ([1, 8], True, "failed"), ([1, 8], False, "noted"),
     ([1, 3], False, "failed"), ([1, 5], False, "failed")],
)  # fmt: skip
def test_what_training_gets_must_be_images_of_the_training_part(fed, complete, expected):
    parts = {"train": np.array([1, 2]), "val": np.array([3, 4]), "test": np.array([5, 6])}
    assert images_as_fed(np.array(fed), parts, complete).status == expected


@pytest.mark.parametrize("mode", ["episodes", "examples"])
def test_what_training_images_returns_is_looked_at(mode, monkeypatch):
    task = GlyphsDataModule(replace(CLASSES, mode=mode), train_classes=30)
    assert statuses(task)["images as fed"] == "passed"
    honest = GlyphsDataModule.training_images

    def tested(self, rng, classes, drawings):
        images = honest(self, rng, classes, drawings)
        images[3] = leak
        return images

    leak = task.gather("test", np.arange(1), np.arange(1))[0]
    monkeypatch.setattr(GlyphsDataModule, "training_images", tested)
    assert statuses(task)["images as fed"] == "failed"
    leak = leak + (leak < 255).byte()
    assert statuses(task)["images as fed"] == "failed"


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("change", [0, 1, 3])
def test_near_duplicates_are_counted_in_each_turn(turns, change):
    images = (np.random.default_rng(0).random((60, 28, 28)) > 0.8).astype(np.uint8) * 255
    seen, tested, blank = images[:40].copy(), images[40:], np.zeros((1, 28, 28), dtype=np.uint8)
    assert near_duplicates(ink_of(seen), ink_of(blank), tested, known=None).status == "passed"
    planted = tested[7].copy()
    planted.ravel()[[3, 400, 700][:change]] ^= 255
    planted[planted > 0] -= 1
    seen[11] = np.rot90(planted, turns)
    for known, expected in ((None, "noted"), (1, "noted"), (0, "failed")):
        finding = near_duplicates(ink_of(seen), ink_of(blank), tested, known)
        assert finding.status == expected and finding.found.startswith("1 of 20 test images")
    among = near_duplicates(ink_of(seen), ink_of(blank), tested, 0, turned=True)
    assert among.status == ("failed" if turns == 0 else "passed"), "its turns are seen themselves"
    validation = near_duplicates(ink_of(blank), ink_of(seen), tested, 0, turned=True)
    assert validation.status == "failed", "validation is not turned"


def test_blank_images_are_compared_with_some_others_only():
    blank = np.zeros((3000, 28, 28), dtype=np.uint8)
    assert near_duplicates(ink_of(blank), ink_of(blank), blank, known=None).found.startswith("3000 of 3000")


@pytest.mark.parametrize("rotations", ["none", "train"])
@pytest.mark.parametrize("turns", [0, 1])
@pytest.mark.parametrize("train_classes", [None, 50])
def test_a_test_drawing_in_the_real_training_part_is_found(rotations, turns, train_classes, real_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    task = OmniglotDataModule(CLASSES, rotations=rotations, train_classes=train_classes)
    pixels = task.images.pixels.copy()
    drawing = pixels[task.characters["test"][30], 4].copy()
    drawing[np.unravel_index(drawing.argmax(), drawing.shape)] -= 1
    pixels[task.characters["train"][9], 6] = np.rot90(drawing, turns)
    task.images = replace(task.images, pixels=pixels)
    found = statuses(task)
    assert (found["near-duplicates"], found["identical images"]) == ("failed", "passed")


def test_the_near_duplicates_that_are_known_are_all_that_the_real_images_have(real_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    pairs = find_pairs(load_images(28))
    assert {pair for one, other in pairs for pair in ((one, other), (other, one))} == set(known_pairs())
    for argument, value in (("train_classes", 200), ("images_per_class", 5), ("split_seed", 3), ("rotations", "all")):
        task = OmniglotDataModule(CLASSES, split="random", **{argument: value})
        (finding,) = (each for each in task.guards() if each.guard == "near-duplicates")
        assert int(finding.found.split(" of ")[0]) == task.known_near_duplicates
        assert finding.status == ("noted" if task.known_near_duplicates else "passed")


def test_classes_in_two_parts_or_twice_in_one_are_found():
    assert classes_apart({"train": [1, 2], "test": [3]}).status == "passed"
    assert classes_apart({"train": [1, 2], "val": [4], "test": [2]}).found == "2 is in train and in test."
    assert classes_apart({"train": [1, 1], "test": [3]}).status == "failed"


def test_shared_alphabets_are_noted_where_a_split_has_them_and_fail_where_it_promises_none():
    parts = {"train": {"Greek", "Gurmukhi"}, "val": {"Latin"}, "test": {"Gurmukhi"}}
    assert alphabets_apart(parts, allowed=True)[:3] == (
        "alphabet overlap", "noted", "Shared alphabets: Gurmukhi in train and test."
    )  # fmt: skip
    assert alphabets_apart(parts, allowed=False).status == "failed"
    assert alphabets_apart({"train": {"Greek"}, "test": {"Latin"}}, allowed=False).status == "passed"


@pytest.mark.parametrize(
    ("seen", "held_out", "known", "expected"),
    [
        ([1, 2], [7, 8], 0, "noted"),
        ([1, 9], [7, 8], 0, "failed"),
        ([1, 2], [7, 3], 0, "failed"),
        ([1, 2], [7, 3], 1, "noted"),
        ([1, 2], [7, 3], None, "noted"),
    ],
)
def test_what_was_seen_is_of_training_and_what_was_held_out_is_not(seen, held_out, known, expected):
    tested = {"seen": np.array(seen), "held_out_drawings": np.array(held_out)}
    assert seen_as_said(np.arange(5), tested, known).status == expected


def statuses(task):
    return {finding.guard: finding.status for finding in task.guards()}


def test_sinusoids_pass_and_a_shared_function_is_found():
    train = TrainEpisodes(shots=(5,), queries=5, pool=40)
    test = EvalEpisodes(shots=(5,), queries=5, episodes=20)
    task = SinusoidDataModule(Sampling(train=train, test=test), train_functions=9)
    assert set(statuses(task).values()) == {"passed"}
    _, functions = task._eval_functions("test", task.test.sizes[0], 20)
    task.functions[4] = functions[17]
    assert statuses(task)["class overlap"] == "failed"


def test_glyphs_pass():
    task = GlyphsDataModule(CLASSES, train_classes=30)
    assert len(task.guards()) == 7 and set(statuses(task).values()) == {"passed"}


@pytest.mark.parametrize(
    ("split", "learn_from", "expected"),
    [
        ("vinyals", "train", "noted"),
        ("vinyals", "train_and_val", "noted"),
        ("lake", "train", "passed"),
        ("small1", "train", "passed"),
    ],
)
def test_the_real_omniglot_passes(real_cache, monkeypatch, split, learn_from, expected):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    task = OmniglotDataModule(CLASSES, split=split, learn_from=learn_from)
    found = statuses(task)
    assert found.pop("alphabet overlap") == expected
    assert task.known_twins == 4 and found.pop("image twice in an episode") in ("passed", "noted")
    assert found.pop("near-duplicates") in ("passed", "noted")
    assert len(found) == 5 and set(found.values()) == {"passed"}
    task.characters["train"][3] = task.characters["test"][5]
    leaking = statuses(task)
    assert leaking["class overlap"] == leaking["identical images"] == "failed"
