"""Which learners of functions export to ONNX; the page says of all others that their curves were computed before."""

import gzip

import numpy as np
import pytest
import torch

from adaptbench.benchmarks.laboratory.networks import Forward, NotExported, Posterior, export, export_posterior
from adaptbench.benchmarks.suites.registry import LEARNERS, load
from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.datamodules.sinusoid import SinusoidDataModule
from adaptbench.lit_modules.encoders import MLP
from adaptbench.lit_modules.episodic import EpisodicModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.maml import MAML
from adaptbench.lit_modules.optimization import Optimization

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `laboratory` is not installed")
pytest.importorskip("onnx", reason="the extra `laboratory` is not installed")

EXPORTED = {"lstm", "gru", "deep_sets", "hypernetwork", "attention", "snail", "tcn"}
NARROW = {"mann": {"width": 8, "pair_width": 8, "slots": 1}, "mann_lrua": {}, "snail": {}, "tcn": {}, "prototypes": {}}


def make(name):
    torch.manual_seed(0)
    encoder = MLP((1,), width=16)
    arguments = NARROW.get(name, {"width": 16})
    learner = load("learner", name)(encoder.features, 1, 2, **arguments)
    return EpisodicModule(encoder, learner, LIKELIHOODS["gaussian"], Optimization()).eval()


def episode(points):
    rng = np.random.default_rng(points)
    x, y = rng.uniform(-5, 5, size=(2, points, 1)).astype(np.float32)
    return {"support_x": x, "support_y": y, "query_x": np.linspace(-5, 5, 31, dtype=np.float32)[:, None]}


def said(content, given):
    return onnxruntime.InferenceSession(gzip.decompress(content)).run(None, given)


@pytest.mark.parametrize("name", LEARNERS)
def test_which_learners_export(name):
    try:
        module = make(name)
    except ValueError:
        assert name not in EXPORTED  # it is for classes alone
        return
    if name not in EXPORTED:
        with pytest.raises(NotExported):
            export(module)
        return
    content = export(module)
    for points in (1, 3, 13):
        given = episode(points)
        with torch.no_grad():
            wanted = Forward(module)(*map(torch.from_numpy, given.values())).numpy()
        assert wanted.std() > 1e-3
        assert np.abs(said(content, given)[0] - wanted).max() < 1e-4


def test_gradient_steps_do_not_export():
    encoder = MLP((1,), width=16)
    with pytest.raises(NotExported, match="only the forward pass"):
        export(MAML(encoder, 1, LIKELIHOODS["gaussian"], Optimization()))


def test_the_posterior_finds_the_function():
    episodes = {"shots": (5,), "queries": 5}
    sampling = Sampling(train=TrainEpisodes(**episodes, pool=40), test=EvalEpisodes(**episodes, episodes=2))
    task = SinusoidDataModule(sampling, noise=0.3)
    x = np.linspace(-5, 5, 40, dtype=np.float32)[:, None]
    given = {"support_x": x, "support_y": (2 * np.sin(x - 1)).astype(np.float32), "query_x": x}
    mean, deviation = said(export_posterior(task), given)
    assert np.abs(mean - 2 * np.sin(x[:, 0] - 1)).max() < 0.05
    assert 0 < deviation.max() < 0.3  # forty points say more than one
    exact = task.posterior(
        EpisodeBatch(torch.from_numpy(np.concatenate([x[:4], x])), torch.arange(4)[None],
                     torch.from_numpy(given["support_y"][:4])[None], torch.arange(4, 44)[None], torch.zeros(1, 40, 1)),
        "all",
    )  # fmt: skip
    four = {name: value[:4] if name != "query_x" else value for name, value in given.items()}
    mean, deviation = said(export_posterior(task), four)
    assert np.abs(mean - exact[0][0, :, 0].numpy()).max() < 0.02
    assert np.abs(np.hypot(deviation, 0.3) - exact[1][0, :, 0].numpy()).max() < 0.02
    few = {name: value[:1] if name != "query_x" else value for name, value in given.items()}
    assert said(export_posterior(task), few)[1].max() > 1
    with torch.no_grad():
        wanted = Posterior(task)(*map(torch.from_numpy, few.values()))[0].numpy()
    assert np.abs(said(export_posterior(task), few)[0] - wanted).max() < 1e-4
