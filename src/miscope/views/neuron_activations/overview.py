"""Shows what a handful of neurons compute, as maps over the inputs, at one step.

Source: the maps are those of Nanda et al. 2023, arXiv:2301.05217, section 4.2.
"""

from typing import Literal

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, probe_axes

from miscope.analyzers.neuron_activations import NeuronActivations, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared.frequencies import of_neurons
from miscope.views.shared.neurons import activation_range, of_answer, peak, representative


def table(
    activations: Artifact[NeuronActivations],
    context: Context,
    step: int,
    *,
    neurons: tuple[int, ...] = (),
    layer: int = 0,
    n: int = 12,
    scale: Literal["each neuron", "shared"] = "each neuron",
) -> pd.DataFrame:
    """One row per (neuron, probe input); `activation` in the units of the network.

    `shade`, which is drawn, is the activation, or with `scale` = `each neuron` its share of the neuron's own largest
    over training. Without `neurons`, `n` representative ones are chosen at the last checkpoint, the same at every step.
    """
    shown = neurons or representative(activations, context.basis, context.grid, layer, n)
    maps = activations[step].activation[layer][list(shown)].astype(np.float32, copy=False)
    axes, titles = probe_axes(context)
    names, null = _names_and_verdict(activations, context, layer, shown, maps)
    found = long("activation", maps, panel=names, input=np.arange(maps.shape[1], dtype=np.int32))
    found = found.assign(neuron=np.repeat(np.array(shown, dtype=np.int32), maps.shape[1]))
    found = found.assign(**{axis: np.tile(values, len(shown)) for axis, values in axes.items()})
    ranges = np.array(activation_range(activations, layer, shown), dtype=np.float32)
    is_own = scale == "each neuron"
    found["shade"] = (maps / np.abs(ranges).max(axis=1, keepdims=True) if is_own else maps).ravel()
    own = (float(min(0.0, (ranges[:, 0] / np.abs(ranges).max(axis=1)).min())), 1.0)
    found.attrs |= {
        "titles": titles | {"shade": "activation, share of the neuron's largest" if is_own else "activation"},
        "null": null,
        "limits": {"shade": own if is_own else (float(ranges[:, 0].min()), float(ranges[:, 1].max()))},
    }
    return found


def _names_and_verdict(
    activations: Artifact[NeuronActivations], context: Context, layer: int, shown: tuple[int, ...], maps: np.ndarray
) -> tuple[list[str], str]:
    """`neuron 17, k = 38`: k is the frequency with most of the map's variance at this step."""
    basis = context.basis
    if context.grid != (basis.size, basis.size):
        return [f"neuron {i}" for i in shown], of_answer(activations, context, layer, maps)
    frequencies, fractions = peak(basis, maps.reshape(len(shown), *context.grid))
    names = [f"neuron {i}, k = {k}" for i, k in zip(shown, frequencies, strict=True)]
    return names, of_neurons("the median of these neurons' shares at one frequency", fractions, basis.n_frequencies)


view = View(
    question="What do neurons compute over the inputs?",
    reading="Each panel is one neuron over all inputs; k is the frequency with most of its variance at this step. "
    "Noise is memorisation; regular waves in both inputs are the Fourier circuit. The neurons and the colour scale "
    "are the same at every step.",
    needs=analyzer,
    table=table,
    draw=heatmap("b", "a", "shade", "panel", is_square=True, columns=3),
)
