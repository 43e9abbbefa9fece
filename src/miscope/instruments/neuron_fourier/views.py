"""What neurons read of the tokens and write to the outputs: whether it is one frequency, and whether the phases fit."""

import numpy as np
from jaxtyping import Float, Int

from miscope.instruments.neuron_fourier.measure import NeuronFourier
from miscope.plugin import Artifact, Context, NotApplicable, Null, Table, heatmap, lines, long, once, view

Neurons = Artifact[NeuronFourier]
QUANTILES = ("90 % quantile", "median", "10 % quantile")


@view(
    question="When do neurons read and write a single frequency?",
    reading="The share of a neuron's best frequency in the energy of its input weights over the tokens, and of its "
    "output weights over the answers: the median neuron, and the tenth from either end. It is measured on the weights, "
    "and rises before the activations are tuned. 99 % of random functions are below the dashed line.",
    draw=lines("step", "share", "statistic", "end", titles={"share": "share at the best frequency"}),
)
def overview(neurons: Neurons, context: Context, null: Null) -> Table:
    """One row per (end, statistic, step); `share` at a neuron's best frequency. `writes` needs outputs in the basis."""
    last = neurons.last
    ends = {"reads": "read_share"} | ({} if last.write_share is None else {"writes": "write_share"})
    values = np.stack([_quantiles(neurons.stack(field)) for field in ends.values()])
    rows = long("share", values, end=list(ends), statistic=QUANTILES, step=neurons.steps)
    note = "read through the heads" if last.path == "heads" else "read straight from the embedding"
    return Table(rows, limits={"share": (0.0, 1.02)}, marks={"99 % of random neurons": null.threshold}, note=note)


@view(
    question="When do the phases that neurons read and write match?",
    reading="To compute a sum, a neuron that reads a wave with phase phi must write it with phase 2 phi. The curves "
    "are the difference from that, in radians, of the median neuron and of the tenth from either end. Far below the "
    "dashed line the phases match; this begins while the test loss is still rising.",
    draw=lines("step", "misalignment", "statistic", titles={"misalignment": "|2 phi − psi| (radians)"}),
)
def alignment(neurons: Neurons, context: Context) -> Table:
    """One row per (statistic, step); `misalignment` |2 phi - psi| in radians, over all neurons that have a wave."""
    _check_written(neurons)
    rows = long("misalignment", _quantiles(neurons.stack("misalignment")), statistic=QUANTILES, step=neurons.steps)
    return Table(rows, limits={"misalignment": (0.0, np.pi)}, marks={"at random": np.pi / 2})


@view(
    question="Does each neuron write twice the phase that it reads?",
    reading="The number of neurons by twice the phase of the wave that they read, and by the phase of the wave of the "
    "same frequency that they write. On the diagonal a neuron turns cosines of a and of b into a cosine of a + b; an "
    "untrained network fills the square.",
    draw=heatmap(
        "twice_read", "written", "neurons", is_square=True, height=420,
        titles={"twice_read": "twice the phase read (degrees)", "written": "phase written (degrees)"},
    ),
)  # fmt: skip
def phases(neurons: Neurons, context: Context, step: int, *, layer: int = 0, bins: int = 24) -> Table:
    """One row per (written, twice_read) square, in degrees; `neurons` in it, at the frequency that each one reads."""
    _check_written(neurons)
    middles = (np.arange(bins) + 0.5) * 360 / bins - 180
    counts = _counts(neurons[step], layer, bins).astype(np.float32)
    rows = long("neurons", counts, written=middles, twice_read=middles)
    return Table(rows, limits={"neurons": (0.0, _fullest(neurons, layer, bins))})


def _check_written(neurons: Neurons) -> None:
    if neurons.last.misalignment is None:
        raise NotApplicable("The outputs are not tokens of the basis, so what neurons write has no phase.")


def _counts(output: NeuronFourier, layer: int, bins: int) -> Int[np.ndarray, "bin bin"]:
    assert output.write_phase is not None
    read, written = (x[layer].astype(np.float64) for x in (output.read_phase, output.write_phase))
    turns = np.stack([written, 2 * read]) / (2 * np.pi) + 0.5
    row, column = (np.floor(turns % 1 * bins).astype(int) % bins)[:, output.read_frequency[layer] > 0]
    return np.bincount(row * bins + column, minlength=bins**2).reshape(bins, bins)


@once
def _fullest(neurons: Neurons, layer: int, bins: int) -> float:
    return float(max(_counts(output, layer, bins).max() for output in neurons.values()))


def _quantiles(values: Float[np.ndarray, "step layer neuron"]) -> Float[np.ndarray, "quantile step"]:
    """The `QUANTILES` over all layers; NaN: of no neuron."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    known = [row[~np.isnan(row)] for row in flat]
    return np.stack([np.quantile(row, (0.9, 0.5, 0.1)) if len(row) else np.full(3, np.nan) for row in known], axis=1)
