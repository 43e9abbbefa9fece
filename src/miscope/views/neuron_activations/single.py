"""Shows one neuron over the inputs at one step, large."""

import numpy as np
import pandas as pd

from miscope.analyzers.neuron_activations import NeuronActivations, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import heatmap
from miscope.views.shared.frequencies import of_neurons
from miscope.views.shared.neurons import activation_range, peak, representative


def table(
    activations: Artifact[NeuronActivations], context: Context, step: int, *, neuron: int = -1, layer: int = 0
) -> pd.DataFrame:
    """One row per cell of the neuron's map; `activation` in the units of the network. -1: the most typical neuron."""
    shown = neuron if neuron >= 0 else representative(activations, context.basis, context.grid, layer, 1)[0]
    basis, p = context.basis, context.basis.size
    if context.grid != (p, p):
        raise NotApplicable("A two-dimensional spectrum needs a probe that is the full grid of two input tokens.")
    values = activations[step].activation[layer][shown].astype(np.float32).reshape(p, p)
    k, fraction = peak(basis, values[None])
    a, b = np.divmod(np.arange(p * p, dtype=np.int32), np.int32(p))
    found = pd.DataFrame({"a": a, "b": b, "activation": values.ravel()})
    found.attrs |= {
        "titles": dict(zip("ab", context.grid_axes, strict=False)),
        "limits": {"activation": activation_range(activations, layer, (shown,))[0]},
        "note": f"neuron {shown}, k = {k[0]} with {fraction[0]:.0%} of the variance",
        "null": of_neurons("the neuron's share at its best frequency", fraction, basis.n_frequencies),
    }
    return found


view = View(
    question="What does this one neuron compute over the inputs?",
    reading="Colour is the neuron's activation at the answer position. The line under the title names the frequency "
    "with most of its variance at this step; a wave at an angle is a function of a + b or of a - b.",
    needs=analyzer,
    table=table,
    draw=heatmap("b", "a", "activation", is_square=True, height=430),
)
