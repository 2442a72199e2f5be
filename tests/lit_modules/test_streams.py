"""StreamModule: each query is answered at its own step of the stream."""

import torch

from adaptbench.datamodules.episodes import EpisodeBatch
from adaptbench.lit_modules.encoders import MLP
from adaptbench.lit_modules.episodic import StreamModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.recurrent import GRU


def test_a_query_gets_the_prediction_of_its_step():
    torch.manual_seed(0)
    module = StreamModule(MLP((1,), width=8), GRU(8, 2, 2), LIKELIHOODS["categorical"], Optimization())
    inputs = torch.randn(20, 1)
    support = torch.stack([torch.randperm(20)[:10] for _ in range(4)])
    y = torch.eye(2)[torch.arange(10) % 2].expand(4, -1, -1)
    steps = torch.tensor([3, 9, 0])
    batch = EpisodeBatch(inputs, support, y, support[:, steps], y[:, steps])
    with torch.no_grad():
        whole = module.learner.stream(module.encoder(inputs)[support], y)
    torch.testing.assert_close(module.predict(batch), whole[:, steps])
