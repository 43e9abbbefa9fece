"""Rotary positions, shared keys and values, gates: by hand, and against the same maths in its plain form."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from miscope.core import MiscopeError, ModelConfig
from miscope.model.attention import Attention
from miscope.model.mlp import MLP
from miscope.model.rotary import places, rotated
from miscope.model.rows import unique_rows
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.workspace import store

Make = Callable[..., Transformer]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_one_position_turns_each_pair_by_its_own_angle() -> None:
    """With base 4 and two pairs, (1, 3) turns by 1 radian and (2, 4) by 4^(-1/2)."""
    found = rotated(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4), torch.tensor([1]), 4.0)
    (c, s), (half_c, half_s) = ((math.cos(angle), math.sin(angle)) for angle in (1.0, 0.5))
    expected = [c - 3 * s, 2 * half_c - 4 * half_s, 3 * c + s, 4 * half_c + 2 * half_s]
    assert found.flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_scores_see_the_distance_and_not_the_place() -> None:
    q, k = drawn(1, 1, 3, 8), drawn(1, 1, 3, 8, seed=1)

    def score(i: int, j: int) -> Tensor:
        return (rotated(q, torch.tensor([i]), 100.0) * rotated(k, torch.tensor([j]), 100.0)).sum(-1)

    torch.testing.assert_close(score(5, 2), score(45, 42), rtol=1e-4, atol=1e-5)
    assert (score(5, 2) - score(5, 3)).abs().min() > 1e-3


def test_turning_keeps_lengths_and_position_zero_is_untouched() -> None:
    x = drawn(2, 5, 3, 6)
    turned = rotated(x, torch.arange(5), 10.0)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])


def test_positions_count_from_the_first_real_token() -> None:
    attention_mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]]).bool()
    assert places(attention_mask, 4, torch.device("cpu")).tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert places(None, 3, torch.device("cpu")).tolist() == [0, 1, 2]


@torch.no_grad()
def test_shared_keys_and_values_are_those_of_heads_that_repeat_them(deep: ModelConfig) -> None:
    shared, full = Attention(replace(deep, n_key_value_heads=2)), Attention(deep)
    for i, parameter in enumerate(shared.parameters()):
        parameter.copy_(drawn(*parameter.shape, seed=i) / 4)
    state = shared.state_dict()
    for name in ("k", "v"):
        for part in ("weight", "bias"):
            by_group = state[f"{name}.{part}"].unflatten(-1, (2, deep.d_head))
            state[f"{name}.{part}"] = by_group.repeat_interleave(2, dim=-2).flatten(-2)
    full.load_state_dict(state)
    x, read = drawn(3, 6, deep.d_model), torch.arange(6)
    torch.testing.assert_close(shared(x, read), full(x, read))


@torch.no_grad()
def test_a_gated_mlp_is_the_product_of_two_readings(deep: ModelConfig) -> None:
    mlp, x = MLP(replace(deep, gated_mlp=True, act_fn="silu", has_biases=False)), drawn(2, 3, deep.d_model)
    for i, parameter in enumerate(mlp.parameters()):
        parameter.copy_(drawn(*parameter.shape, seed=i) / 4)
    assert mlp.fc_gate is not None
    gate = x @ mlp.fc_gate.weight
    expected = (gate * gate.sigmoid() * (x @ mlp.fc_in.weight)) @ mlp.fc_out.weight
    torch.testing.assert_close(mlp(x), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_distinct_rows_give_the_same_logits(model: Transformer) -> None:
    config = model.config
    tokens = torch.randint(3, (400, 3), generator=torch.Generator().manual_seed(0))
    read = torch.tensor([2])
    rows = unique_rows(tokens, read, config.n_ctx)
    assert rows is not None
    torch.testing.assert_close(model.forward_unique(rows), model(tokens, positions=(2,)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_models_that_are_stacked_give_each_ones_logits(config: ModelConfig, make: Make, draw: Callable) -> None:
    """As a cohort of variants calls them; tied weights belong to it too."""
    models = [make(config, seed) for seed in (1, 2)]
    stacked = {name: torch.stack([dict(m.named_parameters())[name] for m in models]) for name in _names(models[0])}
    tokens, read = draw(config), torch.arange(config.n_ctx)
    look = lambda name, x: x  # noqa: E731  nothing is overwritten, which vmap does not allow

    class AtRead(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.m = models[0]

        def forward(self, x: Tensor) -> Tensor:
            return self.m.logits_at(x, read, look)

    call = AtRead()
    found = vmap(lambda w: functional_call(call, {f"m.{n}": v for n, v in w.items()}, (tokens,)))(stacked)
    for logits, one in zip(found, models, strict=True):
        torch.testing.assert_close(logits, one(tokens), rtol=1e-4, atol=1e-5)


def _names(model: Transformer) -> list[str]:
    return [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize("recipe", ["calibration", "gpt2"])
def test_the_seed_decides_the_first_weights_of_every_shape(config: ModelConfig, recipe: str) -> None:
    first, again, other = (weights(Transformer(replace(config, initialisation=recipe), seed)) for seed in (7, 7, 8))
    for name, weight in first.items():
        assert np.isfinite(weight).all(), name
        np.testing.assert_array_equal(weight, again[name], err_msg=name)
        assert ".W_" not in name or not np.array_equal(weight, other[name]), name


# ---------------------------------------------------------------- settings


def test_what_is_new_is_not_in_the_declaration_of_what_does_without(small: ModelConfig) -> None:
    """Trainings from before there was a choice stay what they were."""
    before = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_ctx", "d_vocab", "d_vocab_out", "act_fn",
              "normalization", "is_causal", "has_biases", "initialisation")  # fmt: skip
    assert tuple(small.declaration()) == before
    assert ModelConfig(**small.declaration()) == small
    rotary = replace(small, positions="rotary", n_key_value_heads=2)
    assert rotary.declaration() == small.declaration() | {"positions": "rotary", "n_key_value_heads": 2}
    assert ModelConfig(**rotary.declaration()) == rotary
    assert set(asdict(small)) == set(before) | set(ModelConfig.LATER)


def test_a_checkpoint_from_before_is_read(small: ModelConfig, make: Make, tmp_path: Path) -> None:
    path = tmp_path / "000000.safetensors"
    store.save_checkpoint(path, 0, small, weights(make(small)))
    assert b"rotary" not in path.read_bytes()
    assert store.load_checkpoint(path).model == small


@pytest.mark.parametrize(
    ("odd", "sentence"),
    [
        ({"n_key_value_heads": 3}, r"^`n_key_value_heads` = 3; allowed: 0, or a divisor of 4 heads\.$"),
        ({"positions": "rotary", "d_head": 5}, r"`d_head` = 5; allowed: even"),
        ({"has_tied_embeddings": True}, r"`has_tied_embeddings` needs answers that are tokens; the task has 12 tokens"),
        ({"eps": 0.0}, r"^`eps` = 0, `rotary_base` = 10000; allowed: 0 to 1, and above 1\.$"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(small: ModelConfig, odd: dict, sentence: str) -> None:
    with pytest.raises(MiscopeError, match=sentence):
        replace(small, **odd)
