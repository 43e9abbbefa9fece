"""The places in a network at which representations are measured: their short names, by layer and kind."""

from typing import Literal

from miscope.core import MiscopeError
from miscope.renderers import theme

Kind = Literal["resid_pre", "attn_out", "mlp_post", "mlp_out", "resid_post"]
TONES = dict(zip(("resid_pre", "attn_out", "mlp_post", "mlp_out", "resid_post"), theme.PALETTE, strict=False))


def kind(site: str) -> str:
    """`blocks.0.mlp.hook_post` is `mlp_post`, `blocks.1.hook_resid_post` is `resid_post`."""
    return "_".join(site.split(".")[2:]).replace("hook_", "")


def names(sites: tuple[str, ...], chosen: list[int]) -> list[str]:
    """The kinds of the chosen sites."""
    return [kind(sites[i]) for i in chosen]


def layer_of(site: str) -> int:
    return int(site.split(".")[1])


def by_layer(sites: tuple[str, ...]) -> dict[str, list[int]]:
    """`layer 0` -> the sites of that layer, as indices."""
    found: dict[str, list[int]] = {}
    for i, site in enumerate(sites):
        found.setdefault(f"layer {layer_of(site)}", []).append(i)
    return found


def of_layer(sites: tuple[str, ...], layer: int) -> list[int]:
    """Indices of a layer's sites; -1 is the last layer.

    Raises:
        MiscopeError: there is no such layer.
    """
    last = max(map(layer_of, sites))
    wanted = last if layer == -1 else layer
    found = [i for i, site in enumerate(sites) if layer_of(site) == wanted]
    if not found:
        raise MiscopeError(f"`layer` = {layer}; allowed: 0 to {last}, or -1 for the last.")
    return found


def index_of(sites: tuple[str, ...], site: str, layer: int) -> int:
    """The site of a kind in a layer; -1 is the last layer.

    Raises:
        MiscopeError: the layer lacks it.
    """
    found = {kind(sites[i]): i for i in of_layer(sites, layer)}
    if site not in found:
        raise MiscopeError(f"`site` = {site}; this layer has {', '.join(found)}.")
    return found[site]
