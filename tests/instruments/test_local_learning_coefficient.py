"""Quadratic losses, whose coefficient is known with the bias of the step, and chains that must not be believed."""

import numpy as np
import pytest
import quadratic

from miscope.analyzers.local_learning_coefficient import (
    LocalLearningCoefficient,
    analyzer,
    local_learning_coefficient,
)
from miscope.core import Checkpoint, MiscopeError
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.workspace import analysis

TASK = ModuloAddition(7, 0.6)
SETTLED = {"chains": 60, "draws": 1500, "step_size": 1e-3, "localisation": 1.0, "n_beta": 100.0}


def of_quadratic(bends: np.ndarray, slopes: float = 0.0, **settings: float) -> LocalLearningCoefficient:
    given = SETTLED | settings
    return local_learning_coefficient(quadratic.checkpoint(bends, slopes), TASK.context(0), **given)  # type: ignore[arg-type]


def expected(bends: np.ndarray, step_size: float = 1e-3, localisation: float = 1.0, n_beta: float = 100.0) -> float:
    """In closed form, with what a step of finite size adds."""
    h = n_beta * bends + localisation
    return float((n_beta * bends / (h * (1 - step_size * h / 4))).sum() / 2)


def test_a_regular_minimum_counts_half_its_parameters() -> None:
    found = of_quadratic(np.ones(6))
    assert expected(np.ones(6)) == pytest.approx(3.0472, abs=1e-4)
    assert found.estimate is not None and found.standard_error is not None
    assert found.estimate == pytest.approx(3.0472, abs=4 * found.standard_error)
    assert found.estimate == pytest.approx(3.0472, rel=0.03)
    assert found.doubts == ()
    assert found.reach == pytest.approx(np.sqrt(6))


def test_flat_directions_count_for_nothing_and_weak_ones_for_less() -> None:
    flat = of_quadratic(np.repeat([1.0, 0.0], [4, 20]))
    weak = of_quadratic(np.repeat([1.0, 0.02], [4, 20]))
    assert flat.estimate == pytest.approx(expected(np.ones(4)), rel=0.05)
    assert weak.estimate == pytest.approx(expected(np.repeat([1.0, 0.02], [4, 20])), rel=0.05)
    assert weak.estimate is not None and weak.estimate < 12


def test_the_standard_error_is_that_of_the_mean_over_chains() -> None:
    found = of_quadratic(np.ones(6), chains=8)
    assert found.standard_error == pytest.approx(found.chain.std(ddof=1) / np.sqrt(8))
    assert found.estimate == pytest.approx(found.chain.mean())
    kept = found.trace[:, found.n_burn_in :]
    np.testing.assert_allclose(kept.mean(axis=1), found.chain, rtol=1e-4)


def test_n_beta_is_by_default_the_inputs_over_their_logarithm() -> None:
    assert of_quadratic(np.ones(2), n_beta=0.0).n_beta == pytest.approx(500 / np.log(500))


@pytest.mark.parametrize(
    ("settings", "doubt"),
    [
        ({"slopes": -3.0, "localisation": 50.0, "bends": 0.05}, "negative"),
        ({"draws": 60, "step_size": 1e-4}, "drift"),
        ({"bends": 0.0005, "chains": 3, "draws": 40}, "chains disagree"),
        ({"step_size": 0.03, "bends": 1.2}, "long steps"),
        ({"step_size": 1e-4, "localisation": 0.01, "bends": 0.1}, "not settled"),
        ({"step_size": 0.05, "bends": 1.2}, "the chains ran away"),
    ],
)
def test_an_estimate_that_is_not_to_be_believed_says_why(settings: dict[str, float], doubt: str) -> None:
    given = {"chains": 4, "draws": 400} | settings
    bends = np.full(100, given.pop("bends", 1.0))
    with np.errstate(over="ignore", invalid="ignore"):
        found = of_quadratic(bends, **given)
    assert any(one.startswith(doubt) for one in found.doubts), found.doubts
    assert (found.estimate is None) == (doubt == "the chains ran away")


def test_a_trained_networks_chains_are_the_same_every_time() -> None:
    task = ModuloAddition(7, 0.6)
    checkpoint = Checkpoint(0, task.model(), weights(Transformer(task.model(), 1)))
    given = dict(analyzer.settings) | {"draws": 10, "chains": 2}
    first, again = (analysis.compute(checkpoint, analyzer, task.context(0), given) for _ in range(2))
    assert isinstance(first, LocalLearningCoefficient) and isinstance(again, LocalLearningCoefficient)
    np.testing.assert_array_equal(first.trace, again.trace)
    assert first.n_inputs == task.context(0).probe.is_train.sum()
    assert np.isfinite(first.trace).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chains": 1}, "`chains` = 1, `draws` = 1500; allowed: at least 2 chains of 8 draws"),
        ({"burn_in": 1.0}, "`burn_in` = 1.0; allowed: from 0 to below 1"),
        ({"step_size": 0.1, "localisation": 100.0}, "step_size x localisation below 4"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(MiscopeError, match=words):
        of_quadratic(np.ones(4), **settings)
