"""Gradients planted by hand, and a run whose frequencies are known."""

from dataclasses import replace

import calibration_model
import numpy as np
import pytest

from miscope.analyzers.gradient_spectra import GradientSpectra, _Sites, analyzer
from miscope.core import Checkpoint, Context, ModelConfig, NotApplicable
from miscope.families.modulo_addition import ModuloAddition
from miscope.maths.spectra import Basis
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.workspace import analysis

P = 11
TASK = ModuloAddition(P, 0.5)
BASIS = Basis("fourier", P)
MODEL = replace(TASK.model(), d_model=2 * (P // 2), n_heads=2, d_head=3, d_mlp=7)


def measured(checkpoint: Checkpoint, context: Context) -> GradientSpectra:
    found = analysis.compute(checkpoint, analyzer, context, analyzer.settings)
    assert isinstance(found, GradientSpectra)
    return found


def planted(embedding: int, attention: int, mlp: int) -> _Sites:
    """The stream has two dimensions for each frequency; each site's gradient is by those of one frequency."""
    start = weights(Transformer(MODEL))
    rows = np.zeros((P + 1, 2 * (P // 2)), dtype=np.float32)
    rows[:P] = BASIS.matrix[1:].T
    start["embed.W_E"] = rows
    # both heads hand on the whole stream between them
    start["blocks.0.attn.W_V"] = np.eye(10, dtype=np.float32).reshape(10, 2, 5).swapaxes(0, 1)
    start["blocks.0.attn.W_O"] = np.eye(10, dtype=np.float32).reshape(2, 5, 10)
    gradient = {name: np.zeros_like(value) for name, value in start.items()}
    gradient["embed.W_E"][:P, 3] = BASIS.matrix[2 * embedding]
    gradient["blocks.0.attn.W_Q"][1, 2 * attention - 2] = 1
    gradient["blocks.0.attn.W_K"][0, 2 * attention - 1] = -2
    gradient["blocks.0.mlp.W_in"][2 * mlp - 1] = 3
    return _Sites.of(gradient, Checkpoint(0, MODEL, start), BASIS)


@pytest.mark.parametrize("frequencies", [(1, 3, 5), (4, 4, 2)])
def test_each_site_shows_the_frequency_that_its_gradient_is_by(frequencies: tuple[int, int, int]) -> None:
    found = planted(*frequencies)
    assert found.names == ("embedding", "layer 0 attention", "layer 0 MLP")
    np.testing.assert_allclose(found.power, np.eye(5)[np.array(frequencies) - 1], atol=1e-12)
    np.testing.assert_allclose(found.norm, [1, np.sqrt(3 * 1 + 3 * 4), 3 * np.sqrt(7)], rtol=1e-6)


def test_the_end_token_and_what_is_the_same_for_all_tokens_count_for_nothing() -> None:
    start = weights(Transformer(MODEL, 1))
    gradient = {name: np.zeros_like(value) for name, value in start.items()}
    gradient["embed.W_E"][P] = 5
    gradient["embed.W_E"][:P, 0] = 2
    found = _Sites.of(gradient, Checkpoint(0, MODEL, start), BASIS)
    np.testing.assert_allclose(found.power, 0, atol=1e-12)


def test_an_untrained_network_is_pushed_on_as_for_shuffled_labels() -> None:
    """The gradient is noise of the initialisation: concentration and likeness are those of the null, within a third."""
    task = ModuloAddition(59, 0.5)
    start = Checkpoint(0, task.model(), weights(Transformer(task.model(), 3)))
    found = measured(start, task.context(0))
    np.testing.assert_allclose(found.concentration, found.shuffled_concentration, rtol=0.35)
    np.testing.assert_allclose(found.similarity, found.shuffled_similarity, atol=0.1)
    np.testing.assert_allclose(found.power.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("change", "sites"),
    [
        ({"n_layers": 2}, 5),
        ({"d_mlp": 0, "n_layers": 2}, 3),
        ({"normalization": "LN", "has_biases": True}, 3),
    ],
)
def test_every_shape_has_its_sites(change: dict[str, object], sites: int) -> None:
    model: ModelConfig = replace(MODEL, **change)
    found = measured(Checkpoint(0, model, weights(Transformer(model, 1))), TASK.context(0))
    assert len(found.site) == sites
    np.testing.assert_allclose(np.diag(found.similarity), 1)
    assert found.norm.min() > 0


def test_a_basis_of_one_frequency_tells_nothing_apart() -> None:
    with pytest.raises(NotApplicable, match="have one frequency"):
        measured(Checkpoint(0, MODEL, weights(Transformer(MODEL))), replace(TASK.context(0), basis=Basis("fourier", 3)))


def test_the_reference_run_is_pushed_on_at_the_frequencies_that_it_ends_with() -> None:
    """The key frequencies of its end, found in the gradient while the test loss still stands."""
    keys = {8, 19, 38, 41, 54}
    found = measured(calibration_model.checkpoint(10_000), calibration_model.context())
    for site in range(3):
        top = set((np.argsort(-found.power[site])[:5] + 1).tolist())
        assert len(top & keys) >= 3, found.site[site]
    assert found.concentration[0] < found.shuffled_concentration[0]  # by its own weights, not by the labels
