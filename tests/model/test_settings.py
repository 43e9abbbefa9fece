"""What a ModelConfig may ask for (rotary positions, shared keys and values, gates): by hand, and in plain maths."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from miscope.core import MiscopeError, ModelConfig
from miscope.model import MLP, MultiHeadAttention, Transformer
from miscope.model.attention import position_ids, rotated
from miscope.model.weights import load_weights, weights
from miscope.workspace import store

pytestmark = pytest.mark.usefixtures("no_gradients")
Make = Callable[..., Transformer]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_one_position_turns_each_pair_by_its_own_angle() -> None:
    """With base 4 and two pairs, (1, 3) turns by 1 radian and (2, 4) by 4^(-1/2)."""
    turned = rotated(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4), torch.tensor([1]), 4.0)
    (c, s), (half_c, half_s) = ((math.cos(angle), math.sin(angle)) for angle in (1.0, 0.5))
    expected = [c - 3 * s, 2 * half_c - 4 * half_s, 3 * c + s, 4 * half_c + 2 * half_s]
    assert turned.flatten().tolist() == pytest.approx(expected, rel=1e-6)
    x = drawn(2, 5, 3, 6)
    turned = rotated(x, torch.arange(5), 10.0)  # lengths are kept, and position 0 is untouched
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])


def test_scores_see_the_distance_and_not_the_place() -> None:
    q, k = drawn(1, 1, 3, 8), drawn(1, 1, 3, 8, seed=1)

    def score(i: int, j: int) -> Tensor:
        return (rotated(q, torch.tensor([i]), 100.0) * rotated(k, torch.tensor([j]), 100.0)).sum(-1)

    torch.testing.assert_close(score(5, 2), score(45, 42), rtol=1e-4, atol=1e-5)
    assert (score(5, 2) - score(5, 3)).abs().min() > 1e-3


def test_positions_count_from_the_first_real_token() -> None:
    attention_mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]]).bool()
    assert position_ids(attention_mask, 4, torch.device("cpu")).tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert position_ids(None, 3, torch.device("cpu")).tolist() == [0, 1, 2]


def test_shared_keys_and_values_are_those_of_heads_that_repeat_them(deep: ModelConfig) -> None:
    shared, full = MultiHeadAttention(replace(deep, n_key_value_heads=2)), MultiHeadAttention(deep)
    for i, parameter in enumerate(shared.parameters()):
        parameter.copy_(drawn(*parameter.shape, seed=i) / 4)
    state = shared.state_dict()
    for name in ("k", "v"):
        for part in ("weight", "bias"):
            by_group = state[f"{name}.{part}"].unflatten(-1, (2, deep.d_head))
            state[f"{name}.{part}"] = by_group.repeat_interleave(2, dim=-2).flatten(-2)
    full.load_state_dict(state)
    x = drawn(3, 6, deep.d_model)
    torch.testing.assert_close(shared(x), full(x))


def test_a_gated_mlp_is_the_product_of_two_readings(deep: ModelConfig) -> None:
    mlp, x = MLP(replace(deep, gated_mlp=True, act_fn="silu", has_biases=False)), drawn(2, 3, deep.d_model)
    for i, parameter in enumerate(mlp.parameters()):
        parameter.copy_(drawn(*parameter.shape, seed=i) / 4)
    assert mlp.fc_gate is not None
    gate = x @ mlp.fc_gate.weight
    expected = (gate * gate.sigmoid() * (x @ mlp.fc_in.weight)) @ mlp.fc_out.weight
    torch.testing.assert_close(mlp(x), expected, rtol=1e-5, atol=1e-5)


def test_models_that_are_stacked_give_each_ones_logits(config: ModelConfig, make: Make, draw: Callable) -> None:
    """As an ensemble of variants calls them; tied weights belong to it too."""
    models = [make(config, seed) for seed in (1, 2)]
    parameters = [{f"model.{name}": p for name, p in model.named_parameters()} for model in models]
    stacked = {name: torch.stack([each[name] for each in parameters]) for name in parameters[0]}
    tokens, call = draw(config), Hooked(models[0])
    all_logits = vmap(lambda weights: functional_call(call, weights, (tokens,)))(stacked)
    for logits, one in zip(all_logits, models, strict=True):
        torch.testing.assert_close(logits, one(tokens), rtol=1e-4, atol=1e-5)


class Hooked(torch.nn.Module):
    """The model with a hook, so that it overwrites nothing, which vmap does not allow."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.logits_at(tokens, torch.arange(tokens.shape[1]), lambda name, x: x)


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
    """Also one that names its initialisation by an old word: nothing is drawn for weights that are there."""
    path, before = tmp_path / "000000.safetensors", replace(small, initialisation="calibration")
    stored = weights(make(small))
    store.save_checkpoint(path, 0, before, stored)
    assert b"rotary" not in path.read_bytes()
    checkpoint = store.load_checkpoint(path)
    assert checkpoint.model == before
    read = weights(load_weights(Transformer(before, seed=None), checkpoint.weights))
    assert all((read[name] == weight).all() for name, weight in stored.items())


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
