"""Neurons whose functions of the inputs are planted: they keep their order, and waves are told from noise."""

from typing import Any

import numpy as np
import pytest
from judging import CONTEXT, P, over

from miscope.calibration.models import shape
from miscope.catalog import builtin
from miscope.core import Checkpoint, Context, NotApplicable
from miscope.families.parity import Parity
from miscope.instrument import Artifact, Table
from miscope.instruments.neuron_activations.measure import NeuronActivations, neuron_activations

N, RNG = 12, np.random.default_rng(3)
WAVES = np.cos(2 * np.pi * np.outer(1 + np.arange(N) % 3, np.arange(P)) / P)  # [neuron token]


def active(*values: np.ndarray, first: int = 0) -> Artifact[Any]:
    """Of one layer, [neuron batch] at steps `first`, `first` + 1, ..."""
    return over({first + i: NeuronActivations(one[None].astype(np.float32)) for i, one in enumerate(values)})


def maps(values: np.ndarray) -> np.ndarray:
    """[neuron batch] that add a function [neuron token] of each summand."""
    return (values[:, :, None] + values[:, None]).reshape(N, P * P)


def table(view: str, activations: Artifact[Any], context: Context = CONTEXT) -> Table:
    return builtin().view(f"neuron_activations.{view}").tabulate(activations, context, step=activations.steps[-1])


def test_each_neuron_of_each_layer_becomes_a_row_over_the_probe() -> None:
    posts = np.arange(36, dtype=np.float32).reshape(2, 6, 3)
    activations = {f"blocks.{layer}.mlp.hook_post": posts[layer] for layer in range(2)}
    measured = neuron_activations(Checkpoint(0, shape(n_layers=2, d_mlp=3), {}, activations), CONTEXT).activation
    assert measured.shape == (2, 3, 6)
    np.testing.assert_array_equal(measured[1, 2], posts[1, :, 2])
    with pytest.raises(NotApplicable, match="no MLP"):
        neuron_activations(Checkpoint(0, shape(), {}), CONTEXT)


def test_maps_show_each_input_at_its_place() -> None:
    activations = active(maps(RNG.normal(size=(N, P))))
    rows = builtin().view("neuron_activations").table(activations, CONTEXT, 0, neurons=(2, 5)).data
    for neuron, part in rows.groupby("neuron"):
        np.testing.assert_array_equal(part["activation"], activations[0].activation[0, neuron])
        np.testing.assert_array_equal(part["a"] * P + part["b"], np.arange(P * P))


def test_chosen_neurons_are_the_same_at_every_step_and_cover_every_frequency() -> None:
    activations = active(*(maps(size * WAVES) for size in (0.1, 0.5, 1)))
    first, last = (builtin().view("neuron_activations").table(activations, CONTEXT, s, n=3).data for s in (0, 2))
    assert list(first["neuron"].unique()) == list(last["neuron"].unique())
    assert {name.rpartition(" ")[2] for name in last["panel"].unique()} == {"1", "2", "3"}


@pytest.mark.parametrize("view", ["overview", "single", "spectrum"])
def test_maps_of_waves_are_beyond_and_of_random_functions_within(view: str) -> None:
    assert table(view, active(maps(WAVES))).null.is_beyond
    assert table(view, active(maps(RNG.normal(size=(N, P))))).null.verdict == "Within its null"


def test_without_a_square_grid_neurons_are_judged_by_what_the_answer_explains_of_them() -> None:
    bits = Parity(n_bits=7).context(0)
    noise = RNG.normal(size=(20, len(bits.probe.targets)))
    knows = noise + 3 * bits.probe.targets
    assert table("overview", active(noise, knows), bits).null.is_beyond
    assert table("overview", active(knows, noise), bits).null.verdict == "Within its null"
    assert table("overview", active(knows, knows), bits).null.verdict == "Within its null"  # untrained ones know it too
    assert table("overview", active(knows, knows, first=1), bits).null.is_beyond  # no untrained ones to compare with
