"""Verdicts of the views of gradients, of the loss around the network, and of rounding: planted truth and noise."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import synthetic

from miscope import catalog
from miscope.instrument import Artifact, Output
from miscope.views.shared import nulls


def said(view: str, *outputs: Output, first: int = 0, step: int | None = None) -> str:
    """The verdict of a view on outputs of so many steps, the first of them at `first`."""
    steps = tuple(first + 100 * i for i in range(len(outputs)))
    artifact: Artifact[Any] = Artifact(steps, dict(zip(steps, outputs, strict=True)).__getitem__)
    found = catalog.view(view)
    at = (steps[-1] if step is None else step,) if found.is_per_step else ()
    return str(found.table(artifact, synthetic.context(), *at).attrs["null"])


def with_power(share: float, *, shuffled: float) -> Output:
    """Gradients of which one frequency has `share` at every site, the others what is left in equal parts."""
    own, null = (_one_of(synthetic.N_FREQ, s) for s in (share, shuffled))
    return replace(
        synthetic.gradient_spectra(0), power=own, concentration=(own**2).sum(axis=1), shuffled_power=null,
        shuffled_concentration=(null**2).sum(axis=1),
    )  # fmt: skip


def _one_of(n: int, share: float) -> np.ndarray:
    return np.tile([share, *[(1 - share) / (n - 1)] * (n - 1)], (3, 1))


EVEN = 1 / synthetic.N_FREQ


@pytest.mark.parametrize("view", ["gradient_spectra.concentration", "gradient_spectra.spectrum"])
def test_a_gradient_that_only_right_labels_narrow_is_beyond_shuffled_ones(view: str) -> None:
    assert said(view, with_power(0.9, shuffled=EVEN)).startswith(nulls.BEYOND)
    assert said(view, with_power(0.9, shuffled=0.9)).startswith(nulls.WITHIN)


def test_a_gradient_that_any_labels_narrow_is_beyond_the_untrained_network_alone() -> None:
    outputs = with_power(EVEN, shuffled=EVEN), with_power(0.9, shuffled=0.95)
    found = said("gradient_spectra.overview", *outputs)
    assert found.startswith("Beyond its null: frequencies that share the embedding's gradient 1.23, against 4 in")
    assert said("gradient_spectra.concentration", *outputs).startswith(nulls.WITHIN)
    assert said("gradient_spectra.overview", *outputs, first=5) == nulls.none(nulls.NO_START)


def test_a_gradient_that_does_not_vary_over_tokens_has_no_verdict() -> None:
    still = replace(with_power(0.9, shuffled=EVEN), concentration=np.zeros(3), shuffled_concentration=np.zeros(3))
    for view in ("overview", "concentration", "spectrum"):
        assert said(f"gradient_spectra.{view}", still, still).startswith(nulls.NONE)


def test_a_network_that_knows_its_labels_is_pushed_on_less_than_by_others() -> None:
    output = synthetic.gradient_spectra(0)
    assert said("gradient_spectra.norms", replace(output, norm=np.full(3, 0.5))).startswith(nulls.BEYOND)
    assert said("gradient_spectra.norms", replace(output, norm=np.full(3, 0.8))).startswith(nulls.WITHIN)


def test_sites_must_agree_by_much_more_than_for_shuffled_labels() -> None:
    output = synthetic.gradient_spectra(0)  # shuffled: 0.9
    assert said("gradient_spectra.similarity", replace(output, similarity=np.full((3, 3), 0.99))).startswith(
        nulls.BEYOND
    )
    assert said("gradient_spectra.similarity", replace(output, similarity=np.full((3, 3), 0.95))).startswith(
        nulls.WITHIN
    )


@pytest.mark.parametrize("view", ["overview", "distances", "plane"])
def test_symmetry_alone_says_nothing_of_how_a_network_adds(view: str) -> None:
    output = replace(synthetic.circuit_style(0), shuffled_irrelevance=0.95)
    pizza = replace(output, gradient_symmetry=0.99, distance_irrelevance=0.2)
    untrained = replace(output, gradient_symmetry=0.99, distance_irrelevance=0.99)
    memorised = replace(output, gradient_symmetry=0.3, distance_irrelevance=0.93)
    assert said(f"circuit_style.{view}", untrained, pizza).startswith(nulls.BEYOND)
    assert said(f"circuit_style.{view}", untrained, untrained).startswith(nulls.WITHIN)
    assert said(f"circuit_style.{view}", untrained, memorised).startswith(nulls.WITHIN)


def test_a_variant_without_step_0_has_no_curve_of_the_untrained_network() -> None:
    table = catalog.view("circuit_style.overview").table
    for first, curves in ((0, 3), (5, 2)):
        found = table(Artifact((first,), synthetic.circuit_style), synthetic.context())
        assert found["curve"].nunique() == curves


def landscape(rise: float = 0.0, spread: float = 1e-3, **change: Any) -> Output:
    """Fifty directions whose rise at distance 10 is `rise` on average, and a hundredth of that at distance 1."""
    distance = np.array([1.0, 10.0])
    noise = np.random.default_rng(0).normal(0, spread, (50, 1)) * [0.1, 1]
    output = replace(
        synthetic.loss_landscape(0), distance=distance, rise=rise * distance**2 / 100 + noise - noise.mean(axis=0),
        top_eigenvalue=1.0, top_error=0.01, least_eigenvalue=-0.3, least_error=0.01, trace=1.0, trace_error=0.1,
    )  # fmt: skip
    return replace(output, **change)


def test_a_loss_that_rises_more_than_around_the_untrained_network_is_beyond_it() -> None:
    flat, steep, within = landscape(), landscape(0.1), landscape(0.002)  # of single directions, 99 % below 0.0027
    assert "(step 100), 0.1, against" in said("loss_landscape.overview", flat, steep, flat)
    assert said("loss_landscape.overview", flat, steep, flat).startswith(nulls.BEYOND)
    assert said("loss_landscape.overview", flat, within, flat).startswith(nulls.WITHIN)


def test_half_of_the_directions_lead_up_on_a_slope_and_all_at_a_minimum() -> None:
    slope, minimum = landscape(), landscape(0.1)
    assert said("loss_landscape.directions", slope, minimum).startswith("Beyond its null: directions and distances")
    assert said("loss_landscape.directions", slope, minimum, step=50).startswith(nulls.WITHIN)
    assert said("loss_landscape.directions", minimum, minimum).startswith(nulls.WITHIN)
    assert said("loss_landscape.directions", minimum, first=5).startswith(nulls.BEYOND)


def test_a_rise_is_no_parabola_where_it_is_more_than_errors_and_the_untrained_network_allow() -> None:
    bowl = 100 * 1.0 / (2 * 1000)  # at distance 10, of trace 1 over 1000 parameters
    true, far = landscape(bowl), landscape(5 * bowl)
    assert said("loss_landscape.bowl", true, far).startswith(nulls.BEYOND)
    assert said("loss_landscape.bowl", true, landscape(1.2 * bowl)).startswith(nulls.WITHIN)
    assert said("loss_landscape.bowl", far, far).startswith(nulls.WITHIN)
    assert said("loss_landscape.bowl", landscape(bowl, trace=-1.0), far).startswith(nulls.NONE)


def test_a_minimum_is_told_from_the_saddle_of_the_untrained_network_by_its_upper_bound() -> None:
    start, minimum = landscape(), landscape(least_eigenvalue=-0.01)
    assert said("loss_landscape.saddle", start, minimum).startswith(nulls.BEYOND)
    assert said("loss_landscape.saddle", start, landscape(least_eigenvalue=-0.25)).startswith(nulls.WITHIN)
    assert said("loss_landscape.saddle", start, replace(minimum, least_error=0.3)).startswith(nulls.WITHIN)


def test_sharpness_is_judged_where_it_is_highest() -> None:
    start, sharp = landscape(), landscape(top_eigenvalue=5.0)
    assert "at its highest (step 100), 5, against 3 in" in said("loss_landscape.sharpness", start, sharp, start)
    assert said("loss_landscape.sharpness", start, landscape(top_eigenvalue=2.0), start).startswith(nulls.WITHIN)


LANDSCAPE = ("overview", "bowl", "saddle", "sharpness")


@pytest.mark.parametrize("view", LANDSCAPE)
def test_a_landscape_without_step_0_has_no_verdict(view: str) -> None:
    assert said(f"loss_landscape.{view}", landscape(), landscape(0.1), first=5) == nulls.none(nulls.NO_START)


def coefficient(estimate: float | None, error: float = 0.1, doubts: tuple[str, ...] = ()) -> Output:
    return replace(
        synthetic.local_learning_coefficient(500), estimate=estimate, standard_error=error, doubts=doubts
    )  # fmt: skip


def test_a_coefficient_is_beyond_the_untrained_network_by_more_than_both_errors() -> None:
    start, view = coefficient(0.1, doubts=("drift",)), "local_learning_coefficient.overview"
    assert said(view, start, coefficient(9.0), coefficient(0.1)).startswith(nulls.BEYOND)
    assert "(step 100), 9, against" in said(view, start, coefficient(9.0), coefficient(0.1))
    assert said(view, start, coefficient(0.5)).startswith(nulls.WITHIN)  # four chains: 5.8 errors, not 2.3
    assert said("local_learning_coefficient.chains", start, coefficient(9.0)).startswith(nulls.BEYOND)
    assert said("local_learning_coefficient.chains", start, coefficient(0.5)).startswith(nulls.WITHIN)


@pytest.mark.parametrize("view", ["overview", "chains"])
def test_an_estimate_in_doubt_is_not_judged(view: str) -> None:
    name = f"local_learning_coefficient.{view}"
    assert "doubt" in said(name, coefficient(0.1), coefficient(9.0, doubts=("drift",)))
    assert said(name, coefficient(None), coefficient(9.0)).startswith("No null: at step 0 the chains ran away")
    assert said(name, coefficient(0.1), coefficient(9.0), first=5) == nulls.none(nulls.NO_START)


def quantized(rounded: float, noise: float, accuracy: float = 0.5) -> Output:
    """Losses of a network whose plain loss is 0.1, with matrices one by one and all at once rounded."""
    output = synthetic.quantization_sensitivity(0)
    losses, right = np.full((4, 2), rounded), np.full((4, 2), accuracy)
    return replace(
        output, test_loss=losses, noise_test_loss=np.full(2, noise), plain_test_loss=0.1, test_accuracy=right,
        noise_test_accuracy=right[0], plain_test_accuracy=accuracy,
    )  # fmt: skip


@pytest.mark.parametrize("view", ["losses", "matrices"])
def test_rounding_that_costs_more_than_noise_ever_did_is_beyond_it(view: str) -> None:
    name = f"quantization_sensitivity.{view}"
    assert said(name, quantized(0.1, 0.1), quantized(1.0, 0.12)).startswith(nulls.BEYOND)
    assert said(name, quantized(0.1, 0.1), quantized(0.17, 0.12)).startswith(nulls.WITHIN)
    assert said(name, quantized(0.1, 0.9), quantized(1.0, 0.12)).startswith(nulls.WITHIN)  # a lucky last draw


def test_a_rounded_network_that_guesses_is_not_quantizable() -> None:
    view = "quantization_sensitivity.overview"
    assert said(view, quantized(0.1, 0.1, accuracy=1.0)).startswith(nulls.BEYOND)
    assert said(view, quantized(0.1, 0.1, accuracy=1 / synthetic.P)).startswith(nulls.WITHIN)


def test_a_matrix_may_come_to_fit_its_grid_better_or_worse() -> None:
    start, view = synthetic.quantization_sensitivity(0), "quantization_sensitivity.errors"
    better, worse, same = (replace(start, error=start.error * [[1], [x], [1], [1]]) for x in (0.5, 2.0, 1.2))
    assert said(view, start, better) == (
        "Beyond its null: rounding of W_in at INT4 4.5 %, against 6 % in the untrained network with a margin of 1.5."
    )
    assert said(view, start, worse).startswith("Beyond its null: rounding of W_in at INT4 18 %")
    assert said(view, start, same).startswith(nulls.WITHIN)
    assert said(view, start, worse, first=5) == nulls.none(nulls.NO_START)
