"""Gradients planted by hand, and a run whose frequencies are known."""

from dataclasses import replace
from typing import Any

import calibration_model
import judging
import numpy as np
import pytest

from miscope.calibration.models import through_the_model
from miscope.core import Checkpoint, ModelConfig, NotApplicable
from miscope.families.modulo_addition import ModuloAddition
from miscope.instruments._shared.nulls import NO_START
from miscope.instruments.gradient_spectra.measure import GradientSpectra, by_field, instrument
from miscope.maths.spectra import Basis
from miscope.model.transformer import Transformer
from miscope.model.weights import weights

P = 11
TASK = ModuloAddition(P, 0.5)
BASIS = Basis("fourier", P)
MODEL = replace(TASK.model(), d_model=2 * (P // 2), n_heads=2, d_head=3, d_mlp=7)


def planted(embedding: int, attention: int, mlp: int) -> dict[str, Any]:
    """The stream has two dimensions for each frequency; each site's gradient is by those of one frequency."""
    start = weights(Transformer(MODEL))
    start["embed.W_E"] = np.pad(BASIS.matrix[1:].T, ((0, 1), (0, 0))).astype(np.float32)
    # both heads hand on the whole stream between them
    start["blocks.0.attn.W_V"] = np.eye(10, dtype=np.float32).reshape(10, 2, 5).swapaxes(0, 1)
    start["blocks.0.attn.W_O"] = np.eye(10, dtype=np.float32).reshape(2, 5, 10)
    gradient = {name: np.zeros_like(value) for name, value in start.items()}
    gradient["embed.W_E"][:P, 3] = BASIS.matrix[2 * embedding]
    gradient["blocks.0.attn.W_Q"][1, 2 * attention - 2] = 1
    gradient["blocks.0.attn.W_K"][0, 2 * attention - 1] = -2
    gradient["blocks.0.mlp.W_in"][2 * mlp - 1] = 3
    return by_field(gradient, Checkpoint(0, MODEL, start), BASIS)


@pytest.mark.parametrize("frequencies", [(1, 3, 5), (4, 4, 2)])
def test_each_site_shows_the_frequency_that_its_gradient_is_by(frequencies: tuple[int, int, int]) -> None:
    sites = planted(*frequencies)
    assert sites["site"] == ("embedding", "layer 0 attention", "layer 0 MLP")
    np.testing.assert_allclose(sites["power"], np.eye(5)[np.array(frequencies) - 1], atol=1e-12)
    np.testing.assert_allclose(sites["norm"], [1, np.sqrt(3 * 1 + 3 * 4), 3 * np.sqrt(7)], rtol=1e-6)


def test_the_end_token_and_what_is_the_same_for_all_tokens_count_for_nothing() -> None:
    start = weights(Transformer(MODEL, 1))
    gradient = {name: np.zeros_like(value) for name, value in start.items()}
    gradient["embed.W_E"][P], gradient["embed.W_E"][:P, 0] = 5, 2
    np.testing.assert_allclose(by_field(gradient, Checkpoint(0, MODEL, start), BASIS)["power"], 0, atol=1e-12)


def test_an_untrained_network_is_pushed_on_as_for_shuffled_labels() -> None:
    """The gradient is noise of the initialisation: concentration and likeness are those of the null, within a third."""
    task = ModuloAddition(59, 0.5)
    start = Checkpoint(0, task.model(), weights(Transformer(task.model(), 3)))
    spectra = through_the_model(instrument, start, task.context(0))
    np.testing.assert_allclose(spectra.concentration, spectra.shuffled_concentration, rtol=0.35)
    np.testing.assert_allclose(spectra.similarity, spectra.shuffled_similarity, atol=0.1)
    np.testing.assert_allclose(spectra.power.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("change", "sites"),
    [({"n_layers": 2}, 5), ({"d_mlp": 0, "n_layers": 2}, 3), ({"normalization": "LN", "has_biases": True}, 3)],
)
def test_every_shape_has_its_sites(change: dict[str, object], sites: int) -> None:
    model: ModelConfig = replace(MODEL, **change)
    spectra = through_the_model(instrument, Checkpoint(0, model, weights(Transformer(model, 1))), TASK.context(0))
    assert len(spectra.site) == sites
    np.testing.assert_allclose(np.diag(spectra.similarity), 1)
    assert spectra.norm.min() > 0


def test_a_basis_of_one_frequency_tells_nothing_apart() -> None:
    start, of_three = Checkpoint(0, MODEL, weights(Transformer(MODEL))), Basis("fourier", 3)
    with pytest.raises(NotApplicable, match="have one frequency"):
        through_the_model(instrument, start, replace(TASK.context(0), basis=of_three))


def test_the_reference_run_is_pushed_on_at_the_frequencies_that_it_ends_with() -> None:
    """The key frequencies of its end, found in the gradient while the test loss still stands."""
    keys = {8, 19, 38, 41, 54}
    spectra = through_the_model(instrument, calibration_model.checkpoint(10_000), calibration_model.context())
    for site, power in zip(spectra.site, spectra.power, strict=True):
        assert len(set((np.argsort(-power)[:5] + 1).tolist()) & keys) >= 3, site
    assert spectra.concentration[0] < spectra.shuffled_concentration[0]  # by its own weights, not by the labels


def with_share(share: float, *, shuffled: float, norm: float = 1.0, cosine: float = 0.9) -> GradientSpectra:
    """Gradients of which one frequency of six has `share` at every site, the others what is left in equal parts."""
    power, null = (np.tile([s, *[(1 - s) / 5] * 5], (3, 1)) for s in (share, shuffled))
    return GradientSpectra(
        site=("embedding", "layer 0 attention", "layer 0 MLP"), is_native=True, norm=np.full(3, norm), power=power,
        concentration=(power**2).sum(axis=1), similarity=np.full((3, 3), cosine), shuffled_norm=np.ones(3),
        shuffled_power=null, shuffled_concentration=(null**2).sum(axis=1), shuffled_similarity=np.full((3, 3), 0.9),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("view", "beyond", "within"),
    [
        ("concentration", {"shuffled": 1 / 6}, {"shuffled": 0.9}),  # that only right labels narrow
        ("spectrum", {"shuffled": 1 / 6}, {"shuffled": 0.9}),
        ("norms", {"shuffled": 0.9, "norm": 0.5}, {"shuffled": 0.9, "norm": 0.8}),  # less, as it knows its labels
        ("similarity", {"shuffled": 0.9, "cosine": 0.99}, {"shuffled": 0.9, "cosine": 0.95}),  # of 0.9, by much more
    ],
)
def test_a_gradient_that_right_labels_alone_make_is_beyond_shuffled_ones(
    view: str, beyond: dict[str, float], within: dict[str, float]
) -> None:
    both = (judging.path(with_share(0.9, **given)) for given in (beyond, within))
    judging.assert_told_apart(f"gradient_spectra.{view}", *both)


def test_a_gradient_that_any_labels_narrow_is_beyond_the_untrained_network_alone() -> None:
    outputs, view = (with_share(1 / 6, shuffled=1 / 6), with_share(0.9, shuffled=0.95)), "gradient_spectra.overview"
    null = judging.judged(view, judging.path(*outputs))
    assert null.is_beyond
    assert (null.value, null.threshold) == (pytest.approx(1 / 0.812), pytest.approx(6 / 1.5))
    assert judging.judged("gradient_spectra.concentration", judging.path(*outputs)).verdict == "Within its null"
    assert judging.judged(view, judging.path(*outputs, first=5)).reason == NO_START


@pytest.mark.parametrize("view", ["overview", "concentration", "spectrum"])
def test_a_gradient_that_does_not_vary_over_tokens_has_no_verdict(view: str) -> None:
    constant = replace(with_share(0, shuffled=0), concentration=np.zeros(3), shuffled_concentration=np.zeros(3))
    assert judging.judged(f"gradient_spectra.{view}", judging.path(constant, constant)).verdict == "No null"
