"""Sinusoids: the functions they claim to be, in batches that depend on their index alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, episodes_digest, rng_for
from adaptbench.datamodules.sinusoid import AMPLITUDES, PHASES, SinusoidDataModule

TRAIN = TrainEpisodes(shots=(5, 10), queries=10, pool=240)
TEST = EvalEpisodes(shots=(5, 10), queries=50, episodes=30)
SIZE = EpisodeSize(None, 5, 50)
RANGES = (AMPLITUDES, PHASES)
HELD_OUT = ("unseen", "held_out_drawings")


def sinusoid(train=TRAIN, test=TEST, seed=0, mode="episodes", steps_per_epoch=100, val_episodes=100, **arguments):
    sampling = Sampling(
        train=train, test=test, seed=seed, mode=mode, steps_per_epoch=steps_per_epoch, val_episodes=val_episodes
    )
    return SinusoidDataModule(sampling, **arguments)


def functions_of(x, y):
    """Amplitude and phase of the sinusoids through points [F, N], by linear regression on sine and cosine."""
    basis = torch.stack([x.sin(), x.cos()], dim=-1).double()
    sine, cosine = torch.linalg.lstsq(basis, y.double().unsqueeze(-1)).solution[..., 0].T
    return torch.hypot(sine, cosine), torch.atan2(-cosine, sine)


def points_of(batch):
    """x and y of each episode, support and query together, [B, S + Q]."""
    x = batch.inputs[torch.cat([batch.support, batch.query], dim=1)]
    return x.squeeze(-1), torch.cat([batch.support_y, batch.query_y], dim=1).squeeze(-1)


@pytest.mark.parametrize("arguments", [{}, {"train_functions": 7}], ids=str)
def test_points_lie_on_sinusoids_of_the_paper(arguments):
    task = sinusoid(**arguments)
    for batch in (task.train_batch(3), task.eval_batch("test", SIZE, 200)):
        x, y = points_of(batch)
        amplitude, phase = functions_of(x, y)
        assert ((0.1 - 1e-4 <= amplitude) & (amplitude <= 5 + 1e-4)).all()
        assert ((-1e-3 <= phase) & (phase <= math.pi + 1e-3)).all()
        assert (x.abs() <= 5).all()
        torch.testing.assert_close(amplitude[:, None] * torch.sin(x - phase[:, None]), y.double(), atol=1e-5, rtol=0)


def test_amplitudes_phases_and_inputs_fill_their_ranges():
    batch = sinusoid().eval_batch("test", SIZE, 4000)
    x, y = points_of(batch)
    for values, low, high in zip((*functions_of(x, y), x), (0.1, 0, -5), (5, math.pi, 5), strict=True):
        counts = np.histogram(values.numpy(), bins=10, range=(low, high))[0]
        np.testing.assert_allclose(counts / values.numel(), 0.1, atol=0.02)


@pytest.mark.parametrize("shots", [5, 10])
def test_a_batch_has_the_shapes_of_its_size(shots):
    task = sinusoid(train=TrainEpisodes(shots=(shots,), queries=7, pool=100))
    batch = task.train_batch(0)
    episodes = 100 // (shots + 7)
    assert batch.inputs.shape == (episodes * (shots + 7), *task.example_shape) and batch.inputs.dtype == torch.float32
    assert batch.support.shape == (episodes, shots) and batch.query.shape == (episodes, 7)
    assert batch.support_y.shape == (episodes, shots, task.targets) and batch.query_y.shape == (episodes, 7, 1)
    rows = torch.cat([batch.support, batch.query], dim=1).flatten()
    assert rows.sort().values.tolist() == list(range(len(batch.inputs)))


def test_both_shots_are_drawn():
    shots = [sinusoid().train_batch(index).support.shape[1] for index in range(200)]
    assert set(shots) == {5, 10} and 70 < shots.count(5) < 130


def test_a_pool_is_filled_as_far_as_episodes_go():
    for index in range(10):
        batch = sinusoid().train_batch(index)
        points = batch.support.shape[1] + batch.query.shape[1]
        assert len(batch.inputs) == 240 // points * points


def test_batches_depend_on_seed_and_index_alone():
    expected = [episodes_digest(sinusoid(seed=4).train_batch(index)) for index in range(6)]
    task = sinusoid(seed=4)
    task.eval_batch("val", SIZE, 10), task.example_batch(2)
    for index in (5, 0, 3, 3, 1, 4, 2):
        np.random.seed(index)
        torch.manual_seed(index)
        assert episodes_digest(task.train_batch(index)) == expected[index]
    assert len(set(expected)) == 6
    assert episodes_digest(sinusoid(seed=5).train_batch(0)) != expected[0]


def test_drawing_leaves_the_global_random_state_alone():
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    task = sinusoid(train_functions=3)
    task.train_batch(0), task.example_batch(0), task.eval_batch("test", SIZE, 10)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_test_episodes_depend_on_the_protocol_alone():
    expected = episodes_digest(sinusoid().eval_batch("test", SIZE, 20))
    others = [
        {"seed": 1},
        {"train_functions": 5},
        {"train": TrainEpisodes(shots=(1,), queries=1, pool=2)},
        {"mode": "examples", "steps_per_epoch": 3, "val_episodes": 7},
        {"noise": 0},
    ]
    for arguments in others:
        assert episodes_digest(sinusoid(**arguments).eval_batch("test", SIZE, 20)) == expected, arguments
    task = sinusoid()
    protocols = [
        task.eval_batch("val", SIZE, 20),
        task.eval_batch("test", EpisodeSize(None, 10, 50), 20),
        task.eval_batch("test", EpisodeSize(None, 5, 20), 20),
        sinusoid(noise=0.1).eval_batch("test", SIZE, 20),
    ]
    assert len({expected, *map(episodes_digest, protocols)}) == 5


def test_test_episodes_stay_what_they_were():
    # Published numbers depend on these: other ones need a new version of every suite.
    assert episodes_digest(sinusoid().eval_batch("test", SIZE, 20)) == "b88a04c7b975eb9582b2233dd5f69e27"


def test_smaller_sets_of_functions_lie_in_larger_ones():
    small, large = (sinusoid(train_functions=n).functions for n in (4, 9))
    np.testing.assert_array_equal(large[:4], small)
    assert not np.array_equal(sinusoid(train_functions=4, seed=1).functions, small)


@pytest.mark.parametrize("mode", ["episodes", "examples"])
def test_training_meets_the_given_functions_only(mode):
    task = sinusoid(train_functions=3, train=TrainEpisodes(shots=(5,), queries=5, pool=400))
    amplitude, phase = torch.from_numpy(task.functions).T
    if mode == "episodes":
        x, y = points_of(task.train_batch(0))
    else:
        x, y, _ = task.example_batch(0)
    values = amplitude[:, None, None] * torch.sin(x - phase[:, None, None])
    used = ((values - y).abs().amax(dim=2) < 1e-4).sum(dim=1)
    assert used.sum() == len(x) and (used > 0).all()


def test_unlimited_functions_are_new_in_every_batch_and_not_those_of_the_test():
    task = sinusoid()
    batches = [
        task.train_batch(0),
        task.train_batch(1),
        task.eval_batch("val", SIZE, 20),
        task.eval_batch("test", SIZE, 20),
    ]
    amplitudes = torch.cat([functions_of(*points_of(batch))[0] for batch in batches])
    gaps = amplitudes.sort().values.diff()
    assert len(amplitudes) > 60 and gaps.min() > 1e-6


def test_functions_do_not_depend_on_how_many_are_drawn():
    few, many = (sinusoid().draw_functions(rng_for(1), count) for count in (3, 10))
    np.testing.assert_array_equal(few, many[:3])


def test_examples_fill_a_pool():
    x, y, _ = sinusoid().example_batch(0)
    assert x.shape == y.shape == (240, 1) and x.dtype == y.dtype == torch.float32
    assert torch.equal(sinusoid().example_batch(0).inputs, x)
    assert not torch.equal(sinusoid().example_batch(1).inputs, x)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_chance_is_the_error_of_the_mean_given_x(noise):
    rng = np.random.default_rng(0)
    amplitude, phase = rng.uniform(0.1, 5, size=(2000, 1)), rng.uniform(0, math.pi, size=(2000, 1))
    y = amplitude * np.sin(np.linspace(-5, 5, 401) - phase)
    assert sinusoid(noise=noise).chance(SIZE) == pytest.approx(y.var(axis=0).mean() + noise**2, rel=0.03)
    assert sinusoid().chance(SIZE) == pytest.approx(3.0057, abs=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_test_on_seen_functions_has_those_of_training_and_their_chance(noise):
    test = EvalEpisodes(shots=(5,), queries=10, episodes=200, on=("unseen", "seen"))
    task = sinusoid(test=test, train_functions=7, noise=noise)
    amplitude, phase = task._eval_functions("seen", SIZE, 200)[1].T
    assert {(a, b) for a, b in zip(amplitude, phase, strict=True)} == {tuple(row) for row in task.functions}
    y = task.functions[:, :1] * np.sin(np.linspace(-5, 5, 20001) - task.functions[:, 1:])
    assert task.chance(SIZE, "seen") == pytest.approx(y.var(axis=0).mean() + noise**2, rel=1e-3)
    assert task.chance(SIZE) == sinusoid(noise=noise).chance(SIZE)
    for arguments in ({"train_functions": None}, {"train_functions": 7, "test": replace(test, on=HELD_OUT)}):
        with pytest.raises(ValueError, match=r"^Expected argument `(train_functions` to be given|on` not to have)"):
            sinusoid(**{"test": test, **arguments})


def test_noise_has_its_standard_deviation():
    batch = sinusoid(noise=0.5).eval_batch("test", EpisodeSize(None, 50, 50), 400)
    x, y = points_of(batch)
    amplitude, phase = functions_of(x, y)
    residual = y - amplitude[:, None] * torch.sin(x - phase[:, None])
    assert residual.std().item() == pytest.approx(0.5, rel=0.03)


def test_protocol_names_noise():
    assert SinusoidDataModule.protocol({}) == SinusoidDataModule.protocol({"noise": 0}) == "noise-free"
    assert SinusoidDataModule.protocol({"noise": 0.25}) == "noise 0.25"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_functions": 0}, "`train_functions` to be a positive integer but got 0"),
        ({"train_functions": 2.5}, "`train_functions` to be a positive integer but got 2.5"),
        ({"noise": -1.0}, "`noise` to be zero or more but got -1.0"),
        ({"noise": math.nan}, "`noise` to be zero or more but got nan"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch` to be a positive integer but got 0"),
        ({"mode": "both"}, "`mode` to be 'episodes' or 'examples' but got 'both'"),
        ({"test": EvalEpisodes(shots=(1,), queries=1, episodes=1, ways=5)}, "`ways` to be left out for sinusoid"),
        (
            {"train": TrainEpisodes(shots=(1,), queries=1, pool=9, episodes=4)},
            "`episodes` to be left out for sinusoid",
        ),
    ],
    ids=str,
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sinusoid(**arguments)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (TrainEpisodes, {"shots": (), "queries": 1, "pool": 9}, "`shots` to name at least one"),
        (TrainEpisodes, {"shots": (1, 0), "queries": 1, "pool": 9}, "`shots` to be a positive integer but got 0"),
        (TrainEpisodes, {"shots": (1,), "queries": True, "pool": 9}, "`queries` to be a positive integer but got True"),
        (TrainEpisodes, {"shots": (1, 5), "queries": 2, "pool": 34, "ways": 5}, "hold an episode of 35 .* but got 34"),
        (TrainEpisodes, {"shots": (1,), "queries": 1, "pool": 9, "ways": 1}, "`ways` to be at least 2 but got 1"),
        (TrainEpisodes, {"shots": (1,), "queries": 1, "pool": 9, "ways": 2.5}, "positive integer but got 2.5"),
        (TrainEpisodes, {"shots": (1,), "queries": 1, "pool": 9.5}, "`pool` to be a positive integer but got 9.5"),
        (EvalEpisodes, {"shots": (1,), "queries": 1, "episodes": 0}, "`episodes` to be a positive integer but got 0"),
    ],
    ids=str,
)
def test_impossible_sizes_are_refused(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_dataloaders_yield_batches_of_episodes():
    task = sinusoid(val_episodes=4)
    val, test = list(task.val_dataloader()), list(task.test_dataloader())
    assert all(isinstance(batch, EpisodeBatch) for batch in [*val, *test])
    assert [batch.support.shape for batch in val] == [(4, 5), (4, 10)]
    assert [batch.support.shape for batch in test] == [(30, 5), (30, 10)]
    for batch, size in zip(test, TEST.sizes, strict=True):
        assert episodes_digest(batch) == episodes_digest(task.eval_batch("test", size, 30))


def test_a_test_out_of_range_leaves_training_and_validation_in_it():
    task = sinusoid(test_amplitudes=(5, 10), train_functions=50)
    amplitudes = {
        "train": functions_of(*points_of(task.train_batch(0)))[0],
        "val": functions_of(*points_of(task.eval_batch("val", SIZE, 200)))[0],
        "test": functions_of(*points_of(task.eval_batch("test", SIZE, 200)))[0],
    }
    assert max(amplitudes["train"].max(), amplitudes["val"].max()) < 5 + 1e-4
    assert 5 - 1e-3 < amplitudes["test"].min() < 5.2 and 9.8 < amplitudes["test"].max() < 10 + 1e-3
    assert episodes_digest(task.train_batch(0)) == episodes_digest(sinusoid(train_functions=50).train_batch(0))


@pytest.mark.parametrize(
    "arguments",
    [
        {"amplitudes": (1, 2)},
        {"phases": (0.5, 2)},
        {"amplitudes": (3, 3), "phases": (1, 1)},
        {"test_amplitudes": (5, 10)},
        {"test_phases": (3, 6.5), "noise": 0.3},
    ],
    ids=str,
)
def test_chance_of_any_range_is_the_error_of_the_mean_given_x(arguments):
    task = sinusoid(**arguments)
    (low, high), (first, last) = task.test_ranges
    rng = np.random.default_rng(0)
    amplitude, phase = rng.uniform(low, high, size=(4000, 1)), rng.uniform(first, last, size=(4000, 1))
    y = amplitude * np.sin(np.linspace(-5, 5, 401) - phase)
    expected = y.var(axis=0).mean() + task.noise**2
    assert task.chance(SIZE) == pytest.approx(expected, rel=0.05, abs=1e-9)


def test_protocol_names_every_range_that_is_not_the_papers():
    assert SinusoidDataModule.protocol({"test_amplitudes": [5, 10]}) == "noise-free, tested at amplitude 5 to 10"
    assert SinusoidDataModule.protocol({"noise": 0.1, "amplitudes": (1, 2), "phases": (0, 1.5)}) == (
        "noise 0.1, amplitude 1 to 2, phase 0 to 1.5"
    )


@pytest.mark.parametrize("name", ["amplitudes", "phases", "test_amplitudes", "test_phases"])
@pytest.mark.parametrize("value", [(2, 1), (0, math.inf), (1, 2, 3), (math.nan, 1)], ids=str)
def test_a_range_that_is_none_is_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` to be two numbers in ascending order"):
        sinusoid(**{name: value})


def test_pictures_show_noise_free_test_functions_from_more_and_more_points():
    task = sinusoid(noise=0.5, test_amplitudes=(5, 10))
    few, many = task.picture_batch(2, 3), task.picture_batch(10, 3)
    assert few.query.shape == many.query.shape == (3, 101)
    assert torch.equal(few.query_y, many.query_y)
    assert torch.equal(many.inputs[many.support][:, :2], few.inputs[few.support])
    assert torch.equal(many.support_y[:, :2], few.support_y)
    amplitude, phase = functions_of(few.inputs[few.query][..., 0], few.query_y[..., 0])
    torch.testing.assert_close(
        amplitude[:, None] * torch.sin(few.inputs[few.query][..., 0] - phase[:, None]),
        few.query_y[..., 0].double(), atol=1e-5, rtol=0,
    )  # fmt: skip
    assert (amplitude >= 5 - 1e-4).all()
