"""Training in bfloat16: what it rounds, what it leaves, and where it is refused."""

import pytest
import torch
from torch.nn import functional as F

from adaptbench.benchmarks.runs import devices
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.store.store import Store
from adaptbench.lit_modules.attention import attend
from adaptbench.lit_modules.binding import Binding
from adaptbench.lit_modules.encoders import MLP

BF16 = {"precision": "bf16"}


@pytest.fixture(params=["episodic", "pretraining"])
def spec(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def features(monkeypatch):
    """The types of features in training and in evaluation mode, and a processor that multiplies bfloat16."""
    monkeypatch.setattr(devices, "_processor_flags", lambda: ["avx512_bf16"])
    seen, forward = {True: set(), False: set()}, MLP.forward

    def watched(self, inputs):
        output = forward(self, inputs)
        seen[self.training].add(output.dtype)
        return output

    monkeypatch.setattr(MLP, "forward", watched)
    return seen


def test_it_trains_in_bfloat16_and_publishes_float32(spec, features, tmp_path):
    store = Store(tmp_path)
    rounded, exact = spec(trainer=BF16), spec()
    for each in (rounded, exact):
        execute(each, store)
        assert features[True] == {torch.bfloat16 if each is rounded else torch.float32}
        assert features[False] <= {torch.float32}, "validation and test"
        features[True].clear()
    states = [store.load_checkpoint(each.run_id)["state_dict"] for each in (rounded, exact)]
    assert all(weight.dtype != torch.bfloat16 for weight in states[0].values())
    moved = [float((one - other).abs().max()) for one, other in zip(*(each.values() for each in states), strict=True)]
    assert 0 < max(moved) < 0.1
    protocols = [store.result(each.run_id).protocol for each in (rounded, exact)]
    assert protocols[0] == f"{protocols[1]}, trained in bfloat16"


def test_a_processor_without_it_refuses_in_one_line(spec, monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_processor_flags", lambda: ["avx2", "avx512f"])
    with pytest.raises(ValueError, match=r"^Expected `precision` to be float32 on this cpu device, which .*\.$"):
        execute(spec(trainer=BF16), Store(tmp_path))
    execute(spec(), Store(tmp_path))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_computes_in_float32_under_autocast_too(causal):
    parts = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    plain = F.scaled_dot_product_attention(*parts, is_causal=causal, scale=1.0)
    assert torch.equal(attend(*parts, causal=causal), plain)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attend(*parts, causal=causal), plain)
        assert F.scaled_dot_product_attention(*parts, is_causal=causal, scale=1.0).dtype == torch.bfloat16


@pytest.mark.parametrize("slots", [1, 8])
def test_binding_multiplies_one_type(slots):
    torch.manual_seed(0)
    binding = Binding(8, 3, 16, slots)
    x, y = torch.randn(2, 5, 8), torch.randn(2, 5, 3)
    embedded = binding.embed(x)
    context = torch.randn(2, 1, 16)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = binding.pair(embedded, y), binding.meet(embedded, context.bfloat16())
    for found, exact in zip(rounded, (binding.pair(embedded, y), binding.meet(embedded, context)), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, rtol=0.02, atol=0.02)
