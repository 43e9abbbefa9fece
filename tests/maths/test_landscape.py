"""Matrices whose eigenvalues are known, and chains on losses whose posterior is known in closed form."""

import numpy as np
import pytest

from miscope.maths import landscape
from miscope.maths.landscape import Chains, Dynamics, Oracle, Products, extreme_eigenvalues, split_r_hat, trace


def symmetric(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """A matrix with these eigenvalues, in random directions."""
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return rotation @ np.diag(values) @ rotation.T


def products(matrix: np.ndarray) -> Products:
    return lambda vectors: vectors @ matrix


def test_the_extremes_of_a_known_spectrum_lie_within_the_errors_that_are_stated() -> None:
    values = np.concatenate([[-7], np.linspace(-1, 1, 200), [5, 9, 40]])
    measured = extreme_eigenvalues(products(symmetric(values)), len(values), tolerance=1e-3)
    assert measured.largest == pytest.approx(40, abs=max(measured.largest_error, 1e-9))
    assert measured.largest_error <= 0.04
    assert measured.least == pytest.approx(-7, abs=max(measured.least_error, 1e-9))
    assert measured.n_products < 20


def test_one_that_is_not_converged_says_by_how_much() -> None:
    values = np.linspace(0, 1, 2000)
    measured = extreme_eigenvalues(lambda v: v * values, len(values), tolerance=1e-9, most_products=10)
    assert measured.n_products == 10
    assert measured.largest_error > 1e-3 and abs(1 - measured.largest) < 0.1


def test_a_matrix_of_few_eigenvalues_is_whole_before_the_products_run_out() -> None:
    measured = extreme_eigenvalues(products(3 * np.eye(20)), 20)
    assert (measured.largest, measured.least, measured.n_products) == (pytest.approx(3), pytest.approx(3), 1)
    assert extreme_eigenvalues(products(np.zeros((5, 5))), 5).largest == 0
    small = extreme_eigenvalues(products(symmetric(np.array([-2.0, 0.5, 1, 4]))), 4, tolerance=0)  # by all products
    assert (small.largest, small.least) == (pytest.approx(4), pytest.approx(-2))
    assert small.largest_error < 1e-12


def test_the_trace_of_a_diagonal_matrix_is_exact_and_any_other_lies_within_its_standard_error() -> None:
    assert trace(products(np.diag([1.0, 2, 3, -4])), 4, n_vectors=3) == (2, 0)
    values = np.linspace(-1, 3, 300)
    measured = [trace(products(symmetric(values)), 300, n_vectors=20, seed=seed) for seed in range(40)]
    z = np.array([(one.value - values.sum()) / one.standard_error for one in measured])
    assert abs(z.mean()) < 0.5
    assert 0.7 < z.std() < 1.4


def sgld(oracle: Oracle, start: np.ndarray, dynamics: Dynamics, **settings: int) -> Chains:
    return landscape.sgld(oracle, lambda w, batch: oracle(w, batch)[0], start, dynamics, **settings)


PLAIN = Dynamics(1e-3, 100, 1)


def quadratic(a: np.ndarray) -> Oracle:
    """The loss sum of a w^2 / 2."""
    return lambda w, batch: ((w**2) @ a / 2, w * a)


def settled(a: np.ndarray, dynamics: Dynamics, n_draws: int) -> float:
    """What the chains make of the learning coefficient, the first half of the draws left out."""
    measured = sgld(quadratic(a), np.zeros(len(a)), dynamics, n_chains=400, n_draws=n_draws)
    return dynamics.n_beta * float(measured.excess[:, n_draws // 2 :].mean())


def expected(a: np.ndarray, dynamics: Dynamics) -> float:
    """Of the chain's own stationary variance, which a step of finite size makes wider than the posterior's."""
    h = dynamics.n_beta * a + dynamics.localisation
    return float((dynamics.n_beta * a / (h * (1 - dynamics.step_size * h / 4))).sum() / 2)


def test_a_quadratic_loss_gives_its_closed_form_with_the_bias_of_the_step() -> None:
    for a, dynamics, n_draws, value in (
        (np.ones(6), PLAIN, 1000, 3.0472),
        (np.array([1, 0.1, 0.01, 0, 0]), PLAIN, 8000, 1.2138),
        (np.logspace(-3, 0, 50), Dynamics(2e-3, 200, 5), 1500, None),
    ):
        known = expected(a, dynamics)
        assert value is None or known == pytest.approx(value, rel=1e-4)
        assert settled(a, dynamics, n_draws) == pytest.approx(known, rel=0.01)
    flat = np.concatenate([np.ones(2), np.zeros(4)])  # directions that move nothing count for nothing
    assert settled(flat, PLAIN, 1000) == pytest.approx(expected(np.ones(2), PLAIN), rel=0.02)


@pytest.mark.parametrize("step_size", [1e-3, 1e-2, 3e-2])
def test_the_temperature_is_one_but_for_what_long_steps_add(step_size: float) -> None:
    dynamics = Dynamics(step_size, 100, 1)
    measured = sgld(quadratic(np.ones(6)), np.zeros(6), dynamics, n_chains=400, n_draws=600)
    assert measured.temperature[:, 300:].mean() == pytest.approx(1 / (1 - step_size * 101 / 4), rel=0.03)


def test_chains_on_their_way_out_are_cold() -> None:
    measured = sgld(quadratic(np.zeros(200)), np.zeros(200), Dynamics(1e-3, 1, 10), n_chains=20, n_draws=600)
    spread = 1 - (1 - 1e-3 * 10 / 2) ** (2 * np.arange(1, 601))  # of what they will have in the end
    np.testing.assert_allclose(measured.temperature.mean(axis=0)[50:], spread[50:], rtol=0.1)


def test_the_noise_of_batches_is_taken_from_the_excess() -> None:
    """Each batch adds a number of its own to the loss, thousands of times the excess."""
    height = np.random.default_rng(0).normal(size=1000) * 1e3

    def noisy(w: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
        loss, gradient = quadratic(np.ones(6))(w, batch)
        return loss + height[batch], gradient

    oracles = (quadratic(np.ones(6)), noisy)
    plain, with_noise = (sgld(oracle, np.zeros(6), PLAIN, n_chains=4, n_draws=1000) for oracle in oracles)
    np.testing.assert_allclose(with_noise.excess, plain.excess, atol=1e-9)


def test_the_same_seed_gives_the_same_chains_and_another_does_not() -> None:
    bowl, settings = quadratic(np.ones(6)), {"n_chains": 2, "n_draws": 10}
    one, again, other = (sgld(bowl, np.zeros(6), PLAIN, **settings, seed=seed).excess for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one[:, 1:] != other[:, 1:]).all()


def test_chains_that_agree_have_r_hat_near_one_and_those_apart_or_adrift_do_not() -> None:
    noise = np.random.default_rng(0).normal(size=(4, 400))
    assert split_r_hat(noise) == pytest.approx(1, abs=0.01)
    assert split_r_hat(noise + np.arange(4)[:, None]) > 1.4
    assert split_r_hat(noise + np.linspace(0, 6, 400)) > 1.4
    assert np.isnan(split_r_hat(np.ones((4, 10))))


def regression(inputs: int, hidden: int, outputs: int, n: int) -> Oracle:
    """Two linear layers, W = (outputs x hidden)(hidden x inputs), on noise of variance 1/2: the squared error."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, inputs)), rng.normal(size=(n, outputs)) / np.sqrt(2)
    xx, yx, yy = x.T @ x / n, y.T @ x / n, (y**2).sum() / n

    def oracle(w: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
        first = w[:, : hidden * inputs].reshape(-1, hidden, inputs)
        second = w[:, hidden * inputs :].reshape(-1, outputs, hidden)
        product = second @ first
        error = product @ xx - yx
        loss = yy + ((error - yx) * product).sum(axis=(1, 2))
        parts = (2 * second.swapaxes(1, 2) @ error, 2 * error @ first.swapaxes(1, 2))
        return loss, np.concatenate([part.reshape(len(w), -1) for part in parts], axis=1)

    return oracle


@pytest.mark.parametrize(("sizes", "coefficient"), [((5, 3, 5), 6.5), ((4, 3, 8), 6.0), ((3, 8, 4), 6.0)])
def test_reduced_rank_regression_has_about_the_coefficient_that_theory_gives(sizes, coefficient) -> None:
    """At a truth of rank 0, where both layers are 0; at a finite n the estimate lies within a quarter.

    Source: Aoyagi and Watanabe 2005, Stochastic complexities of reduced rank regression (Neural Networks 18(7)).
    """
    (inputs, hidden, outputs), n = sizes, 20_000
    dynamics, start = Dynamics(1e-4, n / np.log(n), 10), np.zeros(hidden * (inputs + outputs))
    measured = sgld(regression(*sizes, n), start, dynamics, n_chains=30, n_draws=6000)
    assert dynamics.n_beta * measured.excess[:, 3000:].mean() == pytest.approx(coefficient, rel=0.25)
    assert measured.temperature[:, 3000:].mean() == pytest.approx(1, abs=0.1)
