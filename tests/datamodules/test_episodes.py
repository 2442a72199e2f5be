"""Episodes: reproducible randomness, unbiased draws, honest digests, and episodes that give nothing away."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.nn import functional as F

from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, episodes_digest, rng_for, sample_distinct

# A chi-square test with a fixed seed passes or fails for ever; a sampler with a visible bias falls far below this.
SIGNIFICANT = 1e-3


SMALL = EpisodeSize(3, 2, 3)


def draw(rng=None, *, classes=7, per_class=6, size=SMALL, episodes=50):
    """Episodes over a pool whose inputs are their own row numbers."""
    return episodes_over_pool(rng or rng_for("pool"), torch.arange(classes * per_class), classes, size, episodes)


def test_rng_stays_what_it_was():
    # Every published number depends on these: other ones need a new version of every suite.
    assert rng_for("omniglot", "train", 0, 1).integers(1000, size=5).tolist() == [986, 936, 940, 335, 111]
    assert rng_for("sinusoid", 0.0, "test", EpisodeSize(None, 5, 50), 600).random() == 0.02023481622311607
    assert rng_for().integers(1000, size=3).tolist() == [51, 360, 619]


def test_draws_stay_what_they_were():
    assert sample_distinct(rng_for("draws"), 2, 100, 4).tolist() == [[26, 56, 19, 80], [22, 65, 69, 13]]


def test_rng_depends_on_every_part_and_its_place():
    parts = [(), (0,), ("0",), (0.0,), (None,), (0, 1), (1, 0), ("01",), ("0", "1"), ([0, 1],), (False,), (-1,)]
    assert len({rng_for(*key).bit_generator.random_raw() for key in parts}) == len(parts)


def test_rng_is_new_each_time():
    first = rng_for("task", 1)
    first.random(10)
    assert rng_for("task", 1).random() == rng_for("task", 1).random() != first.random()


@given(seed=st.integers(0, 2**32), rows=st.integers(0, 20), population=st.integers(1, 300), share=st.floats(0.001, 1))
def test_distinct_numbers_are_distinct_and_in_range(seed, rows, population, share):
    size = max(1, round(share * population))
    numbers = sample_distinct(rng_for(seed), rows, population, size)
    assert numbers.shape == (rows, size) and numbers.dtype == np.int64
    assert ((0 <= numbers) & (numbers < population)).all()
    assert all(len(set(row)) == size for row in numbers.tolist())


@pytest.mark.parametrize(("population", "size"), [(6, 1), (6, 2), (6, 3), (5, 4), (4, 4)])
def test_every_ordered_draw_is_equally_likely(population, size):
    expected = 1000
    orders = list(itertools.permutations(range(population), size))
    drawn = sample_distinct(rng_for("uniform"), expected * len(orders), population, size)
    place = population ** np.arange(size)
    counts = np.bincount(drawn @ place, minlength=population**size)
    assert counts.sum() == counts[np.array(orders) @ place].sum()
    assert chisquare(counts[np.array(orders) @ place]).pvalue > SIGNIFICANT


@pytest.mark.parametrize("size", [0, -1, 5])
def test_impossible_draw_is_refused(size):
    with pytest.raises(ValueError, match=rf"`size` to be between 1 and the population of 4 but got {size}\.$"):
        sample_distinct(rng_for(), 1, 4, size)


@pytest.mark.parametrize("field", EpisodeBatch._fields)
def test_digest_sees_every_field(field):
    batch = draw(episodes=4)
    values = getattr(batch, field).clone()
    values.view(-1)[-1] += 1
    changed = batch._replace(**{field: values})
    assert episodes_digest(changed) != episodes_digest(batch)
    assert episodes_digest(EpisodeBatch(*(tensor.clone() for tensor in batch))) == episodes_digest(batch)


def test_digest_sees_shape_type_and_order():
    batch = draw(episodes=4)
    others = [
        batch._replace(support=batch.support.reshape(2, -1)),
        batch._replace(support_y=batch.support_y.view(torch.int32)),
        batch._replace(support=batch.query, query=batch.support),
        EpisodeBatch(batch.inputs, *(rows.flip(0) for rows in batch[1:])),
    ]
    assert len({episodes_digest(other) for other in [batch, *others]}) == 5


def test_digest_of_an_episodes_own_ways_does_not_see_how_wide_labels_are():
    batch = draw(episodes=4)
    ways = batch.support_y.shape[-1]
    wide = batch._replace(support_y=F.pad(batch.support_y, (0, 7)), query_y=F.pad(batch.query_y, (0, 7)))
    assert episodes_digest(wide, ways) == episodes_digest(batch, ways) == episodes_digest(batch)
    assert episodes_digest(wide) != episodes_digest(batch)
    assert episodes_digest(wide._replace(query_y=wide.query_y.flip(1)), ways) != episodes_digest(batch)


def test_a_batch_goes_to_a_device_with_all_its_fields():
    batch = EpisodeBatch(*(torch.zeros(2, 3) for _ in EpisodeBatch._fields))
    assert {field.device.type for field in batch.to(torch.device("meta"))} == {"meta"}
    assert batch.to(torch.device("cpu")).inputs is batch.inputs


def test_digest_does_not_see_how_memory_is_laid_out():
    batch = draw(episodes=4)
    transposed = batch.support_y.transpose(0, 1).contiguous().transpose(0, 1)
    assert not transposed.is_contiguous()
    assert episodes_digest(batch._replace(support_y=transposed)) == episodes_digest(batch)


@given(
    seed=st.integers(0, 2**32),
    ways=st.integers(2, 6),
    spare_classes=st.integers(0, 4),
    shots=st.integers(1, 4),
    queries=st.integers(1, 4),
    spare=st.integers(0, 3),
)
def test_episodes_hold_what_their_size_says(seed, ways, spare_classes, shots, queries, spare):
    size, per_class = EpisodeSize(ways, shots, queries), shots + queries + spare
    batch = draw(rng_for(seed), classes=ways + spare_classes, per_class=per_class, size=size, episodes=5)
    assert batch.support.dtype == batch.query.dtype == torch.int64
    assert batch.support_y.dtype == batch.query_y.dtype == torch.float32
    for support, support_y, query, query_y in zip(*batch[1:], strict=True):
        rows = torch.cat([support, query]).tolist()
        assert len(set(rows)) == len(rows) == ways * (shots + queries)
        assert support_y.sum(0).tolist() == [shots] * ways and query_y.sum(0).tolist() == [queries] * ways
        targets = torch.cat([support_y, query_y])
        assert ((targets == 0) | (targets == 1)).all() and (targets.sum(1) == 1).all()
        meaning = set(zip(targets.argmax(1).tolist(), (batch.inputs[rows] // per_class).tolist(), strict=True))
        assert len(meaning) == ways == len(dict(meaning)) == len({character for _, character in meaning})


def test_unequal_shots_fill_their_range_and_add_up():
    batch = episodes_over_pool(rng_for(0), torch.zeros(400, 1), 20, EpisodeSize(5, 5, 3), 4000, unequal=True)
    shots = batch.support_y.sum(dim=1)
    assert (shots.sum(dim=1) == 25).all()
    assert (batch.query_y.sum(dim=1) == 3).all()
    assert sorted(set(shots.flatten().tolist())) == list(range(1, 10))
    assert (shots.mean(dim=0) - 5).abs().max() < 0.15, "no label has more than others"
    rows = torch.cat([batch.support, batch.query], dim=1)
    assert (rows.sort(dim=1).values.diff(dim=1) > 0).all(), "no example is twice in an episode"
    for part, labels in ((batch.support, batch.support_y), (batch.query, batch.query_y)):
        classes, label = part // 20, labels.argmax(dim=-1)
        assert all(
            len(set(zip(*pair, strict=True))) == 5 for pair in zip(classes.tolist(), label.tolist(), strict=True)
        )


def test_every_class_gets_every_label():
    batch = draw(classes=4, size=EpisodeSize(4, 1, 1), episodes=12_000)
    label_of = torch.zeros(12_000, 4, dtype=torch.int64)
    label_of.scatter_(1, batch.support // 6, batch.support_y.argmax(-1))
    counts = np.unique(label_of.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 24 and chisquare(counts).pvalue > SIGNIFICANT


@pytest.mark.parametrize("part", ["support", "query"])
def test_a_position_gives_no_answer_away(part):
    batch = draw(size=EpisodeSize(2, 2, 2), episodes=12_000)
    labels = getattr(batch, f"{part}_y").argmax(-1)
    counts = np.unique(labels.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 6 and chisquare(counts).pvalue > SIGNIFICANT


def test_support_and_query_positions_are_unrelated():
    batch = draw(size=EpisodeSize(2, 1, 1), episodes=12_000)
    same = (batch.support_y.argmax(-1)[:, 0] == batch.query_y.argmax(-1)[:, 0]).sum().item()
    assert chisquare([same, 12_000 - same]).pvalue > SIGNIFICANT


def test_every_example_stands_in_support_and_query_alike():
    batch = draw(episodes=20_000)
    for rows in (batch.support, batch.query):
        assert chisquare(np.bincount(rows.flatten().numpy(), minlength=42)).pvalue > SIGNIFICANT


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            EpisodeSize(8, 1, 1),
            r"^8-way episodes with 1 shots .* do not fit into 7 classes with 6 examples each: at most 7 "
            r"ways, and 6 shots and queries together, are possible\.$",
        ),
        (EpisodeSize(2, 4, 3), r"^2-way episodes with 4 shots and 3 queries a class do not fit into 7 classes"),
        (EpisodeSize(None, 1, 1), r"`size\.ways` to be a positive integer but got None\.$"),
    ],
)
def test_impossible_episodes_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        draw(size=size)


def test_a_pool_of_unequal_classes_is_refused():
    with pytest.raises(ValueError, match=r"`inputs` to hold equally many examples of 3 classes but got 20\.$"):
        episodes_over_pool(rng_for(), torch.arange(20), 3, EpisodeSize(2, 1, 1), 1)
