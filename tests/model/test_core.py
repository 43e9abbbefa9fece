"""The model core against torch's own parts, against itself computed another way, and against what it promises."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from miscope.core import MiscopeError, ModelConfig
from miscope.model import MLP, Hook, LayerNorm, MultiHeadAttention, Transformer, TransformerBlock
from miscope.model.layers import NoNorm, norm
from miscope.model.rows import UniqueRows, unique_rows
from miscope.model.weights import load_weights, weights

pytestmark = pytest.mark.usefixtures("no_gradients")
Make = Callable[[ModelConfig], Transformer]
Draw = Callable[..., Tensor]


def filled(module: torch.nn.Module) -> torch.nn.Module:
    """The module with every parameter drawn from a generator of its own."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    return module


def residual(config: ModelConfig, batch: int = 4) -> Tensor:
    return torch.randn(batch, config.n_ctx, config.d_model, generator=torch.Generator().manual_seed(batch))


def keep_in(seen: dict[str, Tensor]) -> Hook:
    return lambda name, x: seen.setdefault(name, x)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    """Within the tolerance times the largest value expected, or times 1."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= tolerance * max(1.0, expected.abs().max().item())


# ---------------------------------------------------------------- forward


@pytest.mark.parametrize("batch", [1, 3])
def test_logits_have_a_row_per_token_and_a_column_per_answer(model: Transformer, draw: Draw, batch: int) -> None:
    for pos in (1, 2, 3):
        logits = model(draw(model.config, batch, pos))
        assert logits.shape == (batch, pos, model.config.d_vocab_out)
        assert logits.dtype == torch.float32 and logits.isfinite().all()


def test_what_follows_a_token_changes_its_logits_only_if_attention_is_not_causal(
    model: Transformer, draw: Draw
) -> None:
    tokens = draw(model.config)
    changed = tokens.clone()
    changed[:, 2:] = (tokens[:, 2:] + 1) % model.config.d_vocab
    is_same = torch.equal(model(tokens)[:, :2], model(changed)[:, :2])
    assert is_same is model.config.is_causal


def test_an_untrained_model_is_as_unsure_as_chance(deep: ModelConfig, draw: Draw) -> None:
    logits = Transformer(replace(deep, initialisation="gpt2"))(draw(deep, 8))
    loss = F.cross_entropy(logits.flatten(0, 1), torch.arange(48) % deep.d_vocab_out)
    assert loss.item() == pytest.approx(np.log(deep.d_vocab_out), rel=0.1)


OUTSIDE = r"^Token ids run from {} to {}; the vocabulary has 0 to 11 \(`d_vocab`\)\.$"


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        ([[0] * 4], r"^The sequence has 4 positions; the model has 3 \(`n_ctx`\)\.$"),
        ([[0, -1]], OUTSIDE.format(-1, 0)),
        ([[0, 12]], OUTSIDE.format(0, 12)),
    ],
)
def test_tokens_that_the_model_cannot_read_are_refused(
    small: ModelConfig, make: Make, tokens: list[list[int]], sentence: str
) -> None:
    with pytest.raises(MiscopeError, match=sentence):
        make(small)(torch.tensor(tokens))


def test_logits_at_some_positions_are_those_of_all_positions(model: Transformer, draw: Draw) -> None:
    tokens = draw(model.config)
    for positions in ([2], [0, 2], [2, 1, 0]):
        close(model(tokens, query_positions=positions), model(tokens)[:, positions])


# ---------------------------------------------------------------- distinct rows


def repeated(config: ModelConfig, positions: tuple[int, ...]) -> tuple[Tensor, UniqueRows]:
    """A batch in which every token stands at every position many times over, with its plan."""
    few = torch.randint(4, (200, config.n_ctx), generator=torch.Generator().manual_seed(0))
    rows = unique_rows(few, torch.tensor(positions), config.n_ctx)
    assert rows is not None
    return few, rows


@torch.enable_grad()
@pytest.mark.parametrize("positions", [(2,), (1, 2)])
def test_distinct_rows_give_the_logits_and_gradients_of_the_batch(
    model: Transformer, positions: tuple[int, ...]
) -> None:
    tokens, rows = repeated(model.config, positions)
    both = []
    for logits in (model(tokens, query_positions=positions), model.forward_unique(rows)):
        model.zero_grad()
        logits.square().mean().backward()
        both.append((logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}))
    (expected, gradients), (actual, of_rows) = both
    close(actual, expected)
    assert gradients.keys() == of_rows.keys()
    for name, gradient in gradients.items():
        close(of_rows[name], gradient)


def test_the_plan_names_each_token_and_position_once_and_is_made_only_where_they_repeat(small: ModelConfig) -> None:
    assert unique_rows(torch.arange(24).reshape(8, 3), torch.tensor([2]), 3) is None
    tokens, rows = repeated(small, (2,))
    assert len(rows.token) == 4 * small.n_ctx
    assert torch.equal(rows.token[rows.index], tokens)
    assert torch.equal(rows.position_ids[rows.index], torch.arange(3).expand(tokens.shape))


# ---------------------------------------------------------------- parts against torch's


def reference_attention(own: MultiHeadAttention, config: ModelConfig) -> torch.nn.MultiheadAttention:
    theirs = torch.nn.MultiheadAttention(config.d_model, config.n_heads, bias=config.has_biases, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight.T for part in (own.q, own.k, own.v)]))
        theirs.out_proj.weight.copy_(own.o.weight.T)
        if config.has_biases:
            theirs.in_proj_bias.copy_(torch.cat([part.bias for part in (own.q, own.k, own.v)]))
            theirs.out_proj.bias.copy_(own.o.bias)
    return theirs


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize(("n_heads", "has_biases"), list(product((1, 2, 4, 8), (True, False))))
def test_attention_is_torch_s(deep: ModelConfig, n_heads: int, is_causal: bool, has_biases: bool) -> None:
    d_head = deep.d_model // n_heads
    config = replace(deep, n_heads=n_heads, d_head=d_head, is_causal=is_causal, has_biases=has_biases)
    own, x, seen = filled(MultiHeadAttention(config)), residual(config), {}
    mask = torch.ones(config.n_ctx, config.n_ctx, dtype=torch.bool).triu(1) if is_causal else None
    expected, pattern = reference_attention(own, config)(x, x, x, attn_mask=mask, average_attn_weights=False)
    close(own(x, hook=keep_in(seen)), expected)
    close(seen["hook_pattern"], pattern)


@pytest.mark.parametrize("is_causal", [True, False])
def test_heads_mix_values_as_scaled_dot_product_attention_does(deep: ModelConfig, is_causal: bool) -> None:
    """With heads narrower than d_model / n_heads, which torch's module cannot have."""
    config, seen = replace(deep, is_causal=is_causal), {}
    own, x = filled(MultiHeadAttention(config)), residual(config)
    own(x, hook=keep_in(seen))
    q, k, v = (seen[f"hook_{part}"].transpose(1, 2) for part in "qkv")
    assert q.shape == (4, config.n_heads, config.n_ctx, config.d_head)
    close(seen["hook_z"].transpose(1, 2), F.scaled_dot_product_attention(q, k, v, is_causal=is_causal))


def test_the_future_gets_no_attention_at_all_unless_attention_is_not_causal(model: Transformer, draw: Draw) -> None:
    seen: dict[str, Tensor] = {}
    model(draw(model.config), hook=keep_in(seen))
    is_future = torch.ones(model.config.n_ctx, model.config.n_ctx, dtype=torch.bool).triu(1)
    for layer in range(model.config.n_layers):
        pattern = seen[f"blocks.{layer}.attn.hook_pattern"]
        close(pattern.sum(dim=-1), torch.ones(pattern.shape[:-1]))
        ahead = pattern[..., is_future]
        assert not ahead.any() if model.config.is_causal else (ahead > 0).all()


def test_the_same_weights_split_into_other_heads_give_another_output(deep: ModelConfig) -> None:
    x, outputs = residual(deep), []
    for n_heads in (1, 2, 4, 8):
        own = filled(MultiHeadAttention(replace(deep, n_heads=n_heads, d_head=deep.d_model // n_heads)))
        outputs.append(own(x))
    assert all((a - b).abs().max() > 1e-3 for a, b in pairwise(outputs))


NORMS = {"LN": torch.nn.LayerNorm, "RMS": torch.nn.RMSNorm}


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_a_norm_is_torch_s(kind: str, offset: float) -> None:
    own, theirs = filled(LayerNorm(64, kind)), NORMS[kind](64, eps=1e-5)
    theirs.weight.copy_(own.w)
    if own.b is not None:
        theirs.bias.copy_(own.b)
    x = torch.randn(3, 7, 64, generator=torch.Generator().manual_seed(0)) + offset
    close(own(x), theirs(x), 1e-6 if not offset else 1e-3)  # float32 keeps 1e4 to 1e-3
    assert LayerNorm(8, kind)(torch.zeros(1, 1, 8)).eq(0).all()  # of equal numbers, it is finite


def test_no_norm_leaves_the_residual_stream(small: ModelConfig) -> None:
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    assert NoNorm()(x) is x
    assert [type(norm(replace(small, normalization=kind))) for kind in ("none", "LN")] == [NoNorm, LayerNorm]


@pytest.mark.parametrize(("act_fn", "expected"), [("relu", torch.relu), ("gelu", torch.nn.GELU())])
def test_an_mlp_has_one_activation_between_two_maps(deep: ModelConfig, act_fn: str, expected: Callable) -> None:
    own, x = filled(MLP(replace(deep, act_fn=act_fn))), residual(deep)
    close(own(x), expected(x @ own.fc_in.weight + own.fc_in.bias) @ own.fc_out.weight + own.fc_out.bias)
    assert own.fc_in.weight.shape == (deep.d_model, deep.d_mlp)


# ---------------------------------------------------------------- block


def test_a_block_adds_attention_and_then_mlp_each_after_its_norm_and_shows_all_in_order(
    deep: ModelConfig,
) -> None:
    seen: dict[str, Tensor] = {}
    block, x = filled(TransformerBlock(deep)), residual(deep)
    middle = x + block.attn(block.ln1(x))
    close(block(x, hook=keep_in(seen)), middle + block.mlp(block.ln2(middle)))
    assert list(seen) == [
        "hook_resid_pre",
        *("ln1.hook_scale", "ln1.hook_normalized"),
        *(f"attn.hook_{part}" for part in ("q", "k", "v", "attn_scores", "pattern", "z")),
        *("hook_attn_out", "hook_resid_mid"),
        *("ln2.hook_scale", "ln2.hook_normalized"),
        *("mlp.hook_pre", "mlp.hook_post"),
        *("hook_mlp_out", "hook_resid_post"),
    ]  # fmt: skip
    assert torch.equal(seen["hook_resid_mid"], x + seen["hook_attn_out"])
    assert torch.equal(seen["hook_resid_post"], seen["hook_resid_mid"] + seen["hook_mlp_out"])


@torch.enable_grad()
def test_a_block_that_writes_nothing_is_the_identity_and_lets_gradients_through(deep: ModelConfig) -> None:
    block, x = filled(TransformerBlock(deep)), residual(deep).requires_grad_()
    with torch.no_grad():
        for projection in (block.attn.o, block.mlp.fc_out):
            projection.weight.zero_()
            projection.bias.zero_()
    out = block(x)
    out.sum().backward()
    assert torch.equal(out, x)
    assert torch.equal(x.grad, torch.ones_like(x))


# ---------------------------------------------------------------- initialisation

RECIPES = ("scaled_normal", "gpt2")
# digests of the weights of each config at seed 7, as they were drawn before parts of a model could be made alone
DRAWN = {
    "scaled_normal": "9fccdda3e9f2 9efa2a18ecb8 e45c59b94595 21e51fb13cbd 208014a54deb 90537fbedecd a1994249454e "
    "652a83e6374f cbb106f4ec9a 99dedad930e2",
    "gpt2": "482d5564b2a2 f766b5eaaa4a 6a7ebb807cd0 25ea0854e9e2 b3c37c2d0777 bbba433cdcd1 48046ebf4108 "
    "654b38aa43ad 67138fcdf8bf 874b2b55c36c",
}
HAS_AVX2 = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


@pytest.mark.skipif(not HAS_AVX2, reason="torch draws normal numbers another way without AVX2")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_model_draws_the_numbers_that_it_always_drew(config: ModelConfig, recipe: str) -> None:
    sha = hashlib.sha256()
    for name, weight in sorted(weights(Transformer(replace(config, initialisation=recipe), 7)).items()):
        sha.update(name.encode() + weight.tobytes())
    assert sha.hexdigest()[:12] in DRAWN[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_part_made_alone_is_initialised_by_its_seed_and_needs_its_input_alone(
    config: ModelConfig, recipe: str
) -> None:
    config, state = replace(config, initialisation=recipe), torch.get_rng_state()
    for kind in (Transformer, TransformerBlock, MultiHeadAttention, *([MLP] if config.d_mlp else [])):
        once, again, other = (kind(config, seed=seed) for seed in (7, 7, 8))
        assert torch.equal(torch.get_rng_state(), state)
        for name, weight in once.state_dict().items():
            assert torch.equal(weight, again.state_dict()[name]), name
            assert weight.abs().max() < 5, name
            assert weight.ndim < 2 or not torch.equal(weight, other.state_dict()[name]), name
        x = torch.arange(6).view(2, 3) if kind is Transformer else residual(config, 2)
        assert once(x).isfinite().all()
        assert torch.equal(once(x), again(x))


def test_the_global_generator_has_no_say_in_the_first_weights(deep: ModelConfig) -> None:
    with torch.random.fork_rng(devices=[]):
        models = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            models.append(weights(Transformer(deep, seed=3)))
    assert all(np.array_equal(w, models[1][name]) for name, w in models[0].items())


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_two_matrices_of_a_model_start_alike(deep: ModelConfig, recipe: str) -> None:
    first = weights(Transformer(replace(deep, initialisation=recipe, d_mlp=deep.d_model, d_head=8), seed=7))
    matrices = {name: np.sort(w, axis=None) for name, w in first.items() if w.ndim >= 2 and ".b_" not in name}
    for name, values in matrices.items():
        same = [other for other, w in matrices.items() if w.size == values.size and np.allclose(w, values, rtol=1e-3)]
        assert same == [name]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("xavier", r"^`initialisation` = 'xavier' is unknown; known: scaled_normal, gpt2\.$"),
        ("calibration", r"^`initialisation` = 'calibration' is called 'scaled_normal' now; write that\.$"),
    ],
)
def test_an_unknown_initialisation_is_refused_with_those_known(small: ModelConfig, name: str, sentence: str) -> None:
    with pytest.raises(MiscopeError, match=sentence):
        Transformer(replace(small, initialisation=name))


@pytest.mark.parametrize("recipe", RECIPES)
def test_biases_start_at_zero_and_norms_as_the_identity(deep: ModelConfig, recipe: str) -> None:
    for name, weight in weights(Transformer(replace(deep, initialisation=recipe))).items():
        if name.endswith(".w"):
            assert (weight == 1).all(), name
        if ".b_" in name or name.endswith(".b"):
            assert not weight.any(), name


# ---------------------------------------------------------------- weights


def test_weights_written_and_loaded_are_bit_equal_copies(model: Transformer, draw: Draw) -> None:
    stored = weights(model)
    loaded = load_weights(Transformer(model.config, seed=9), stored)
    assert torch.equal(loaded(draw(model.config)), model(draw(model.config)))
    model.W_E.zero_()
    for name, weight in weights(loaded).items():
        np.testing.assert_array_equal(weight, stored[name], err_msg=name)


def test_every_parameter_is_stored_under_a_name_of_its_own_once_where_it_acts(model: Transformer) -> None:
    config = model.config
    twice = [model.W_E] if config.has_tied_embeddings else []
    if config.n_key_value_heads:  # two heads share them
        twice += [p for block in model.blocks for part in (block.attn.k, block.attn.v) for p in part.parameters()]
    n_parameters = sum(p.numel() for p in (*model.parameters(), *twice))
    assert sum(w.size for w in weights(model).values()) == n_parameters


def test_weights_are_in_the_shapes_of_transformer_lens(deep: ModelConfig, make: Make) -> None:
    shapes = {name: w.shape for name, w in weights(make(deep)).items()}
    h, d, e, m = deep.n_heads, deep.d_model, deep.d_head, deep.d_mlp
    block = {
        **{f"attn.W_{part}": (h, d, e) for part in "QKV"}, **{f"attn.b_{part}": (h, e) for part in "QKV"},
        "attn.W_O": (h, e, d), "attn.b_O": (d,), "mlp.W_in": (d, m), "mlp.b_in": (m,), "mlp.W_out": (m, d),
        "mlp.b_out": (d,), **{f"{ln}.{part}": (d,) for ln in ("ln1", "ln2") for part in "wb"},
    }  # fmt: skip
    ends = {"embed.W_E": (deep.d_vocab, d), "pos_embed.W_pos": (deep.n_ctx, d), "ln_final.w": (d,), "ln_final.b": (d,)}
    ends |= {"unembed.W_U": (d, deep.d_vocab_out), "unembed.b_U": (deep.d_vocab_out,)}
    assert shapes == ends | {f"blocks.{i}.{name}": shape for i in range(2) for name, shape in block.items()}


def test_a_missing_an_unknown_and_a_misshapen_weight_are_named(small: ModelConfig, make: Make) -> None:
    model = make(small)
    stored, w_e, w_q = (weights(model), *(weights(model)[name] for name in ("embed.W_E", "blocks.0.attn.W_Q")))
    for wrong, sentence in (
        ({n: w for n, w in stored.items() if n != "blocks.0.attn.W_K"}, r"missing.*: blocks\.0\.attn\.W_K\."),
        (stored | {"blocks.1.attn.W_K": w_q}, r"unknown.*: blocks\.1\.attn\.W_K\."),
        (stored | {"embed.W_E": w_e[:-1]}, r"embed\.W_E has shape \(11, 32\).*\(12, 32\)"),
        (stored | {"blocks.0.attn.W_Q": w_q[:, :, :-1]}, r"blocks\.0\.attn\.W_Q has shape \(4, 32, 7\)"),
    ):
        with pytest.raises(MiscopeError, match=sentence):
            load_weights(model, wrong)


# ---------------------------------------------------------------- hooks


def test_any_activation_can_be_replaced_and_the_logits_follow(model: Transformer, draw: Draw) -> None:
    """Each activation in turn gets its value on other tokens; what comes later, and the logits, change."""
    tokens, seen, other = draw(model.config), {}, {}
    logits = model(tokens, hook=keep_in(seen))
    assert torch.equal(logits, model(tokens))  # a hook that only looks changes nothing
    model(draw(model.config, 5).flip(0), hook=keep_in(other))
    differs = [name for name in seen if name != "hook_pos_embed"]  # which is the same on all tokens
    for replaced in differs:
        patched = model(tokens, hook=lambda name, x, r=replaced: other[r] if name == r else x)
        assert (patched - logits).abs().max() > 1e-5, replaced
    if model.W_pos is None:
        return
    moved = model(tokens, hook=lambda name, x: 2 * x if name == "hook_pos_embed" else x)
    assert (moved - logits).abs().max() > 1e-5


def test_replacing_the_last_residual_stream_decides_the_logits(deep: ModelConfig, make: Make, draw: Draw) -> None:
    model, last = make(deep), "blocks.1.hook_resid_post"
    zero = model(draw(deep), hook=lambda name, x: torch.zeros_like(x) if name == last else x)
    expected = model.unembed(model.ln_final(torch.zeros(5, deep.n_ctx, deep.d_model)))
    assert torch.equal(zero, expected)


def test_at_one_position_the_hook_sees_what_it_sees_there_at_all(deep: ModelConfig, make: Make, draw: Draw) -> None:
    model, tokens, whole, part = make(deep), draw(deep), {}, {}
    model(tokens, hook=keep_in(whole))
    model(tokens, query_positions=(4,), hook=keep_in(part))
    assert whole.keys() == part.keys()
    for name, activation in part.items():
        axis = 2 if name.endswith(("hook_pattern", "hook_attn_scores")) else 1
        there = whole[name].narrow(axis, 4, 1) if activation.shape[axis] == 1 else whole[name]
        close(activation.nan_to_num(neginf=0), there.nan_to_num(neginf=0))
    assert part["blocks.1.mlp.hook_post"].shape == (5, 1, deep.d_mlp)
