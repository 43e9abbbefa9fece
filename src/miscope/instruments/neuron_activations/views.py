"""What neurons compute, as maps over the inputs: many of them, one large, and its spectrum."""

from itertools import zip_longest
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float32

from miscope.instruments.neuron_activations.measure import Activations, null_of_maps, peaks
from miscope.maths.spectra import is_square_grid
from miscope.plugin import Basis, Context, NotApplicable, Null, Table, heatmap, long, once, probe_axes, view


@view(
    question="What do neurons compute over the inputs?",
    reading="Each panel is one neuron over all inputs; k is the frequency with most of its variance at this step. "
    "Noise is memorisation; regular waves in both inputs are the Fourier circuit. The neurons and the colour scale "
    "are the same at every step.",
    draw=heatmap("b", "a", "shade", "panel", is_square=True, columns=3),
)
def overview(
    activations: Activations, context: Context, step: int, *, neurons: tuple[int, ...] = (), layer: int = 0,
    n: int = 12, scale: Literal["each neuron", "shared"] = "each neuron",
) -> Table:  # fmt: skip
    """One row per (neuron, probe input); `activation` in the units of the network.

    `shade`, which is drawn, is the activation, or with `scale` = `each neuron` its share of the neuron's own largest
    over training. Without `neurons`, `n` representative ones are chosen at the last checkpoint, the same at every step.
    """
    shown = neurons or _representative(activations, context.basis, context.grid, layer)[:n]
    maps = activations[step].activation[layer][list(shown)].astype(np.float32, copy=False)
    names = [f"neuron {i}" for i in shown]
    if is_square_grid(context.basis, context.grid):
        names = [f"{name}, k = {k}" for name, k in zip(names, peaks(context.basis, maps)[0], strict=True)]
    ranges = np.array(_ranges(activations, layer, shown), dtype=np.float32)
    (axes, titles), unit = probe_axes(context), np.ones((1, 1), dtype=np.float32)
    limits, title = (float(ranges.min()), float(ranges.max())), "activation"
    if scale == "each neuron":
        unit, title = np.abs(ranges).max(axis=1, keepdims=True), "activation, share of the neuron's largest"
        limits = (min(0.0, float((ranges[:, :1] / unit).min())), 1.0)
    rows = long("activation", maps, panel=names, input=np.arange(maps.shape[1], dtype=np.int32)).assign(
        neuron=np.repeat(np.array(shown, dtype=np.int32), maps.shape[1]),
        shade=(maps / unit).ravel(),
        **{axis: np.tile(values, len(shown)) for axis, values in axes.items()},
    )
    null = null_of_maps(activations, context, layer, maps)
    return Table(rows, null, limits={"shade": limits}, titles=titles | {"shade": title})


@view(
    question="What does one neuron compute over the inputs?",
    reading="The colour is the neuron's activation at the answer position. The line below the title names the "
    "frequency with most of its variance at this step. A wave along a diagonal is a function of a + b or of a - b.",
    draw=heatmap("b", "a", "activation", is_square=True, height=430),
)
def single(activations: Activations, context: Context, step: int, *, neuron: int = -1, layer: int = 0) -> Table:
    """One row per cell of the neuron's map; `activation` in the units of the network. -1: the most typical neuron."""
    shown, plane, note, null = _one(activations, context, step, neuron, layer)
    axes, titles = probe_axes(context)
    limits = {"activation": _ranges(activations, layer, (shown,))[0]}
    return Table(pd.DataFrame({**axes, "activation": plane.ravel()}), null, limits, titles, note)


@view(
    question="Which frequencies does one neuron consist of?",
    reading="Bright cells on the diagonal are products of waves of one frequency in both inputs; cells on the edges "
    "are waves in one input alone. A neuron of the Fourier circuit is bright at (k, 0), (0, k) and (k, k), and with a "
    "ReLU at multiples of k. The colour scale ends at one half.",
    draw=heatmap("k_b", "k_a", "share", is_square=True, height=430, titles={"share": "share of variance"}),
)
def spectrum(activations: Activations, context: Context, step: int, *, neuron: int = -1, layer: int = 0) -> Table:
    """One row per (frequency along a, along b), cosine and sine summed; `share` of the variance without the mean."""
    _, plane, note, null = _one(activations, context, step, neuron, layer)
    f = context.basis.matrix.astype(np.float32)
    squares = (f @ plane @ f.T) ** 2
    squares[0, 0] = 0
    starts = np.concatenate([[0], np.arange(1, len(f), 2)])
    cells = np.add.reduceat(np.add.reduceat(squares, starts, axis=0), starts, axis=1)
    a, b = np.divmod(np.arange(cells.size, dtype=np.int32), np.int32(len(starts)))
    rows = pd.DataFrame({"k_a": a, "k_b": b, "share": (cells / (cells.sum() or 1)).ravel()})[1:].reset_index(drop=True)
    names = context.grid_axes or ("a", "b")
    titles = {"k_a": f"frequency along {names[0]}", "k_b": f"frequency along {names[1]}"}
    return Table(rows, null, limits={"share": (0.0, 0.5)}, titles=titles, note=note)


def _one(
    activations: Activations, context: Context, step: int, neuron: int, layer: int
) -> tuple[int, Float32[np.ndarray, "a b"], str, Null]:
    """The number of one neuron (asked for as -1: the most typical), its map at a step, a note on it, and its null."""
    shown = neuron if neuron >= 0 else _representative(activations, context.basis, context.grid, layer)[0]
    if not is_square_grid(context.basis, context.grid):
        raise NotApplicable("A two-dimensional spectrum needs a probe that is the full grid of two input tokens.")
    maps = activations[step].activation[layer][[shown]].astype(np.float32)
    (k,), (share,) = peaks(context.basis, maps)
    null = null_of_maps(activations, context, layer, maps, "the neuron's share at its best frequency")
    return shown, maps.reshape(context.grid), f"neuron {shown}, k = {k} with {share:.0%} of the variance", null


@once  # so that nothing jumps from step to step
def _representative(
    activations: Activations, basis: Basis, grid: tuple[int, ...] | None, layer: int
) -> tuple[int, ...]:
    """Neurons by variance at the end; over a grid the first of each frequency, then the second of each, and so on."""
    last = activations.last.activation[layer]
    by_variance = np.argsort(-last.var(axis=1), kind="stable").tolist()
    if not is_square_grid(basis, grid):
        return tuple(by_variance)
    peak = peaks(basis, last)[0]
    groups = sorted(([i for i in by_variance if peak[i] == k] for k in np.unique(peak)), key=len, reverse=True)
    return tuple(i for rank in zip_longest(*groups) for i in rank if i is not None)


@once
def _ranges(activations: Activations, layer: int, neurons: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """The range of each neuron over five checkpoints spread over training, its top at the 99.5 % quantile."""
    steps = activations.steps
    seen = sorted({steps[round(i * (len(steps) - 1) / 4)] for i in range(5)})
    values = [activations[step].activation[layer][list(neurons)] for step in seen]
    low = np.min([x.min(axis=1) for x in values], axis=0)
    high = np.max([np.quantile(x, 0.995, axis=1) for x in values], axis=0)
    return tuple((float(a), float(b) if b > a else float(a) + 1.0) for a, b in zip(low, high, strict=True))
