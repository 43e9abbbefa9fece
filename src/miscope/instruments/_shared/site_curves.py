"""Curves of sites, layer by layer, in the colours of their kinds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

import numpy as np
import pandas as pd
from jaxtyping import Float

from miscope.instruments._shared.sites import Kind, last_of_layers, names, of_layer
from miscope.renderers import theme
from miscope.renderers.tidy import joined, long

COLORS = dict(zip(get_args(Kind), theme.PALETTE, strict=False))


def by_layer(
    name: str,
    values: Float[np.ndarray, "site step"],
    sites: tuple[str, ...],
    steps: np.ndarray | tuple[int, ...],
    beside: Mapping[str, Float[np.ndarray, " step"]] = MappingProxyType({}),
) -> pd.DataFrame:
    """One row per (layer, site, step); each layer has the curves `beside` those of its sites."""
    layers = {f"layer {layer}": of_layer(sites, layer) for layer in last_of_layers(sites)}
    parts = [
        long(name, np.vstack([*beside.values(), values[at]]), site=[*beside, *names(sites, at)], step=steps)
        for at in layers.values()
    ]
    return joined(parts, list(layers), "layer")
