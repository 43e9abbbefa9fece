"""The frequencies that neurons serve: how many are tuned, how strongly, and to which."""

from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from miscope.instruments._shared.heads import layer_names
from miscope.instruments.neuron_spectra.measure import LOWEST, Spectra, null_of_population
from miscope.plugin import Context, Null, Table, bars, heatmap, lines, long, once, view

STATISTICS = ("mean", "90 % quantile", "median")


@view(
    question="When do neurons specialise in one frequency?",
    reading="The number of neurons with most of their variance over the inputs at a single frequency. The axis ends at "
    "the number of neurons.",
    draw=lines("step", "neurons", "level", "layer"),
)
def overview(spectra: Spectra, context: Context) -> Table:
    """One row per (layer, level, step); `neurons` counts those whose peak has at least that share of their variance."""
    counts = np.moveaxis(spectra.stack("n_specialised"), 0, -1)
    levels = [f"at least {level:.0%} at one frequency" for level in spectra.last.level]
    rows = long("neurons", counts, layer=layer_names(len(counts)), level=levels, step=spectra.steps)
    return Table(rows, limits={"neurons": (0.0, 1.02 * spectra.last.peak_fraction.shape[1])})


@view(
    question="Which frequency does each neuron have?",
    reading="Each row is a neuron, bright at the frequencies of its variance, sorted by its strongest frequency; at "
    "the right the frequency k and its number of neurons. A diagonal of many dim clusters is an untrained network; a "
    "few bright columns are the circuit.",
    draw=heatmap(
        "frequency", "rank", "fraction", height=430, extra="neuron",
        titles={"frequency": "frequency k", "rank": "neurons, sorted", "fraction": "fraction of the neuron's variance"},
    ),
)  # fmt: skip
def clusters(
    spectra: Spectra, context: Context, step: int, *, sort_by: Literal["this step", "final step"] = "this step",
    layer: int = 0,
) -> Table:  # fmt: skip
    """One row per (rank, frequency); `fraction` of the neuron's variance at that frequency, in [0, 1].

    `rank` orders neurons by peak frequency, within it by peak fraction, at this step or at the last.
    """
    fraction, sorter = spectra[step].fraction[layer], spectra[step] if sort_by == "this step" else spectra.last
    peak = sorter.peak_frequency[layer].astype(int)
    order = np.lexsort((-sorter.peak_fraction[layer], peak))
    n, n_freq = fraction.shape
    rows = long("fraction", fraction[order], rank=np.arange(n), frequency=np.arange(1, n_freq + 1))
    rows["neuron"] = np.repeat(order.astype(np.int32), n_freq)
    stretches = zip(*np.unique(peak[order], return_index=True, return_counts=True), strict=True)
    bands = [(int(first), int(first + size - 1), f"k = {k} ({size})") for k, first, size in stretches]
    return Table(rows, limits={"fraction": (0.0, 1.0)}, bands=bands)


@view(
    question="Do neurons first learn coarse, slowly varying functions?",
    reading="The share of a neuron's variance at its three lowest frequencies. Above the dashed even share, low "
    "frequencies are preferred.",
    draw=lines("step", "coarseness", "statistic", "layer", titles={"coarseness": "variance at k = 1 to 3"}),
)
def low_frequency(spectra: Spectra, context: Context, null: Null) -> Table:
    """One row per (layer, statistic, step); `coarseness` is the share of a neuron's variance at k = 1 .. 3."""
    low = spectra.stack("low_fraction").swapaxes(0, 1)  # [layer step neuron]
    values = np.stack([low.mean(axis=2), np.quantile(low, 0.9, axis=2), np.median(low, axis=2)], axis=1)
    rows = long("coarseness", values, layer=layer_names(len(low)), statistic=STATISTICS, step=spectra.steps)
    even = min(LOWEST / context.basis.n_frequencies, 1.0)
    return Table(rows, marks={"even share": even, "99 % of random neurons": null.threshold})


@view(
    question="How strongly is each neuron tuned to its best frequency?",
    reading="A histogram of the share of each neuron's variance at its strongest frequency. As neurons are tuned, they "
    "move to the right.",
    draw=bars("peak_fraction", "neurons", facet="layer", titles={"peak_fraction": "variance at the peak frequency"}),
)
def peak_fractions(spectra: Spectra, context: Context, step: int, *, bins: int = 40) -> Table:
    """One row per (layer, bin); `neurons` whose peak fraction lies in the bin centred at `peak_fraction`."""
    counts, edges = _histograms(spectra[step].peak_fraction, bins), np.linspace(0, 1, bins + 1)
    middles = np.round((edges[:-1] + edges[1:]) / 2, 6)
    rows = long("neurons", counts, layer=layer_names(len(counts)), peak_fraction=middles)
    return Table(rows, limits={"neurons": (0.0, 1.05 * _tallest(spectra, bins)), "peak_fraction": (0.0, 1.0)})


def _histograms(peaks: Float[np.ndarray, "layer neuron"], bins: int) -> Int[np.ndarray, "layer bin"]:
    return np.stack([np.histogram(layer, bins, (0, 1))[0] for layer in peaks])


@once
def _tallest(spectra: Spectra, bins: int) -> int:
    """The highest bar at any step."""
    return max(int(_histograms(output.peak_fraction, bins).max()) for output in spectra.values())


@view(
    question="How many neurons does each frequency have?",
    reading="Each neuron is counted at its strongest frequency, dark where it is well tuned. Frequencies with at least "
    "5 % of the neurons are coloured and named. After grokking only the key frequencies have neurons.",
    draw=bars("frequency", "neurons", "tuning", "layer", emphasis="is_large", titles={"frequency": "frequency k"}),
)
def population(spectra: Spectra, context: Context, step: int, *, level: float = 0.7) -> Table:
    """One row per (layer, tuning, frequency) with neurons; `tuning`: at least `level` of the variance, or less."""
    output = spectra[step]
    strong, weak = f"at least {level:.0%} at its peak", f"less than {level:.0%}"
    n_layers, n = output.peak_frequency.shape
    layer, tuning = np.repeat(layer_names(n_layers), n), np.where(output.peak_fraction.ravel() >= level, strong, weak)
    neurons = pd.DataFrame({"layer": layer, "tuning": tuning, "frequency": output.peak_frequency.ravel().astype(int)})
    rows = neurons.groupby(["layer", "tuning", "frequency"]).size().rename("neurons").reset_index()
    rows["is_large"] = rows.groupby(["layer", "frequency"])["neurons"].transform("sum") >= 0.05 * n
    limits = {"neurons": (0.0, 1.15 * _largest(spectra)), "frequency": (0.0, context.basis.n_frequencies + 1.0)}
    return Table(rows, null_of_population(output, level), limits, colors={strong: "#0072B2", weak: "#9ECAE1"})


@once
def _largest(spectra: Spectra) -> int:
    """The most neurons that one frequency ever has, over training and layers."""
    return max(int(np.bincount(layer).max()) for output in spectra.values() for layer in output.peak_frequency)
