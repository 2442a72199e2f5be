"""Omniglot's protocols: scopes, the two axes of training data, drawn ways, and what cannot be had, for any size."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.class_task import drawings_each
from adaptbench.datamodules.episodes import EpisodeSize, episodes_digest
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.lake_runs import LakeRunsDataModule
from adaptbench.datamodules.omniglot import OmniglotDataModule
from adaptbench.datamodules.omniglot_splits import SPLITS, Split
from adaptbench.datamodules.sinusoid import SinusoidDataModule

ALPHABETS = {"Aleph": 10, "Beth": 7, "Gimel": 8, "Kaph": 9, "Zayin": 6}  # of the look-alike, in the order of its rows
TRAIN = TrainEpisodes(ways=3, shots=(1, 2), queries=2, pool=60, episodes=10)
TEST = EvalEpisodes(ways=3, shots=(1, 2), queries=3, episodes=20)
SIZE = EpisodeSize(3, 1, 3)
SINUSOIDS = Sampling(
    train=TrainEpisodes(shots=(5,), queries=5, pool=40), test=EvalEpisodes(shots=(5,), queries=5, episodes=2)
)


def interleaved(characters):
    """Every second character for training, the others for validation and test by turns: no part has an alphabet."""
    rows = np.arange(len(characters))
    return Split(rows[::2], rows[1::4], rows[3::4])


def by_alphabet(characters):
    """Aleph and Gimel for training, Beth and Zayin for validation, Kaph for test."""
    parts = {"Aleph": 0, "Gimel": 0, "Beth": 1, "Zayin": 1, "Kaph": 2}
    part = np.array([parts[alphabet] for alphabet, _ in characters])
    return Split(*(np.flatnonzero(part == number) for number in range(3)))


@pytest.fixture(scope="module")
def omniglot(lookalike, tmp_path_factory):
    """Makes tasks of the look-alike under two splits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("ADAPTBENCH_OMNIGLOT", str(lookalike.folder))
        patch.setitem(SPLITS, "interleaved", interleaved)
        patch.setitem(SPLITS, "by_alphabet", by_alphabet)

        def make(train=TRAIN, test=TEST, seed=0, **arguments):
            sampling = Sampling(train=train, test=test, seed=seed)
            return OmniglotDataModule(sampling, **{"split": "by_alphabet", "archives": lookalike.archives, **arguments})

        yield make


@pytest.fixture(scope="module")
def identities(omniglot):
    """Row of the character, number of quarter turns and number of the drawing of every image, by its bytes."""
    return {
        np.rot90(image, turn).tobytes(): (character, turn, number)
        for character, drawings in enumerate(omniglot().images.pixels)
        for number, image in enumerate(drawings)
        for turn in range(4)
    }


def classes_of(batch, identities):
    """Character and turn of each row of a batch's inputs, [M, 2]."""
    return np.array([identities[image.tobytes()][:2] for image in batch.inputs.numpy()])


def drawings_met(task, identities, batches=40):
    """Every drawing (character, number) that training meets."""
    images = torch.cat([task.train_batch(i).inputs for i in range(batches)] + [task.example_batch(0).inputs])
    return {identities[image.tobytes()][::2] for image in images.numpy()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ways=st.integers(2, 6),
    shots=st.integers(1, 10),
    queries=st.integers(1, 10),
    scope=st.sampled_from(["across", "within"]),
    split=st.sampled_from(["interleaved", "by_alphabet"]),
    rotations=st.sampled_from(["none", "train", "all"]),
    seed=st.integers(0, 3),
)
def test_any_episode_has_its_size_its_scope_and_no_query_in_its_support(
    omniglot, identities, ways, shots, queries, scope, split, rotations, seed
):
    fits = split == "by_alphabet" or scope == "across" or ways <= (8 if rotations == "all" else 2)
    train = TrainEpisodes(ways=ways, shots=(shots,), queries=queries, pool=(shots + queries) * ways * 2, episodes=8)
    test = EvalEpisodes(ways=ways, shots=(shots,), queries=queries, episodes=10)
    arguments = {"train": train, "test": test, "scope": scope, "split": split, "rotations": rotations, "seed": seed}
    if not fits:
        with pytest.raises(ValueError, match=r"episodes within an alphabet do not fit .* at most \d ways are possible"):
            omniglot(**arguments)
        return
    task = omniglot(**arguments)
    alphabets = np.repeat(np.arange(5), list(ALPHABETS.values()))
    for part, batch in (("train", task.train_batch(seed)), ("test", task.eval_batch("test", test.sizes[0], 10))):
        classes = classes_of(batch, identities)
        assert set(classes[:, 0].tolist()) <= set(task.characters[part].tolist())
        assert batch.support.shape == (len(batch.query), ways * shots)
        assert batch.query.shape == (len(batch.query), ways * queries)
        for support, support_y, query, query_y in zip(*batch[1:], strict=True):
            assert not set(support.tolist()) & set(query.tolist())
            assert len({*support.tolist(), *query.tolist()}) == ways * (shots + queries)
            assert support_y.sum(dim=0).tolist() == [shots] * ways and query_y.sum(dim=0).tolist() == [queries] * ways
            labels = torch.cat([support_y, query_y]).argmax(-1).tolist()
            pairs = {(label, *classes[row]) for label, row in zip(labels, [*support, *query], strict=True)}
            assert len(pairs) == len({pair[1:] for pair in pairs}) == ways
            if scope == "within":
                assert len({alphabets[character] for _, character, _ in pairs}) == 1


def test_every_alphabet_that_is_large_enough_is_as_likely_as_the_others(omniglot, identities):
    task = omniglot(scope="within", rotations="none", test=EvalEpisodes(ways=3, shots=(1,), queries=1, episodes=600))
    batch = task.eval_batch("val", EpisodeSize(3, 1, 1), 600)
    is_zayin = classes_of(batch, identities)[batch.support[:, 0].numpy(), 0] >= 34
    assert 240 < is_zayin.sum() < 360, "by characters it would be 277 of 600, with a smaller alphabet less"
    large = omniglot(
        scope="within", rotations="none", train=TrainEpisodes(ways=7, shots=(1,), queries=1, pool=56, episodes=9),
        test=EvalEpisodes(ways=7, shots=(1,), queries=1, episodes=50),
    ).eval_batch("val", EpisodeSize(7, 1, 1), 50)  # fmt: skip
    used = torch.cat([large.support.flatten(), large.query.flatten()])
    assert (classes_of(large, identities)[used, 0] < 17).all(), "Zayin has six characters only"


def test_scopes_and_seeds_of_splits_have_episodes_of_their_own(omniglot):
    digests = {episodes_digest(omniglot(scope=scope).eval_batch("test", SIZE, 20)) for scope in ("across", "within")}
    assert len(digests) == 2


@pytest.mark.parametrize("scope", ["across", "within"])
def test_fewer_drawings_lie_in_more_drawings(omniglot, identities, scope):
    train = TrainEpisodes(ways=3, shots=(1,), queries=1, pool=60, episodes=4)

    def met(**arguments):
        return drawings_met(omniglot(train=train, scope=scope, **arguments), identities)

    few, more = met(train_classes=8, images_per_class=2), met(train_classes=8, images_per_class=5)
    assert len(few) == 16 and len(more) == 40 and few < more
    assert more < met(train_classes=12, images_per_class=5)
    assert more == met(train_classes=8, train_images=40)
    assert met(train_classes=8, images_per_class=2, seed=1) != few


def test_a_total_of_drawings_is_shared_equally_while_classes_grow(omniglot, identities):
    train = TrainEpisodes(ways=3, shots=(1,), queries=1, pool=60, episodes=4)
    tasks = [omniglot(train=train, train_classes=n, train_images=36) for n in (3, 6, 12, 18)]
    for task, each in zip(tasks, (12, 6, 3, 2), strict=True):
        met = drawings_met(task, identities)
        counts = np.unique([character for character, _ in met], return_counts=True)[1]
        assert len(met) == 36 and set(counts.tolist()) == {each}


def test_all_drawings_are_met_as_they_were_before_there_was_a_choice(omniglot):
    batches = [omniglot(images_per_class=n).train_batch(3) for n in (None, 20)]
    assert episodes_digest(batches[0]) == episodes_digest(batches[1])


def test_fewer_drawings_change_no_evaluation(omniglot):
    digests = {
        episodes_digest(omniglot(**arguments).eval_batch("test", SIZE, 20))
        for arguments in ({}, {"images_per_class": 4}, {"train_classes": 9, "train_images": 36})
    }
    assert len(digests) == 1


def test_a_final_training_has_the_validation_characters_and_the_same_test(omniglot):
    apart, joined = omniglot(), omniglot(learn_from="train_and_val")
    both = np.concatenate([apart.characters["train"], apart.characters["val"]])
    assert sorted(joined.characters["train"]) == sorted(both) and joined.class_count("val") == 0
    assert joined.val_dataloader() == [] and len(apart.val_dataloader()) == 2
    first, second = (episodes_digest(task.eval_batch("test", SIZE, 20)) for task in (apart, joined))
    assert first == second
    assert sorted(omniglot(learn_from="train_and_val", scope="within").characters["train"]) == sorted(both)
    with pytest.raises(ValueError, match=r"`learn_from` to be 'train' or 'train_and_val' but got 'all'"):
        omniglot(learn_from="all")


def test_guards_of_a_final_training_compare_both_parts_with_the_test(omniglot):
    task = omniglot(learn_from="train_and_val")
    assert {finding.guard: finding.status for finding in task.guards()}["class overlap"] == "passed"
    task.characters["test"][0] = omniglot().characters["val"][0]
    failed = {finding.guard for finding in task.guards() if finding.status == "failed"}
    assert {"class overlap", "identical images"} <= failed


ON_TRAINING = EvalEpisodes(ways=3, shots=(1, 2), queries=3, episodes=20, on=("unseen", "seen", "held_out_drawings"))


@pytest.mark.parametrize("scope", ["across", "within"])
@pytest.mark.parametrize("rotations", ["none", "train", "all"])
def test_tests_on_training_have_its_characters_by_drawings_met_or_held_out(omniglot, identities, rotations, scope):
    task = omniglot(test=ON_TRAINING, images_per_class=8, rotations=rotations, scope=scope, train_classes=12)
    trained = drawings_met(task, identities)
    found = {}
    for part in ON_TRAINING.parts:
        images = task.eval_batch(part, SIZE, 20).inputs.numpy()
        found[part] = {identities[image.tobytes()] for image in images}
    characters = set(task.characters["train"].tolist())
    turns = set(range(4 if rotations == "all" else 1))
    for part in ("seen", "held_out_drawings"):
        assert {character for character, _, _ in found[part]} <= characters
        assert {turn for _, turn, _ in found[part]} == turns, "turned as in the test"
    assert {(character, number) for character, _, number in found["seen"]} <= trained
    assert not {(character, number) for character, _, number in found["held_out_drawings"]} & trained
    digests = {part: episodes_digest(task.eval_batch(part, SIZE, 20)) for part in ON_TRAINING.parts}
    assert len(set(digests.values())) == 3
    usual = omniglot(images_per_class=8, rotations=rotations, scope=scope, train_classes=12)
    assert digests["test"] == episodes_digest(usual.eval_batch("test", SIZE, 20))


def test_guards_know_that_a_test_on_training_shares_its_images(omniglot):
    task = omniglot(test=ON_TRAINING, images_per_class=8)
    found = {finding.guard: finding.status for finding in task.guards()}
    assert "failed" not in found.values() and found["seen and held out"] == "noted"
    assert "seen and held out" not in {finding.guard for finding in omniglot(images_per_class=8).guards()}


def test_ways_can_be_drawn_and_labels_keep_the_width_of_the_widest(omniglot):
    task = omniglot(
        train=TrainEpisodes(ways=(2, 5), shots=(1,), queries=1, pool=60, episodes=6),
        test=EvalEpisodes(ways=(2, 5), shots=(1, 2), queries=1, episodes=7),
    )
    assert task.targets == 5
    drawn = [int(task.train_batch(index).support.shape[1]) for index in range(60)]
    assert set(drawn) == {2, 5} and 15 < drawn.count(2) < 45
    assert [(size.ways, size.shots) for size in task.test.sizes] == [(2, 1), (2, 2), (5, 1), (5, 2)]
    for size, batch in zip(task.test.sizes, task.test_dataloader(), strict=True):
        assert batch.support_y.shape == (7, size.ways * size.shots, 5)
        assert (batch.query_y.sum(dim=1) > 0).sum(dim=1).tolist() == [size.ways] * 7


def test_all_characters_of_a_split_are_counted():
    assert OmniglotDataModule.training_classes({}) == 1028
    assert OmniglotDataModule.training_classes({"split": "small1", "train_classes": None}) == 136
    assert OmniglotDataModule.training_classes({"split": "small1", "train_classes": 50}) == 50
    assert LakeRunsDataModule.training_classes({}) == 792
    assert LakeRunsDataModule.training_classes({"learn_from": "train_and_val"}) == 964
    assert OmniglotDataModule.training_classes({"learn_from": "train_and_val", "split": "own"}) is None
    assert GlyphsDataModule.training_classes({}) is None


def test_protocols_say_what_makes_them_harder():
    protocol = OmniglotDataModule.protocol
    assert protocol({"scope": "within"}) == "vinyals, within alphabets, rotations in training"
    assert protocol({"scope": "across"}) == "vinyals, rotations in training"
    assert protocol({"split": "random", "rotations": "all"}) == "random (seed 0), rotations in training and test"
    assert protocol({"split": "random", "split_seed": 2, "rotations": "none"}) == "random (seed 2), no rotations"
    joined = {"learn_from": "train_and_val", "split": "lake"}
    assert protocol(joined) == "lake, trained on validation too, rotations in training"
    assert not any("other five" in remark for remark in LakeRunsDataModule.remarks(joined))
    assert any("for training too" in remark for remark in LakeRunsDataModule.remarks(joined))
    assert protocol({"images_per_class": 5}).endswith(", 5 drawings of a training class")
    assert protocol({"train_images": 2000}).endswith(", 2000 training drawings in all")
    assert OmniglotDataModule.remarks({"split": "random"})[0] == "An episode takes its characters from any alphabet."
    assert any("100 of the 1200" in remark for remark in OmniglotDataModule.remarks({"split": "random"}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scope": "inside"}, "`scope` to be 'across' or 'within' but got 'inside'"),
        ({"split_seed": 1}, "`split_seed` to be 0 for split 'by_alphabet', the only one, but got 1"),
        ({"images_per_class": 21}, "`images_per_class` to be an integer from 1 to 20 but got 21"),
        ({"images_per_class": 0}, "`images_per_class` to be an integer from 1 to 20 but got 0"),
        ({"test": ON_TRAINING}, "`images_per_class` to hold drawings out for the test but it holds none"),
        (
            {"test": ON_TRAINING, "images_per_class": 16},
            "In the held_out_drawings part, 3-way .* 4 shots and queries together",
        ),
        ({"images_per_class": 3}, "In the train part, 3-way episodes with 2 shots and 2 queries .* with 3 examples"),
        ({"images_per_class": 5, "train_images": 90}, "one of the arguments .* but got both"),
        ({"train_images": 100}, "multiple of the 18 training classes up to 360, such as 108, but got 100"),
        ({"train_images": 9000}, "up to 360, such as 360, but got 9000"),
        ({"train_classes": 19}, "`train_classes` to be an integer from 1 to 18 but got 19"),
        (
            {"test": EvalEpisodes(ways=3, shots=(18,), queries=3, episodes=1)},
            "In the test part, 3-way episodes with 18 shots and 3 queries .* 20 shots and queries together",
        ),
        (
            {
                "scope": "within",
                "train": TrainEpisodes(ways=31, shots=(1,), queries=1, pool=62, episodes=1),
                "test": EvalEpisodes(ways=31, shots=(1,), queries=1, episodes=1),
            },
            "31-way episodes within an alphabet do not fit into any of the test alphabets: the largest has 9 classes, "
            "so at most 9 ways are possible",
        ),
    ],
    ids=str,
)
def test_impossible_requests_say_what_is_possible(omniglot, arguments, message):
    with pytest.raises(ValueError, match=message):
        omniglot(**arguments)


@given(classes=st.integers(1, 50), available=st.integers(1, 20), data=st.data())
def test_equal_shares_are_equal_and_nested(classes, available, data):
    each = data.draw(st.integers(1, available))
    assert (
        drawings_each(classes, None, classes * each, available) == each == drawings_each(classes, each, None, available)
    )
    assert drawings_each(classes, None, None, available) == available


def found(target, source):
    return {finding.guard: (finding.status, finding.found) for finding in target.source_guards(source)}


def test_a_source_has_training_classes_of_the_target_or_other_data(omniglot, monkeypatch):
    target, fewer = omniglot(), omniglot(train_classes=8)
    assert found(target, fewer)["source classes"][0] == "passed"
    status, text = found(fewer, target)["source classes"]
    assert status == "failed" and "Training classes of the source that are none here: " in text
    status, text = found(target, omniglot(split="interleaved"))["source classes"]
    assert status == "failed" and "Classes of the source that are in the test: " in text and ", Kaph/" in text
    glyphs = GlyphsDataModule(Sampling(train=TRAIN, test=TEST), train_classes=20)
    assert found(target, glyphs)["source classes"] == (
        "passed",
        "The source's training classes are of other data; none of its classes is in the test.",
    )
    copied = np.concatenate(list(target.guarded_drawings("test")))
    monkeypatch.setattr(type(target), "known_near_duplicates", 3)
    monkeypatch.setattr(glyphs, "guarded_drawings", lambda part: iter([copied[:2]]))
    assert found(target, glyphs)["source near-duplicates"][0] == "noted"
    monkeypatch.setattr(glyphs, "guarded_drawings", lambda part: iter([copied]))
    assert found(target, glyphs)["source near-duplicates"][0] == "failed"


def test_a_source_has_no_drawing_that_is_held_out(omniglot):
    held_out = omniglot(test=ON_TRAINING, images_per_class=8)
    assert found(held_out, omniglot(images_per_class=8))["source images"][0] == "passed"
    assert found(held_out, omniglot())["source images"][0] == "failed"
    assert found(omniglot(images_per_class=8), omniglot())["source images"][0] == "passed"


def test_tasks_that_cannot_be_compared_are_no_sources(omniglot):
    target = omniglot()
    for source in (omniglot(image_size=14), SinusoidDataModule(SINUSOIDS)):
        assert found(target, source)["source classes"][0] == "failed"
