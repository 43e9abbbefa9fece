"""Named recipes for the first weights. A recipe draws from generators of its own; the global one is left as it was."""

import hashlib
import math
import re
from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange

from miscope.core import MiscopeError

RENAMED = {"calibration": "scaled_normal"}


def scaled_normal(module: Any, seed: int) -> None:
    """Every matrix N(0, (0.8 / sqrt(d_model))^2), drawn from one generator in TransformerLens' shapes, layer by layer.

    The order is W_E, W_pos, then per layer W_Q, W_O, W_K, W_V, W_in, W_gate, W_out, then W_U, without those that the
    module lacks: bit-compatible with the published runs of modular addition. Biases are 0, norms the identity.
    """
    generator, d_head = torch.Generator().manual_seed(seed), module.config.d_head
    matrices = [(name, p) for name, p in module.named_parameters() if p.ndim >= 2]
    for i, (name, _) in enumerate(matrices):
        if _is_last(name, "o"):
            matrices.insert(i - 2, matrices.pop(i))  # before k and v
    for name, parameter in matrices:
        d_in, d_out = parameter.shape
        if _is_last(name, "[qkv]"):
            by_head = torch.randn((d_out // d_head, d_in, d_head), generator=generator)
            values = rearrange(by_head, "h d e -> d (h e)")
        else:
            values = torch.randn((d_in, d_out), generator=generator)
        parameter.copy_(values * (0.8 / math.sqrt(module.config.d_model)))


def gpt2(module: Any, seed: int) -> None:
    """N(0, 0.02^2), projections onto the residual stream divided by sqrt(2 n_layers); a generator for each matrix.

    Source: Radford et al. 2019, section 2.3. A matrix's numbers depend on the seed and its name alone, so that adding a
    layer leaves the others as they were.
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2:
            std = 0.02 / math.sqrt(2 * module.config.n_layers) if _is_last(name, "o|fc_out") else 0.02
            parameter.copy_(torch.randn(parameter.shape, generator=own_generator(seed, name)) * std)


RECIPES: dict[str, Callable[[Any, int], None]] = {"scaled_normal": scaled_normal, "gpt2": gpt2}


def initialise(module: Any, seed: int | None) -> None:
    """Draw the first weights by the recipe that the configuration names, or refuse its name; None leaves them unset."""
    if seed is None:
        return
    name = module.config.initialisation
    if name in RENAMED:
        raise MiscopeError(f"`initialisation` = {name!r} is called {RENAMED[name]!r} now; write that.")
    if name not in RECIPES:
        raise MiscopeError(f"`initialisation` = {name!r} is unknown; known: {', '.join(RECIPES)}.")
    with torch.no_grad():
        RECIPES[name](module, seed)


def own_generator(seed: int, name: str) -> torch.Generator:
    """A generator that depends on the seed and the name alone."""
    words = hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(words, "little") >> 1)


def _is_last(name: str, layers: str) -> bool:
    """Whether a parameter is the weight of a layer of one of these names, alone or within others."""
    return re.search(rf"(^|\.)({layers})\.weight$", name) is not None
