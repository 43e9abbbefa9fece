"""Curves of sites, layer by layer, in the colours of their kinds; and a curve with its bounds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float

from miscope.instrument import Table
from miscope.instruments._shared.sites import Kind, last_of_layers, names, of_layer
from miscope.renderers import theme
from miscope.renderers.tidy import joined, long

COLORS = dict(zip(get_args(Kind), theme.PALETTE, strict=False))


def colors_of(value: str, error: str) -> dict[str, str]:
    """A curve and, in a pale colour, as much above and below it as it may be off or vary."""
    return {value: theme.PALETTE[0], f"{value} + {error}": theme.PALE, f"{value} - {error}": theme.PALE}


def around(value: Float[np.ndarray, " point"], error: Float[np.ndarray, " point"]) -> Float[np.ndarray, "curve point"]:
    """The three curves, in the order of `colors_of`."""
    return np.stack([value, value + error, value - error])


def from_zero(name: str, rows: pd.DataFrame, **more: Any) -> Table:
    """Curves on an axis that begins at 0."""
    return Table(rows, limits={name: (0.0, 1.05 * float(rows[name].max()))}, **more)


def by_layer(
    name: str, values: Float[np.ndarray, "site step"], sites: tuple[str, ...], steps: np.ndarray | tuple[int, ...],
    beside: Mapping[str, Float[np.ndarray, " step"]] = MappingProxyType({}),
) -> pd.DataFrame:  # fmt: skip
    """One row per (layer, site, step); each layer has the curves `beside` those of its sites."""
    layers = {f"layer {layer}": of_layer(sites, layer) for layer in last_of_layers(sites)}
    parts = [
        long(name, np.vstack([*beside.values(), values[at]]), site=[*beside, *names(sites, at)], step=steps)
        for at in layers.values()
    ]
    return joined(parts, list(layers), "layer")
