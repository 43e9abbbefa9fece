r"""The activation of each MLP neuron on every input of the probe, at the answer position.

Over the grid of a modular-addition probe an untrained neuron shows irregular stripes, a trained one the waves of a
single frequency. Computed on access and never stored: 26 MB per checkpoint at p = 113.

Maths: $h(x)$ is what the MLP reads at the answer position on input $x$, $w_j$ and $b_j$ are neuron $j$'s column of
$W_{in}$ and its bias, $\phi$ is the activation function.
$$\text{activation}_j(x) = \phi\bigl(h(x) \cdot w_j + b_j\bigr), \qquad
\text{gated:} \quad \phi\bigl(h(x) \cdot g_j + b'_j\bigr) \, \bigl(h(x) \cdot w_j + b_j\bigr),$$
$g_j$ and $b'_j$ its column of $W_{gate}$ and that bias.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 and figure 4.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.instruments._shared.frequencies import of_neurons
from miscope.instruments._shared.nulls import MARGIN, with_margin
from miscope.maths.null_distributions import gain
from miscope.maths.spectra import grid_variance_fractions, is_square_grid
from miscope.plugin import Artifact, Basis, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint

Maps = Float[np.ndarray, "neuron batch"]
MEDIAN = "the median of these neurons' shares at one frequency"


@dataclass(frozen=True)
class NeuronActivations(Output):
    activation: Float32[np.ndarray, "layer neuron batch"]  # after the non-linearity; >= 0 for ReLU


Activations = Artifact[NeuronActivations]


def neuron_activations(checkpoint: Checkpoint, context: Context) -> NeuronActivations:
    """`mlp.hook_post` with one row per neuron; over a grid probe a row reshapes to `context.grid`."""
    if not checkpoint.model.d_mlp:
        raise NotApplicable("The model has no MLP, and so no neurons.")
    return NeuronActivations(activation=checkpoint.layers("mlp.hook_post").swapaxes(1, 2))


def peaks(basis: Basis, maps: Maps) -> tuple[Int[np.ndarray, " neuron"], Float[np.ndarray, " neuron"]]:
    """Of maps over the basis' square grid, the frequency k of most variance and the share that it has."""
    fractions = grid_variance_fractions(basis, maps.astype(np.float32).T)
    return fractions.argmax(axis=1) + 1, fractions.max(axis=1)


def null_of_maps(activations: Activations, context: Context, layer: int, maps: Maps, statistic: str = MEDIAN) -> Null:
    """Random functions of a token for neurons over a square grid; elsewhere it is the answer that they may tell."""
    if not is_square_grid(context.basis, context.grid):
        return _of_answer(activations, context, layer, maps)
    return of_neurons(statistic, peaks(context.basis, maps)[1], context.basis.n_frequencies)


def _of_answer(activations: Activations, context: Context, layer: int, maps: Maps) -> Null:
    """The neuron that the right answer explains best, against shuffled answers and against untrained neurons."""
    labels = context.probe.targets
    n_kinds, statistic = len(np.unique(labels)), "largest share of a neuron's variance that the right answer explains"
    largest, shuffled = _explained(maps, labels), gain(len(labels), n_kinds - 1, n_kinds, len(maps))
    untrained = _explained(activations[0].activation[layer], labels) if activations.steps[0] == 0 else 0.0
    if MARGIN * untrained > shuffled:
        return with_margin(statistic, largest, untrained, "untrained neurons", strength="matched", unit="share")
    return Null(statistic, largest, shuffled, "99 % of random orders of the answers", "matched", unit="share")


def _explained(values: Maps, labels: Int[np.ndarray, " batch"]) -> float:
    """The largest share of a row's variance that lies between the means at each label; 0 where nothing varies."""
    centred = values.astype(np.float64) - values.mean(axis=1, keepdims=True, dtype=np.float64)
    is_of = (labels[:, None] == np.unique(labels)).astype(np.float64)
    between, total = ((centred @ is_of) ** 2 / is_of.sum(axis=0)).sum(axis=1), (centred**2).sum(axis=1)
    return float(np.divide(between, total, out=np.zeros_like(total), where=total > 0).max())


instrument = PerCheckpoint(neuron_activations, needs=("mlp.hook_post",), is_stored=False)
