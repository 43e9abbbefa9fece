r"""What each MLP neuron does on every input of the probe, at the answer position.

Over the grid of a modular-addition probe an untrained neuron shows stripes without order; a trained one shows the waves
of a single frequency. Computed when asked for and never stored: 26 MB per checkpoint at p = 113.

Maths: $h(x)$ is what the MLP reads at the answer position on input $x$, $w_j$ and $b_j$ are neuron $j$'s column of
$W_{in}$ and its bias, $\phi$ is the activation function.
$$\text{activation}_j(x) = \phi\bigl(h(x) \cdot w_j + b_j\bigr), \qquad
\text{gated:} \quad \phi\bigl(h(x) \cdot g_j + b'_j\bigr) \, \bigl(h(x) \cdot w_j + b_j\bigr),$$
$g_j$ and $b'_j$ its column of $W_{gate}$ and that bias.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 and figure 4.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from miscope.core import Checkpoint, Context, NotApplicable
from miscope.instrument import Output, PerCheckpoint


@dataclass(frozen=True)
class NeuronActivations(Output):
    activation: Float32[np.ndarray, "layer neuron batch"]  # after the non-linearity; >= 0 for ReLU


def neuron_activations(checkpoint: Checkpoint, context: Context) -> NeuronActivations:
    """`mlp.hook_post` with one row per neuron; over a grid probe a row reshapes to `context.grid`."""
    if not checkpoint.model.d_mlp:
        raise NotApplicable("The model has no MLP, and so no neurons.")
    return NeuronActivations(activation=checkpoint.layers("mlp.hook_post").swapaxes(1, 2))


analyzer = PerCheckpoint(neuron_activations, needs=("mlp.hook_post",), is_stored=False)
