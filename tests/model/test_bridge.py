"""The bridge and the hook show the same activations, and an edit through either has the same effect."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from miscope.adapters.transformer_lens import bridge, bridge_of
from miscope.core import Checkpoint, MiscopeError, ModelConfig
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.quantization import dequantize_model, is_model_quantized, quantize

QK = ("q_norm", "k_norm")
TOLERANCE = 1e-6  # times the largest value of the activation, where that is above 1

pytestmark = pytest.mark.usefixtures("no_gradients")
Draw = Callable[..., Tensor]


def bridged(model: Transformer) -> TransformerBridge:
    return bridge(Checkpoint(0, model.config, weights(model)))


def hooked(model: Transformer, tokens: Tensor) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    logits = model(tokens, hook=lambda name, x: seen.setdefault(name, x))
    return seen | {"logits": logits}


def cached(model: Transformer, tokens: Tensor) -> dict[str, Tensor]:
    logits, cache = bridged(model).run_with_cache(tokens)
    return {name: cache[name] for name in cache} | {"logits": logits}


def hook_names(config: ModelConfig) -> set[str]:
    """Every name under which an activation of this shape of model is known, written out."""
    heads = {f"attn.hook_{part}" for part in ("q", "k", "v", "z", "attn_scores", "pattern")}
    of_block = heads | {"hook_resid_pre", "hook_attn_out", "hook_resid_post"}
    if config.d_mlp:
        of_block |= {"hook_resid_mid", "mlp.hook_pre", "mlp.hook_post", "hook_mlp_out"}
        of_block |= {"mlp.hook_pre_linear"} if config.gated_mlp else set()
    of_block |= {"attn.hook_rot_q", "attn.hook_rot_k"} if config.positions == "rotary" else set()
    norms = () if config.normalization == "none" else ("ln1", "ln2") if config.d_mlp else ("ln1",)
    norms += ("attn.q_norm", "attn.k_norm") if config.use_qk_norm else ()
    of_block |= {f"{norm}.{hook}" for norm in norms for hook in ("hook_scale", "hook_normalized")}
    final = {f"ln_final.{hook}" for hook in ("hook_scale", "hook_normalized")} if norms else set()
    blocks = {f"blocks.{i}.{hook}" for i in range(config.n_layers) for hook in of_block}
    embeddings = {"hook_embed"} | ({"hook_pos_embed"} if config.positions == "learned" else set())
    return embeddings | {"logits"} | blocks | final


def assert_equal_activations(name: str, ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape, name
    is_finite = torch.isfinite(ours)  # masked scores are -inf
    torch.testing.assert_close(ours[~is_finite], theirs[~is_finite], rtol=0, atol=0, msg=name)
    scale = max(1.0, ours[is_finite].abs().max().item())
    assert (ours - theirs)[is_finite].abs().max() <= TOLERANCE * scale, name


def test_hook_and_bridge_show_the_same_activations_under_the_same_names(model: Transformer, draw: Draw) -> None:
    for tokens in (draw(model.config), draw(model.config, 2, 2)):  # shorter ones than the context, too
        ours, theirs = hooked(model, tokens), cached(model, tokens)
        assert set(ours) == hook_names(model.config)
        assert set(ours) <= set(theirs)
        for name, activation in ours.items():
            assert_equal_activations(name, activation, theirs[name])


def test_masked_scores_are_minus_infinity_in_hook_and_bridge_alike(
    deep: ModelConfig, make: Callable, draw: Draw
) -> None:
    for activations in (hooked, cached):
        scores = activations(make(deep), draw(deep))["blocks.1.attn.hook_attn_scores"]
        is_future = torch.ones(deep.n_ctx, deep.n_ctx, dtype=torch.bool).triu(1).expand(scores.shape)
        assert torch.equal(torch.isneginf(scores), is_future)


def without_head_one(x: Tensor, name: str) -> Tensor:
    """The activation with the second head's part set to 0; the heads are axis 1 of scores and pattern, else axis 2."""
    axis = 1 if name.endswith(("hook_pattern", "hook_attn_scores")) else 2
    return x.index_fill(axis, torch.tensor([1]), 0.0)


@pytest.mark.parametrize("hook", ["hook_q", "hook_k", "hook_v", "hook_z", "hook_pattern", "hook_attn_scores"])
def test_editing_a_head_through_the_bridge_equals_editing_it_through_our_hook(
    hook: str, deep: ModelConfig, make: Callable, draw: Draw
) -> None:
    model, tokens, edited = make(deep), draw(deep), f"blocks.0.attn.{hook}"
    ours = model(tokens, hook=lambda name, x: without_head_one(x, name) if name == edited else x)
    theirs = bridged(model).run_with_hooks(tokens, fwd_hooks=[(edited, lambda x, hook: without_head_one(x, edited))])
    assert (ours - model(tokens)).abs().max() > 1e-3
    assert_equal_activations(edited, ours, theirs)


def test_the_bridge_names_the_weights_as_the_checkpoint_does(model: Transformer) -> None:
    stored, lens = weights(model), bridged(model)
    params = lens.get_params()
    if model.config.use_qk_norm:  # `get_params` leaves them out
        norms = {f"blocks.{i}.attn.{n}.w": getattr(b.attn, n).weight for n in QK for i, b in enumerate(lens.blocks)}
        params |= norms
    assert {name: tuple(w.shape) for name, w in stored.items()} == {name: tuple(params[name].shape) for name in stored}
    for name, weight in stored.items():
        np.testing.assert_array_equal(weight, params[name].detach().numpy(), err_msg=name)


def test_a_bias_that_the_model_lacks_is_zero_and_does_not_train(small: ModelConfig, make: Callable) -> None:
    lens = bridged(make(small))
    biases = {name: w for name, w in lens.get_params().items() if ".b_" in name}
    assert len(biases) == 7
    assert not any(b.any() for b in biases.values())
    trained = sum(p.numel() for p in lens.parameters() if p.requires_grad)
    assert trained == sum(w.size for w in weights(make(small)).values())


def test_a_bridge_is_built_without_touching_the_global_generator_or_the_checkpoint(
    deep: ModelConfig, make: Callable, draw: Draw
) -> None:
    model, state = make(deep), torch.get_rng_state()
    stored = weights(model)
    lens = bridge(Checkpoint(0, deep, stored))
    assert torch.equal(torch.get_rng_state(), state)
    before = stored["blocks.0.attn.W_Q"].copy()
    lens.blocks[0].attn.q.weight.zero_()
    np.testing.assert_array_equal(stored["blocks.0.attn.W_Q"], before)


def test_folding_the_norms_leaves_the_log_probabilities(model: Transformer, draw: Draw) -> None:
    lens, tokens = bridged(model), draw(model.config)
    lens.enable_compatibility_mode(disable_warnings=True)
    assert (lens(tokens).log_softmax(-1) - model(tokens).log_softmax(-1)).abs().max() < 1e-5


def test_a_run_can_stop_at_a_layer_and_go_on_from_it(deep: ModelConfig, make: Callable, draw: Draw) -> None:
    model, tokens = make(deep), draw(deep)
    lens = copy.deepcopy(bridged(model))
    residual = lens(tokens, stop_at_layer=1)
    assert_equal_activations("resid", hooked(model, tokens)["blocks.1.hook_resid_pre"], residual)
    assert_equal_activations("logits", model(tokens), lens(residual, start_at_layer=1))


@torch.enable_grad()
def test_gradients_flow_through_the_bridge(deep: ModelConfig, make: Callable, draw: Draw) -> None:
    model, tokens = make(deep), draw(deep)
    lens = bridged(model)
    model(tokens).square().sum().backward()
    lens(tokens).square().sum().backward()
    ours = model.blocks[0].attn.k.weight.grad
    torch.testing.assert_close(lens.blocks[0].attn.k.weight.grad.T, ours, rtol=1e-5, atol=1e-5)


def test_the_bridge_refuses_what_the_model_cannot_read(small: ModelConfig, make: Callable, draw: Draw) -> None:
    lens, tokens = bridged(make(small)), draw(small)
    with pytest.raises(MiscopeError, match="Token ids run from"):
        lens(tokens + small.d_vocab)
    with pytest.raises(MiscopeError, match="attention_mask"):
        lens(tokens, attention_mask=torch.zeros_like(tokens))
    assert lens(tokens, attention_mask=torch.ones_like(tokens)).shape == (5, 3, small.d_vocab_out)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_bridge_shows_the_activations_and_weights_of_a_quantized_model(
    deep: ModelConfig, make: Callable, draw: Draw, bits: int
) -> None:
    model: Transformer = quantize(make(deep), bits)
    tokens, lens = draw(deep), bridge_of(model)
    seen, (logits, cache) = hooked(model, tokens), lens.run_with_cache(tokens)
    assert torch.equal(logits, seen.pop("logits"))
    assert all(torch.equal(cache[name], x) for name, x in seen.items())
    expected = weights(dequantize_model(model))
    for name in ("W_Q", "W_K", "W_V", "W_O"):
        for layer in range(deep.n_layers):
            expected_here = torch.from_numpy(expected[f"blocks.{layer}.attn.{name}"])
            assert torch.equal(getattr(lens, name)[layer], expected_here), name
    assert is_model_quantized(model)
    assert model.blocks[0].attn.q.weight.shape == (deep.d_model, deep.n_heads * deep.d_head)  # the copy is transposed


def test_a_hook_of_the_bridge_changes_a_quantized_model(deep: ModelConfig, make: Callable, draw: Draw) -> None:
    lens, tokens = bridge_of(quantize(make(deep))), draw(deep)
    zero = ("blocks.1.mlp.hook_post", lambda x, hook: torch.zeros_like(x))
    assert not torch.equal(lens.run_with_hooks(tokens, fwd_hooks=[zero]), lens(tokens))
