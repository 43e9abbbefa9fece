"""A quadratic, and a network small enough for its whole Hessian."""

from dataclasses import replace

import numpy as np
import pytest
import quadratic

from miscope.analyzers.loss_landscape import LossLandscape, analyzer, loss_landscape
from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.differentiation import network
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.workspace import analysis

TASK = ModuloAddition(7, 0.6)
MODEL = replace(TASK.model(), d_model=6, n_heads=2, d_head=3, d_mlp=10)


def of_quadratic(bends: np.ndarray, **settings: object) -> LossLandscape:
    return loss_landscape(quadratic.checkpoint(bends), TASK.context(0), **settings)  # type: ignore[arg-type]


def test_a_round_bowl_rises_alike_in_all_directions() -> None:
    found = of_quadratic(np.full(40, 2.5), distances=(1.0, 2.0))
    np.testing.assert_allclose(found.rise, np.tile([1.25, 5], (50, 1)), rtol=1e-5)
    assert (found.top_eigenvalue, found.least_eigenvalue) == (pytest.approx(2.5), pytest.approx(2.5))
    assert (found.trace, found.trace_error) == (pytest.approx(100), pytest.approx(0, abs=1e-9))
    assert found.loss == 3


def test_a_saddle_has_its_eigenvalues_and_rises_by_its_trace_on_average() -> None:
    bends = np.concatenate([[-4, 50], np.random.default_rng(0).random(2000)])
    found = of_quadratic(bends, directions=400)
    assert found.is_converged
    assert found.top_eigenvalue == pytest.approx(50, rel=1e-2)
    assert -4 <= found.least_eigenvalue < 0  # it comes later than the top one, which ended the search
    np.testing.assert_allclose(found.trace, bends.sum(), rtol=1e-9)  # random signs see a diagonal exactly
    np.testing.assert_allclose(found.rise.mean(axis=0), found.distance**2 * bends.mean() / 2, rtol=0.05)


def test_one_that_is_not_converged_says_so() -> None:
    found = of_quadratic(np.linspace(0, 1, 3000), products=4)
    assert not found.is_converged
    assert found.n_products == 4
    assert found.top_error > 0.01 * found.top_eigenvalue


def small(**change: object) -> tuple[Checkpoint, Context]:
    model: ModelConfig = replace(MODEL, **change)  # type: ignore[arg-type]
    return Checkpoint(0, model, weights(Transformer(model, 1))), TASK.context(0)


@pytest.mark.parametrize("change", [{}, {"d_mlp": 0, "n_layers": 2}, {"normalization": "LN", "has_biases": True}])
def test_extremes_and_trace_are_those_of_the_whole_hessian(change: dict[str, object]) -> None:
    checkpoint, context = small(**change)
    net = network(checkpoint, context)
    whole = net.hessian(net.train_inputs())(np.eye(net.weights.size))
    np.testing.assert_allclose(whole, whole.T, atol=1e-6)
    values = np.linalg.eigvalsh((whole + whole.T) / 2)
    given = dict(analyzer.settings) | {"answers": 0, "products": 60, "trace_vectors": 100, "directions": 2}
    found = analysis.compute(checkpoint, analyzer, context, given)
    assert isinstance(found, LossLandscape)
    assert found.top_eigenvalue == pytest.approx(values[-1], rel=2e-2)
    assert values[0] - 1e-4 <= found.least_eigenvalue <= values[0] + 2 * found.least_error + 1e-4
    assert found.trace == pytest.approx(values.sum(), abs=4 * found.trace_error)
    assert found.n_parameters == len(values)


def test_directions_are_the_same_at_every_checkpoint_and_others_with_another_seed() -> None:
    checkpoint, context = small()
    moved = replace(checkpoint, step=7)
    settings = dict(analyzer.settings) | {"directions": 4}
    first, again, other = (
        analysis.compute(c, analyzer, context, settings | {"seed": seed})
        for c, seed in ((checkpoint, 0), (moved, 0), (checkpoint, 1))
    )
    assert isinstance(first, LossLandscape) and isinstance(again, LossLandscape) and isinstance(other, LossLandscape)
    np.testing.assert_array_equal(first.rise, again.rise)
    assert (first.rise != other.rise).all()


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
def test_settings_out_of_range_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(MiscopeError, match=words):
        of_quadratic(np.ones(4), **settings)
