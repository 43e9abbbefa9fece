"""Models that the tests of this folder share: small, and with every parameter away from its initial 0 or 1."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from miscope.core import ModelConfig
from miscope.model.transformer import Transformer

SMALL = ModelConfig(n_layers=1, d_model=32, n_heads=4, d_head=8, d_mlp=64, n_ctx=3, d_vocab=12, d_vocab_out=11)
DEEP = replace(SMALL, n_layers=2, d_head=5, n_ctx=6, normalization="LN", has_biases=True, act_fn="gelu")
QWEN2 = replace(
    DEEP, d_head=6, d_vocab_out=SMALL.d_vocab, normalization="RMS", has_biases=False, act_fn="silu", positions="rotary",
    rotary_base=100.0, n_key_value_heads=2, gated_mlp=True, has_qkv_biases=True, eps=1e-6,
)  # fmt: skip
QWEN3 = replace(QWEN2, has_qkv_biases=False, use_qk_norm=True, has_tied_embeddings=True)
CONFIGS = {
    "small": SMALL,
    "two layers, LN, biases, gelu": DEEP,
    "LN without biases": replace(SMALL, normalization="LN"),
    "RMS": replace(DEEP, normalization="RMS", has_biases=False),
    "attention only": replace(SMALL, n_layers=2, d_mlp=0),
    "attention only, LN": replace(SMALL, d_mlp=0, normalization="LN"),
    "not causal": replace(SMALL, n_layers=2, is_causal=False),
    "not causal, LN, biases": replace(DEEP, is_causal=False),
    "rotary": replace(DEEP, d_head=6, positions="rotary"),
    "Qwen2": QWEN2,
    "Qwen3, tied": QWEN3,
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return request.param


@pytest.fixture
def model(config: ModelConfig) -> Transformer:
    return perturbed(config)


@pytest.fixture
def make() -> Callable[[ModelConfig], Transformer]:
    return perturbed


@pytest.fixture
def small() -> ModelConfig:
    return SMALL


@pytest.fixture
def deep() -> ModelConfig:
    return DEEP


@pytest.fixture
def draw() -> Callable[..., Tensor]:
    """Token ids `draw(config, batch, pos)` from a generator of its own."""
    return tokens


@pytest.fixture
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def perturbed(config: ModelConfig, seed: int = 3) -> Transformer:
    model, generator = Transformer(config, seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def tokens(config: ModelConfig, batch: int = 5, pos: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.randint(config.d_vocab, (batch, pos or config.n_ctx), generator=generator)
