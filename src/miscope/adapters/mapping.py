"""Weights of Hugging Face's Qwen2, Qwen3 and Llama under the names of our own transformer, and back.

One table, read both ways. Nothing is left over in silence: a name that one side has and the other lacks is an error.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from miscope.core import MiscopeError, ModelConfig
from miscope.model.transformer import Transformer

# Hugging Face's name -> ours, in `Transformer.state_dict`; matrices are [d_out d_in] there and [d_in d_out] here
TABLE = {
    "model.embed_tokens.weight": "W_E",
    "model.layers.#.input_layernorm.weight": "blocks.#.ln1.w",
    **{f"model.layers.#.self_attn.{x}_proj.weight": f"blocks.#.attn.{x}.weight" for x in "qkvo"},
    **{f"model.layers.#.self_attn.{x}_proj.bias": f"blocks.#.attn.{x}.bias" for x in "qkv"},
    **{f"model.layers.#.self_attn.{x}_norm.weight": f"blocks.#.attn.{x}_norm.w" for x in "qk"},
    "model.layers.#.post_attention_layernorm.weight": "blocks.#.ln2.w",
    "model.layers.#.mlp.up_proj.weight": "blocks.#.mlp.fc_in.weight",
    "model.layers.#.mlp.gate_proj.weight": "blocks.#.mlp.fc_gate.weight",
    "model.layers.#.mlp.down_proj.weight": "blocks.#.mlp.fc_out.weight",
    "model.norm.weight": "ln_final.w",
    "lm_head.weight": "unembed.weight",
}
BACK = {ours: theirs for theirs, ours in TABLE.items()}


def to_core(weights: Mapping[str, Tensor], config: ModelConfig) -> Transformer:
    """Our transformer with copies of the weights.

    Raises:
        MiscopeError: a weight is missing, unknown or of another shape; it names which.
    """
    model = Transformer(config)
    wanted = {_renamed(name, BACK): value.shape for name, value in model.state_dict().items()}
    check_names(wanted.keys(), weights.keys(), "The weights")
    ours = {_renamed(name, TABLE): _turned(name, value) for name, value in weights.items()}
    for name, value in model.state_dict().items():
        if ours[name].shape != value.shape:
            theirs = _renamed(name, BACK)
            raise MiscopeError(
                f"The weight {theirs} has shape {tuple(weights[theirs].shape)}; the settings say another."
            )
    model.load_state_dict({name: value.detach().float() for name, value in ours.items()})
    return model


def from_core(model: Transformer) -> dict[str, Tensor]:
    """Copies of the weights under Hugging Face's names and in its shapes."""
    state = {_renamed(name, BACK): value for name, value in model.state_dict().items()}
    return {name: _turned(name, value).contiguous().clone() for name, value in state.items()}


def check_names(wanted: Any, found: Any, what: str) -> None:
    """
    Raises:
        MiscopeError: names are missing or unknown.
    """
    faults = {"missing": sorted(set(wanted) - set(found)), "unknown": sorted(set(found) - set(wanted))}
    said = [f"{len(names)} {fault}: {', '.join(names[:4])}" for fault, names in faults.items() if names]
    if said:
        raise MiscopeError(f"{what} do not fit the settings; {'; '.join(said)}.")


def _renamed(name: str, table: Mapping[str, str]) -> str:
    """The name by the table; one that it does not know stays, for `check_names` to refuse."""
    layer = re.search(r"\.(\d+)\.", name)
    pattern = name.replace(layer[0], ".#.", 1) if layer else name
    return table.get(pattern, name).replace("#", layer[1]) if layer else table.get(pattern, name)


def _turned(name: str, x: Tensor) -> Tensor:
    """Matrices are stored the other way round; the table of embeddings is not."""
    return x.T if x.ndim == 2 and name != "model.embed_tokens.weight" else x
