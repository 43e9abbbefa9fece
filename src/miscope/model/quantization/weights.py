"""Weights as quantization would leave them, for instruments that ask what it costs. Imports no torch.

The names are TransformerLens', as in a checkpoint.
"""

from collections.abc import Mapping

import numpy as np
from einops import rearrange

from miscope.core import MiscopeError
from miscope.model.quantization.grid import nearest_grid

BY_HEAD = {"W_O": "h e d -> (h e) d", "W_Q": "h d e -> d (h e)", "W_K": "h d e -> d (h e)", "W_V": "h d e -> d (h e)"}
LINEARS = (*BY_HEAD, "W_in", "W_gate", "W_out", "W_U")  # all that a quantized model holds as codes


def quantizable(weights: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Names of the weights that a quantized model holds as codes, in the order of the mapping."""
    return tuple(name for name in weights if name.rpartition(".")[2] in LINEARS)


def fake_quantized(
    weights: Mapping[str, np.ndarray], bits: int, names: tuple[str, ...] | None = None, group_size: int | None = None
) -> dict[str, np.ndarray]:
    """The weights with those in `names` (default: all that are quantized) moved to the nearest grid; float32.

    They are the `weight`s of a model quantized at these bits on a processor with full 8-bit products. The others are
    the arrays that were given.

    Raises:
        MiscopeError: a name that is missing or that quantization leaves alone, or bits other than 8 and 4.
    """
    known = quantizable(weights)
    odd = [name for name in names or () if name not in known]
    if odd:
        raise MiscopeError(f"Not a weight that is quantized: {', '.join(odd)}; there are: {', '.join(known)}.")
    chosen = set(known if names is None else names)
    return {name: _moved(name, w, bits, group_size) if name in chosen else w for name, w in weights.items()}


def _moved(name: str, weight: np.ndarray, bits: int, group_size: int | None) -> np.ndarray:
    pattern = BY_HEAD.get(name.rpartition(".")[2])
    if pattern is None:
        return nearest_grid(weight, bits, group_size).weight
    left, _, right = pattern.partition(" -> ")
    matrix = nearest_grid(rearrange(weight, pattern), bits, group_size).weight
    return rearrange(matrix, f"{right} -> {left}", h=weight.shape[0])
