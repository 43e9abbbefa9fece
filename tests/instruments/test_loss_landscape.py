"""A quadratic, and a network small enough for its whole Hessian."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from judging import assert_told_apart, judged, path

from miscope.core import Checkpoint, MiscopeError
from miscope.families.modulo_addition import ModuloAddition
from miscope.instruments._shared import planted_loss
from miscope.instruments._shared.nulls import NO_START
from miscope.instruments.loss_landscape.measure import LossLandscape, instrument
from miscope.model.differentiation import network
from miscope.model.transformer import Transformer
from miscope.model.weights import weights

TASK = ModuloAddition(7, 0.6)
MODEL = replace(TASK.model(), d_model=6, n_heads=2, d_head=3, d_mlp=10)


def of_quadratic(bends: np.ndarray, **settings: Any) -> LossLandscape:
    return planted_loss.measured(instrument, planted_loss.quadratic(bends), **settings)


def test_a_round_bowl_rises_alike_in_all_directions() -> None:
    bowl = of_quadratic(np.full(40, 2.5), distances=(1.0, 2.0))
    np.testing.assert_allclose(bowl.rise, np.tile([1.25, 5], (50, 1)), rtol=1e-5)
    assert (bowl.top_eigenvalue, bowl.least_eigenvalue) == (pytest.approx(2.5), pytest.approx(2.5))
    assert (bowl.trace, bowl.trace_error) == (pytest.approx(100), pytest.approx(0, abs=1e-9))
    assert bowl.loss == 3


def test_one_that_is_not_converged_says_so() -> None:
    bowl = of_quadratic(np.linspace(0, 1, 3000), products=4)
    assert not bowl.is_converged and bowl.n_products == 4
    assert bowl.top_error > 0.01 * bowl.top_eigenvalue
    assert of_quadratic(np.append(np.linspace(0, 1, 2000), 50)).is_converged


def small(step: int = 0, **change: Any) -> Checkpoint:
    model = replace(MODEL, **change)
    bare = Checkpoint(step, model, weights(Transformer(model, 1)))
    return replace(bare, differentiable=network(bare, TASK.context(0)))


@pytest.mark.parametrize("change", [{}, {"d_mlp": 0, "n_layers": 2}, {"normalization": "LN", "has_biases": True}])
def test_extremes_and_trace_are_those_of_the_whole_hessian(change: dict[str, object]) -> None:
    checkpoint = small(**change)
    net = checkpoint.network
    whole = net.hessian(net.train_inputs())(np.eye(net.weights.size))
    np.testing.assert_allclose(whole, whole.T, atol=1e-6)
    values = np.linalg.eigvalsh((whole + whole.T) / 2)
    settings = {"answers": 0, "products": 60, "trace_vectors": 100, "directions": 2}
    landscape = instrument.compute(checkpoint, TASK.context(0), **settings)
    assert landscape.top_eigenvalue == pytest.approx(values[-1], rel=2e-2)
    assert values[0] - 1e-4 <= landscape.least_eigenvalue <= values[0] + 2 * landscape.least_error + 1e-4
    assert landscape.trace == pytest.approx(values.sum(), abs=4 * landscape.trace_error)
    assert landscape.n_parameters == len(values)


def test_directions_are_the_same_at_every_checkpoint_and_others_with_another_seed() -> None:
    measured = (
        instrument.compute(small(at), TASK.context(0), directions=4, seed=s) for at, s in ((0, 0), (7, 0), (0, 1))
    )
    first, again, other = (output.rise for output in measured)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"distances": ()}, r"`distances` = \[\]; allowed: numbers above 0"),
        ({"distances": (1.0, -1.0)}, "allowed: numbers above 0"),
        ({"directions": 1}, "`directions` = 1; allowed: at least 2"),
        ({"answers": -1}, "`answers` = -1; allowed: at least 0"),
        ({"trace_vectors": 1}, "`trace_vectors` = 1; allowed: at least 2"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MiscopeError, match=words):
        of_quadratic(np.ones(4), **settings)


def landscape(rise: float = 0.0, **change: Any) -> LossLandscape:
    """Fifty directions whose rise at distance 10 is `rise` on average, and a hundredth of that at distance 1."""
    distance = np.array([1.0, 10.0])
    noise = np.random.default_rng(0).normal(0, 1e-3, (50, 1)) * [0.1, 1]
    output = LossLandscape(
        n_inputs=50, loss=1.0, n_parameters=1000, weight_norm=30.0, distance=distance,
        rise=rise * distance**2 / 100 + noise - noise.mean(axis=0), top_eigenvalue=1.0, top_error=0.01,
        least_eigenvalue=-0.3, least_error=0.01, is_converged=True, n_products=9, trace=1.0, trace_error=0.1,
    )  # fmt: skip
    return replace(output, **change)


FLAT, STEEP, BOWL = landscape(), landscape(0.1), 100 * 1.0 / (2 * 1000)  # at distance 10, of trace 1


@pytest.mark.parametrize(
    ("view", "start", "beyond", "within"),
    [
        ("overview", FLAT, STEEP, landscape(0.002)),  # of single directions, 99 % rise by less than 0.0027
        ("bowl", landscape(BOWL), landscape(5 * BOWL), landscape(1.2 * BOWL)),  # as far as errors allow
        ("bowl", landscape(4 * BOWL), landscape(20 * BOWL), landscape(4 * BOWL)),  # and the untrained network
        ("saddle", FLAT, landscape(least_eigenvalue=-0.01), landscape(least_eigenvalue=-0.25)),
        ("saddle", FLAT, landscape(least_eigenvalue=-0.01), landscape(least_eigenvalue=-0.01, least_error=0.3)),
        ("sharpness", FLAT, landscape(top_eigenvalue=5.0), landscape(top_eigenvalue=2.0)),
        ("directions", FLAT, STEEP, FLAT),  # half of them lead up on a slope, and all at a minimum
        ("directions", landscape(0.0015), STEEP, landscape(0.0018)),
    ],
)
def test_what_goes_beyond_the_untrained_network_is_told_from_what_does_not(
    view: str, start: LossLandscape, beyond: LossLandscape, within: LossLandscape
) -> None:
    assert_told_apart(f"loss_landscape.{view}", path(start, beyond), path(start, within))


def test_rise_and_sharpness_are_judged_where_they_are_highest() -> None:
    rise = judged("loss_landscape.overview", path(FLAT, STEEP, FLAT))
    assert "(step 100)" in rise.statistic and rise.value == pytest.approx(0.1)
    sharp = judged("loss_landscape.sharpness", path(FLAT, landscape(top_eigenvalue=5.0), FLAT))
    assert "(step 100)" in sharp.statistic and (sharp.value, sharp.threshold) == (5, 3)


def test_a_step_between_two_has_the_directions_of_the_one_before() -> None:
    assert judged("loss_landscape.directions", path(FLAT, STEEP), step=50).verdict == "Within its null"


def test_where_the_trace_is_negative_there_is_no_parabola() -> None:
    assert judged("loss_landscape.bowl", path(landscape(BOWL, trace=-1.0), STEEP)).verdict == "No null"


@pytest.mark.parametrize("view", ["overview", "bowl", "saddle", "sharpness"])
def test_a_landscape_without_step_0_is_not_judged(view: str) -> None:
    assert judged(f"loss_landscape.{view}", path(FLAT, STEEP, first=5)).reason == NO_START
    assert judged("loss_landscape.directions", path(STEEP, first=5)).is_beyond  # half lead up on a slope, always
