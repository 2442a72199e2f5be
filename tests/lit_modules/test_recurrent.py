"""What recurrent learners are before any training."""

import pytest
import torch
from torch.nn import functional as F

from adaptbench.lit_modules.recurrent import GRU, LSTM

WIDTH = 128


@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_the_state_starts_as_a_sum_of_what_was_read(cell):
    torch.manual_seed(0)
    learner = cell(16, 5, 5, width=WIDTH)
    x, y = torch.randn(8, 5, 16), torch.eye(5).expand(8, -1, -1)
    with torch.no_grad():
        x = learner.embed(x)
        pairs = learner.norm(learner.binding.pair(x, y))
        state = learner.context(learner._states(x, y)[:, -1])
    likeness = F.cosine_similarity(state, pairs.tanh().sum(dim=1))
    assert likeness.min() > 0.8


def test_the_first_pair_is_still_there_after_many():
    torch.manual_seed(0)
    x, y = torch.randn(8, 26, 16), torch.eye(5).repeat(6, 1)[:26].expand(8, -1, -1)
    changed = x.clone()
    changed[:, 0] = torch.randn(8, 16)

    def moved(keep_bias):
        torch.manual_seed(1)
        learner = LSTM(16, 5, 5, width=WIDTH, keep_bias=keep_bias)
        with torch.no_grad():
            before, after = (learner._states(each, y)[:, -1] for each in (x, changed))
        return (before - after).norm() / before.norm()

    assert moved(3.0) > 20 * moved(0.0)
