"""Quadratic losses, whose coefficient is known with the bias of the step, and chains that must not be believed."""

from dataclasses import replace

import numpy as np
import pytest
from judging import assert_told_apart, judged, path

from miscope.core import Checkpoint, MiscopeError
from miscope.families.modulo_addition import ModuloAddition
from miscope.instruments._shared import planted_loss
from miscope.instruments._shared.nulls import NO_START
from miscope.instruments.local_learning_coefficient.measure import LocalLearningCoefficient, instrument
from miscope.model.differentiation import network
from miscope.model.transformer import Transformer
from miscope.model.weights import weights

SETTLED = {"chains": 60, "draws": 1500, "step_size": 1e-3, "localisation": 1.0, "n_beta": 100.0}


def of_quadratic(bends: np.ndarray, slopes: float = 0.0, **settings: float) -> LocalLearningCoefficient:
    return planted_loss.measured(instrument, planted_loss.quadratic(bends, slopes), **(SETTLED | settings))


def test_a_regular_minimum_is_believed_and_its_standard_error_is_that_of_the_mean_over_chains() -> None:
    output = of_quadratic(np.ones(6))
    assert output.doubts == ()
    assert output.reach == pytest.approx(np.sqrt(6))
    assert output.standard_error == pytest.approx(output.chain.std(ddof=1) / np.sqrt(60))
    assert output.estimate == pytest.approx(output.chain.mean())
    assert output.estimate == pytest.approx(3.0472, abs=4 * output.standard_error)
    np.testing.assert_allclose(output.trace[:, output.n_burn_in :].mean(axis=1), output.chain, rtol=1e-4)


def test_n_beta_is_by_default_the_inputs_over_their_logarithm() -> None:
    assert of_quadratic(np.ones(2), n_beta=0.0).n_beta == pytest.approx(1000 / np.log(1000))


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
        output = of_quadratic(bends, **given)
    assert any(one.startswith(doubt) for one in output.doubts), output.doubts
    assert (output.estimate is None) == (doubt == "the chains ran away")


def test_a_networks_chains_are_the_same_every_time() -> None:
    task = ModuloAddition(7, 0.6)
    bare = Checkpoint(0, task.model(), weights(Transformer(task.model(), 1)))
    checkpoint = replace(bare, differentiable=network(bare, task.context(0)))
    first, again = (instrument.compute(checkpoint, task.context(0), draws=10, chains=2) for _ in range(2))
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


def estimated(estimate: float | None, *doubts: str) -> LocalLearningCoefficient:
    """By four chains, with a standard error of 0.1."""
    return LocalLearningCoefficient(
        estimate=estimate, standard_error=0.1, chain=np.zeros(4), doubts=doubts, r_hat=1.0, drift=0.0, temperature=1.0,
        n_inputs=57, n_beta=14.0, reach=1.0, n_burn_in=15, trace=np.zeros((4, 30), dtype=np.float32),
    )  # fmt: skip


VIEWS = ["local_learning_coefficient.overview", "local_learning_coefficient.chains"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_coefficient_is_beyond_the_untrained_network_by_more_than_both_errors(view: str) -> None:
    start = estimated(0.1, "drift")
    assert_told_apart(
        view, path(start, estimated(9.0)), path(start, estimated(0.5))
    )  # four chains: 5.8 errors, not 2.3
    assert "its checks" in judged(view, path(estimated(0.1), estimated(9.0, "drift"))).reason
    assert judged(view, path(estimated(None), estimated(9.0))).reason.startswith("at step 0 the chains ran away")
    assert judged(view, path(start, estimated(9.0), first=5)).reason == NO_START


def test_coefficients_are_judged_by_the_highest() -> None:
    null = judged(VIEWS[0], path(estimated(0.1), estimated(9.0), estimated(0.1)))
    assert "(step 100)" in null.statistic and null.value == 9
