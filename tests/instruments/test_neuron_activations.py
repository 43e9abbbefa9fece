"""Neurons' activations keep their order."""

import numpy as np
import pytest

from miscope.analyzers.neuron_activations import neuron_activations
from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable, Probe
from miscope.maths.spectra import Basis

PROBE = Probe(np.zeros((6, 1), dtype=np.int64), np.zeros(6, dtype=np.int64), np.ones(6, dtype=bool))
CONTEXT = Context(probe=PROBE, answer_position=0, basis=Basis("fourier", 5))


def model(d_mlp: int) -> ModelConfig:
    return ModelConfig(n_layers=2, d_model=4, n_heads=1, d_head=4, d_mlp=d_mlp, n_ctx=1, d_vocab=5, d_vocab_out=5)


def test_each_neuron_of_each_layer_becomes_a_row_over_the_probe() -> None:
    posts = np.arange(36, dtype=np.float32).reshape(2, 6, 3)
    activations = {f"blocks.{layer}.mlp.hook_post": posts[layer] for layer in range(2)}
    found = neuron_activations(Checkpoint(0, model(3), {}, activations), CONTEXT).activation
    assert found.shape == (2, 3, 6)
    np.testing.assert_array_equal(found[1, 2], posts[1, :, 2])


def test_a_model_without_mlp_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no MLP"):
        neuron_activations(Checkpoint(0, model(0), {}), CONTEXT)
