"""The places in a network: weight matrices by kind, and the sites of representations by kind and layer."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from miscope.core import MiscopeError, ModelConfig

Kind = Literal["resid_pre", "attn_out", "mlp_post", "mlp_out", "resid_post"]
HOOKS = ("hook_resid_pre", "hook_attn_out", "mlp.hook_post", "hook_mlp_out", "hook_resid_post")


def sites(activations: Mapping[str, np.ndarray], model: ModelConfig) -> dict[str, np.ndarray]:
    """Site -> [batch dim], in the order of the forward pass; a model without an MLP lacks the MLP's.

    Of `hook_resid_pre` there is the first layer's alone: a later one is the `hook_resid_post` of the layer before.
    """
    names = (f"blocks.{i}.{hook}" for i in range(model.n_layers) for hook in HOOKS if not i or hook != HOOKS[0])
    return {name: activations[name] for name in names if name in activations}


def matrix_kinds(names: tuple[str, ...]) -> tuple[str, ...]:
    """The kind of each matrix: `W_E`, `W_Q`; in a network of several layers `layer 1 W_Q`. Heads share a kind."""
    n_layers = len({name.split(".")[1] for name in names if name.startswith("blocks.")})
    parts = [name.split(".") for name in names]
    leaves = [next(part for part in reversed(path) if not part.isdigit()) for path in parts]
    return tuple(
        f"layer {path[1]} {leaf}" if path[0] == "blocks" and n_layers > 1 else leaf
        for path, leaf in zip(parts, leaves, strict=True)
    )


def kind(site: str) -> str:
    """`blocks.0.mlp.hook_post` is `mlp_post`, `blocks.1.hook_resid_post` is `resid_post`."""
    return "_".join(site.split(".")[2:]).replace("hook_", "")


def names(sites: tuple[str, ...], chosen: list[int]) -> list[str]:
    """The kinds of the chosen sites."""
    return [kind(sites[i]) for i in chosen]


def layer_of(site: str) -> int:
    return int(site.split(".")[1])


def options_of(site: str) -> dict[str, Any]:
    """As the options of a view name the site, see `index_of`."""
    return {"site": kind(site), "layer": layer_of(site)}


def last_of_layers(sites: tuple[str, ...]) -> dict[int, int]:
    """Layer -> its last site, as an index."""
    return {layer_of(site): i for i, site in enumerate(sites)}


def of_layer(sites: tuple[str, ...], layer: int) -> list[int]:
    """Indices of a layer's sites; -1 is the last layer. MiscopeError: there is no such layer."""
    last = max(map(layer_of, sites))
    wanted = last if layer == -1 else layer
    chosen = [i for i, site in enumerate(sites) if layer_of(site) == wanted]
    if not chosen:
        raise MiscopeError(f"`layer` = {layer}; allowed: 0 to {last}, or -1 for the last.")
    return chosen


def index_of(sites: tuple[str, ...], site: str, layer: int) -> int:
    """The site of a kind in a layer; -1 is the last layer. MiscopeError: the layer lacks it."""
    at = {kind(sites[i]): i for i in of_layer(sites, layer)}
    if site not in at:
        raise MiscopeError(f"`site` = {site}; this layer has {', '.join(at)}.")
    return at[site]


def columns(width: Int[np.ndarray, " site"], at: int) -> slice:
    """Of features of all sites side by side, each `width` of them, those of one."""
    end = int(width[: at + 1].sum())
    return slice(end - int(width[at]), end)


def stacked(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was measured at each site, name by name, as one array whose first axis is the sites."""
    return {name: np.stack([np.asarray(part[name]) for part in parts]) for name in parts[0]}
