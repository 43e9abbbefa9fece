"""Names of the parameters: the module's own, and TransformerLens' for checkpoints. One table, read both ways.

A checkpoint holds a weight at every place where it acts, as TransformerLens shows it: keys and values that heads share
stand once for each head, and a tied unembedding stands as `unembed.W_U`. So every instrument reads one layout.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from einops import rearrange

from miscope.core import MiscopeError, ModelConfig
from miscope.model.transformer import Transformer

# module's name -> (TransformerLens' name, module's axes -> TransformerLens' axes)
TABLE: dict[str, tuple[str, str]] = {
    "W_E": ("embed.W_E", ""),
    "W_pos": ("pos_embed.W_pos", ""),
    **{f"blocks.#.attn.{x}.weight": (f"blocks.#.attn.W_{x.upper()}", "d (h e) -> h d e") for x in "qkv"},
    **{f"blocks.#.attn.{x}.bias": (f"blocks.#.attn.b_{x.upper()}", "(h e) -> h e") for x in "qkv"},
    "blocks.#.attn.o.weight": ("blocks.#.attn.W_O", "(h e) d -> h e d"),
    "blocks.#.attn.o.bias": ("blocks.#.attn.b_O", ""),
    **{f"blocks.#.mlp.fc_{x}.weight": (f"blocks.#.mlp.W_{x}", "") for x in ("in", "gate", "out")},
    **{f"blocks.#.mlp.fc_{x}.bias": (f"blocks.#.mlp.b_{x}", "") for x in ("in", "gate", "out")},
    **{f"blocks.#.attn.{x}_norm.w": (f"blocks.#.attn.{x}_norm.w", "") for x in "qk"},
    **{f"{norm}.{x}": (f"{norm}.{x}", "") for norm in ("blocks.#.ln1", "blocks.#.ln2", "ln_final") for x in "wb"},
    "unembed.weight": ("unembed.W_U", ""),
    "unembed.bias": ("unembed.b_U", ""),
}


def parameters_by_name(model: Transformer) -> Iterator[tuple[str, torch.nn.Parameter, str]]:
    """Every parameter with its TransformerLens name and the pattern from its own axes to TransformerLens'."""
    for own, parameter in model.named_parameters():
        layer = re.search(r"blocks\.(\d+)\.", own)
        name, pattern = TABLE[re.sub(r"blocks\.\d+\.", "blocks.#.", own)]
        yield name.replace("#", layer[1]) if layer else name, parameter, pattern


def weights(model: Transformer) -> dict[str, np.ndarray]:
    """Copies of all parameters under TransformerLens' names and in its shapes, float32, on the CPU."""
    with torch.no_grad():
        named = {
            name: _to_lens(p.detach(), pattern, name, model.config).cpu().numpy().copy()
            for name, p, pattern in parameters_by_name(model)
        }
    return named | {"unembed.W_U": named["embed.W_E"].T.copy()} if model.config.has_tied_embeddings else named


def load_weights(model: Transformer, values: Mapping[str, np.ndarray]) -> Transformer:
    """Set all parameters of the model from weights in TransformerLens' names.

    Raises:
        MiscopeError: a weight is missing, unknown or of another shape, or two places that share one differ: it names
            which.
    """
    named = {name: (p, pattern) for name, p, pattern in parameters_by_name(model)}
    if model.config.has_tied_embeddings:
        values = dict(values)
        tied = values.pop("unembed.W_U", None)
        if tied is None or not np.array_equal(tied, values.get("embed.W_E", tied).T):
            raise MiscopeError(
                "The model's embeddings are tied; unembed.W_U is missing or is not embed.W_E's transpose."
            )
    if named.keys() != values.keys():
        odd = ", ".join(sorted(named.keys() ^ values.keys()))
        raise MiscopeError(f"The weights are of another architecture; missing or unknown: {odd}.")
    with torch.no_grad():
        for name, (parameter, pattern) in named.items():
            parameter.copy_(
                _from_lens(torch.from_numpy(np.array(values[name])), pattern, parameter, name, model.config)
            )
    return model


def n_heads_of(name: str, config: ModelConfig) -> int:
    """How many heads a weight, of either name, is stored for in the module."""
    is_shared = name.removesuffix(".weight").removesuffix(".bias").endswith(("attn.k", "attn.v", "_K", "_V"))
    return (config.n_key_value_heads if is_shared else 0) or config.n_heads


def _to_lens(x: torch.Tensor, pattern: str, name: str, config: ModelConfig) -> torch.Tensor:
    if not pattern:
        return x
    n_heads = n_heads_of(name, config)
    by_head = rearrange(x, pattern, h=n_heads)
    return by_head if n_heads == config.n_heads else by_head.repeat_interleave(config.n_heads // n_heads, dim=0)


def _from_lens(x: torch.Tensor, pattern: str, like: torch.Tensor, name: str, config: ModelConfig) -> torch.Tensor:
    left, _, right = pattern.partition(" -> ")
    n_heads = n_heads_of(name, config)
    if pattern and n_heads < config.n_heads == x.shape[0]:
        x, all_heads = x[:: config.n_heads // n_heads], x
        if not torch.equal(x.repeat_interleave(config.n_heads // n_heads, dim=0), all_heads):
            raise MiscopeError(
                f"The weight {name} differs between heads that share it (`n_key_value_heads` = {n_heads})."
            )
    y = rearrange(x, f"{right} -> {left}", h=n_heads) if pattern else x
    if y.shape != like.shape:
        raise MiscopeError(
            f"The weight {name} has shape {tuple(x.shape)}, which does not fit the model's {tuple(like.shape)}."
        )
    return y
