"""Shows the two-dimensional spectrum of one neuron's map over the inputs, at one step."""

import numpy as np
import pandas as pd

from miscope.analyzers.neuron_activations import NeuronActivations, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import heatmap
from miscope.views.shared.frequencies import of_neurons
from miscope.views.shared.neurons import peak, representative


def table(
    activations: Artifact[NeuronActivations], context: Context, step: int, *, neuron: int = -1, layer: int = 0
) -> pd.DataFrame:
    """One row per (frequency along a, frequency along b), 0 the constant; `share` of the map's variance.

    Cosine and sine are summed; the constant cell is left out. neuron = -1: the most typical neuron.
    """
    basis, p = context.basis, context.basis.size
    if context.grid != (p, p):
        raise NotApplicable("A two-dimensional spectrum needs a probe that is the full grid of two input tokens.")
    shown = neuron if neuron >= 0 else representative(activations, basis, context.grid, layer, 1)[0]
    values = activations[step].activation[layer][shown].astype(np.float32).reshape(p, p)
    f = basis.matrix.astype(np.float32)
    squares = (f @ values @ f.T) ** 2
    squares[0, 0] = 0
    starts = np.concatenate([[0], np.arange(1, p, 2)])
    cells = np.add.reduceat(np.add.reduceat(squares, starts, axis=0), starts, axis=1)
    a, b = np.divmod(np.arange(cells.size, dtype=np.int32), np.int32(len(starts)))
    found = pd.DataFrame({"k_a": a, "k_b": b, "share": (cells / (cells.sum() or 1)).ravel()})[1:].reset_index(drop=True)
    k, fraction = peak(basis, values[None])
    names = context.grid_axes or ("a", "b")
    found.attrs |= {
        "titles": {"k_a": f"frequency along {names[0]}", "k_b": f"frequency along {names[1]}"},
        "limits": {"share": (0.0, 0.5)},
        "note": f"neuron {shown}, k = {k[0]} with {fraction[0]:.0%} of the variance",
        "null": of_neurons("the neuron's share at its best frequency", fraction, basis.n_frequencies),
    }
    return found


view = View(
    question="Which frequencies is this one neuron made of?",
    reading="Bright cells on the diagonal are products of waves of one frequency in both inputs; on the edges, "
    "waves in one input alone. A neuron of the Fourier circuit lights (k, 0), (0, k) and (k, k) and little else; a "
    "ReLU adds multiples of k. The scale ends at one half.",
    needs=analyzer,
    table=table,
    draw=heatmap("k_b", "k_a", "share", is_square=True, height=430, titles={"share": "share of variance"}),
)
