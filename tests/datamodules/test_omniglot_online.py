"""Streams of characters: every presentation is a query, and the streams are the same for all of them."""

from functools import partial

import numpy as np
import pytest
import torch

from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.class_episodes import episodes_over_pool
from adaptbench.datamodules.episodes import EpisodeSize, rng_for
from adaptbench.datamodules.omniglot_online import OmniglotOnlineDataModule
from adaptbench.datamodules.omniglot_splits import SPLITS, Split
from adaptbench.datamodules.streams import as_streams, select_presentation

WAYS, PRESENTATIONS = 3, 4


def interleaved(characters):
    rows = np.arange(len(characters))
    return Split(rows[::2], rows[1::4], rows[3::4])


@pytest.fixture
def make(lookalike_archives, lookalike, monkeypatch):
    monkeypatch.setitem(SPLITS, "interleaved", interleaved)
    sampling = Sampling(
        train=TrainEpisodes(ways=WAYS, shots=(PRESENTATIONS,), queries=1, pool=60, episodes=10),
        test=EvalEpisodes(ways=WAYS, shots=(1, 2, PRESENTATIONS), queries=1, episodes=30),
    )
    return partial(OmniglotOnlineDataModule, sampling, split="interleaved", archives=lookalike.archives)


@pytest.fixture
def online(make):
    return make()


@pytest.fixture
def streams():
    inputs = torch.arange(10 * 6).unsqueeze(-1)
    return as_streams(episodes_over_pool(rng_for("streams"), inputs, 10, EpisodeSize(WAYS, PRESENTATIONS, 0), 200))


def test_a_stream_presents_every_class_equally_often_and_no_drawing_twice(streams):
    assert streams.support.shape == (200, WAYS * PRESENTATIONS)
    assert (streams.support_y.sum(dim=1) == PRESENTATIONS).all()
    assert all(len(row.unique()) == len(row) for row in streams.support)
    classes = streams.support // 6
    for stream, labels in zip(classes, streams.support_y.argmax(-1), strict=True):
        pairs = set(zip(stream.tolist(), labels.tolist(), strict=True))
        assert len(pairs) == WAYS and len({label for _, label in pairs}) == WAYS


def test_every_step_is_a_query(streams):
    assert torch.equal(streams.query, streams.support) and torch.equal(streams.query_y, streams.support_y)


def test_presentations_part_the_stream(streams):
    parts = [select_presentation(streams, number) for number in range(1, PRESENTATIONS + 1)]
    together = torch.cat([part.query for part in parts], dim=1)
    assert torch.equal(together.sort(dim=1).values, streams.support.sort(dim=1).values)
    for number, part in enumerate(parts, start=1):
        assert (part.query_y.sum(dim=1) == 1).all()
        for stream, labels, row, label in zip(
            streams.support, streams.support_y, part.query[:, -1], part.query_y[:, -1], strict=True
        ):
            step = (stream == row).nonzero().item()
            assert labels[: step + 1].sum(dim=0)[label.argmax()] == number and torch.equal(labels[step], label)


def test_all_presentations_are_scored_on_the_same_streams(online):
    first, last = (online.eval_batch("test", EpisodeSize(WAYS, n, 1), 30) for n in (1, PRESENTATIONS))
    assert torch.equal(first.support, last.support) and torch.equal(first.support_y, last.support_y)
    assert first.query.shape == last.query.shape == (30, WAYS)
    assert not torch.equal(first.query, last.query)


def test_training_streams_are_functions_of_their_index(online):
    one, same, other = (online.train_batch(index) for index in (4, 4, 5))
    assert one.support.shape == (10, WAYS * PRESENTATIONS)
    assert torch.equal(one.support, same.support) and not torch.equal(one.support, other.support)
    assert online.protocol({}).endswith("online")


@pytest.mark.parametrize("arguments", [{"unequal_shots": True}, {"scope": "within", "drawers": "apart"}], ids=str)
def test_what_streams_cannot_have_is_refused(make, arguments):
    with pytest.raises(ValueError, match=f"`{list(arguments)[-1]}` to be .* for the streams of omniglot-online"):
        make(**arguments)
