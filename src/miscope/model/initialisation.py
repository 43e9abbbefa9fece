"""Named recipes for the first weights. A recipe draws from generators of its own; the global one is left as it was."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange

from miscope.core import MiscopeError


def calibration(model: Any, seed: int) -> None:
    """Every matrix N(0, (0.8 / sqrt(d_model))^2), drawn from one generator in TransformerLens' shapes, layer by layer.

    The order is W_E, W_pos, then per layer W_Q, W_O, W_K, W_V, W_in, W_gate, W_out, then W_U, without those that the
    model lacks: bit-compatible with the published runs of modular addition to which the instruments are calibrated.
    Biases are 0, norms the identity.
    """
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    std = 0.8 / math.sqrt(config.d_model)

    def draw(parameter: torch.Tensor | None, pattern: str = "", n_heads: int = config.n_heads) -> None:
        if parameter is None:  # the model does without
            return
        shape = _lens_shape(parameter, pattern, n_heads)
        values = torch.randn(shape, generator=generator) * std
        parameter.data.copy_(_own_axes(values, pattern))

    draw(model.W_E)
    draw(model.W_pos)
    for block in model.blocks:
        draw(block.attn.q.weight, "h d e -> d (h e)")
        draw(block.attn.o.weight, "h e d -> (h e) d")
        draw(block.attn.k.weight, "h d e -> d (h e)", config.n_key_value_heads or config.n_heads)
        draw(block.attn.v.weight, "h d e -> d (h e)", config.n_key_value_heads or config.n_heads)
        if block.mlp is not None:
            draw(block.mlp.fc_in.weight)
            draw(block.mlp.fc_gate and block.mlp.fc_gate.weight)
            draw(block.mlp.fc_out.weight)
    draw(model.unembed and model.unembed.weight)


def gpt2(model: Any, seed: int) -> None:
    """N(0, 0.02^2), projections onto the residual stream divided by sqrt(2 n_layers); a generator for each matrix.

    Source: Radford et al. 2019, section 2.3. A matrix's numbers depend on the seed and its name alone, so that adding a
    layer leaves the others as they were.
    """
    residual = ("attn.o.weight", "mlp.fc_out.weight")
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            std = 0.02 / math.sqrt(2 * model.config.n_layers) if name.endswith(residual) else 0.02
            parameter.data.copy_(torch.randn(parameter.shape, generator=own_generator(seed, name)) * std)


RECIPES: dict[str, Callable[[Any, int], None]] = {"calibration": calibration, "gpt2": gpt2}


def initialise(model: Any, seed: int) -> None:
    """Draw the model's first weights by the recipe that its configuration names.

    Raises:
        MiscopeError: there is no such recipe.
    """
    name = model.config.initialisation
    if name not in RECIPES:
        raise MiscopeError(f"`initialisation` = {name!r} is unknown; known: {', '.join(RECIPES)}.")
    with torch.no_grad():
        RECIPES[name](model, seed)


def own_generator(seed: int, name: str) -> torch.Generator:
    """A generator that depends on the seed and the name alone."""
    words = hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(words, "little") >> 1)


def _lens_shape(parameter: torch.Tensor, pattern: str, n_heads: int) -> tuple[int, ...]:
    if not pattern:
        return tuple(parameter.shape)
    left, _, right = pattern.partition(" -> ")
    return tuple(rearrange(parameter, f"{right} -> {left}", h=n_heads).shape)


def _own_axes(values: torch.Tensor, pattern: str) -> torch.Tensor:
    return rearrange(values, pattern) if pattern else values
