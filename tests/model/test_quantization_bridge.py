"""A quantized model through TransformerLens: the activations of its integers, and the weights they stand for."""

import pytest
import torch

from miscope.adapters.transformer_lens import bridge_of
from miscope.core import ModelConfig
from miscope.model.quantization.model import dequantize_model, is_model_quantized, quantize
from miscope.model.transformer import Transformer
from miscope.model.weights import weights


@torch.no_grad()
@pytest.mark.parametrize("bits", [8, 4])
def test_a_bridge_shows_the_activations_and_weights_of_a_quantized_model(
    deep: ModelConfig, make, draw, bits: int
) -> None:
    model: Transformer = quantize(make(deep), bits)
    tokens, seen = draw(deep), {}
    logits = model(tokens, hook=lambda name, x: seen.setdefault(name, x))
    bridge = bridge_of(model)
    found, cache = bridge.run_with_cache(tokens)
    assert torch.equal(found, logits)
    assert all(torch.equal(cache[name], x) for name, x in seen.items())
    expected = weights(dequantize_model(model))
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        for layer in range(deep.n_layers):
            expected_here = torch.from_numpy(expected[f"blocks.{layer}.attn.{name}"])
            assert torch.equal(getattr(bridge, name)[layer], expected_here), name
    assert is_model_quantized(model)
    assert model.blocks[0].attn.q.weight.shape == (deep.d_model, deep.n_heads * deep.d_head)  # the copy was turned


@torch.no_grad()
def test_a_hook_of_the_bridge_changes_a_quantized_model(deep: ModelConfig, make, draw) -> None:
    bridge, tokens = bridge_of(quantize(make(deep))), draw(deep)
    zero = ("blocks.1.mlp.hook_post", lambda x, hook: torch.zeros_like(x))
    assert not torch.equal(bridge.run_with_hooks(tokens, fwd_hooks=[zero]), bridge(tokens))
