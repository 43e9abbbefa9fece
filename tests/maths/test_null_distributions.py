"""What one case in a hundred exceeds, against draws made here in another way and tables."""

import numpy as np
import pytest

from miscope.maths import null_distributions as null
from miscope.maths.decomposition import participation_ratio, spectrum
from miscope.maths.null_distributions import gaussian_spectra
from miscope.maths.spectra import Basis, energy_by_frequency

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("p", [13, 59])
def test_one_random_function_of_a_token_in_a_hundred_has_a_larger_share_at_one_frequency(p):
    energy = energy_by_frequency(Basis("fourier", p), RNG.normal(size=(p, 20_000)))
    share = (energy / energy.sum(axis=0)).max(axis=0)
    assert null.largest_share(p // 2) == pytest.approx(np.quantile(share, 0.99), rel=0.03)
    assert null.chance_of_share(p // 2, 0.5) == pytest.approx((share >= 0.5).mean(), abs=9e-3)


def test_the_largest_share_is_that_of_fishers_table_and_one_frequency_alone_has_all():
    assert null.largest_share(10) == pytest.approx(0.536, abs=1e-3)  # Fisher 1929, table I, at 1 %
    assert null.largest_share(1) == null.chance_of_share(1, 0.9) == null.share_of_some(3, 3) == 1
    assert null.share_of_sets(8, 8) == 1


def test_named_frequencies_and_sets_have_more_in_one_case_of_a_hundred():
    waves, sets = RNG.normal(size=(50_000, 20, 2)) ** 2, RNG.normal(size=(50_000, 32)) ** 2
    share = waves[:, :3].sum(axis=(1, 2)) / waves.sum(axis=(1, 2))
    assert null.share_of_some(3, 20) == pytest.approx(np.quantile(share, 0.99), rel=0.03)
    share = sets[:, :5].sum(axis=1) / sets.sum(axis=1)
    assert null.share_of_sets(5, 32) == pytest.approx(np.quantile(share, 0.99), rel=0.03)


def test_counts_are_binomial_concentrations_lie_between_one_kind_and_all_and_noise_follows_students_table():
    assert null.binomial_quantile(100, 0.01) == 4  # P(X > 4) = 0.0034, P(X > 3) = 0.018
    assert (null.binomial_quantile(100, 0.0), null.binomial_quantile(100, 1.0)) == (0, 100)
    assert null.concentration(1, 20) == 1
    assert 0.05 < null.concentration(10_000, 20) < 0.0502
    assert null.multiple_of_noise(9) == pytest.approx(3.25, rel=0.03)
    assert null.multiple_of_noise(1000) == pytest.approx(2.58, rel=0.03)


@pytest.mark.parametrize("n", [1, 9, 100])
def test_a_median_of_random_angles_is_seldom_smaller(n):
    medians = np.median(RNG.uniform(0, np.pi, (20_000, n)), axis=1)
    assert (medians < null.least_median_angle(n)).mean() == pytest.approx(0.01, abs=4e-3)


def test_regressors_that_tell_nothing_seldom_gain_more():
    x, y = RNG.normal(size=(2000, 30, 2)), RNG.normal(size=(2000, 30))
    gains = []
    for regressors, values in zip(x, y, strict=True):
        both = np.column_stack([np.ones(30), regressors])
        left = values - both @ np.linalg.lstsq(both, values)[0]
        gains.append(1 - left.var() / values.var())
    assert (np.array(gains) > null.gain(30, 2, 3)).mean() == pytest.approx(0.01, abs=7e-3)
    assert null.gain(30, 2, 3, n_fits=10) > null.gain(30, 2, 3)
    assert null.gain(5, 3, 6) == 1


def test_rows_in_random_order_seldom_agree_more():
    measured = [null.agreement(*RNG.exponential(size=(2, 15))) for _ in range(300)]
    assert np.mean([correlation > bound for correlation, bound in measured]) < 0.04
    row = RNG.exponential(size=15)
    correlation, bound = null.agreement(row, 3 * row + 1)
    assert correlation == pytest.approx(1) and bound < 0.9
    assert np.isnan(null.agreement(np.ones(5), np.arange(5.0))[0])


@pytest.mark.parametrize("shape", [(20, 20), (60, 24), (16, 90), (3, 30)])
def test_the_singular_values_are_those_of_gaussian_matrices(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    drawn = np.stack([spectrum(rng.normal(size=shape)) for _ in range(200)])
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    measured = gaussian_spectra(*shape)
    error = np.sqrt(drawn.var(axis=0) / len(drawn) + measured.var(axis=0) / len(measured))
    assert (np.abs(measured.mean(axis=0) - drawn.mean(axis=0)) < 4.5 * error).all()
    np.testing.assert_allclose(measured.std(axis=0), drawn.std(axis=0), rtol=0.35)


def test_a_random_embedding_has_the_participation_ratio_of_an_untrained_one() -> None:
    """The calibration model's W_E at initialisation, 114 x 128, has 86.03."""
    ratios = [participation_ratio(values) for values in gaussian_spectra(114, 128)]
    assert abs(np.mean(ratios) - 86.03) < 3 * np.std(ratios)


def test_every_matrix_has_the_norm_1_and_the_same_values_as_its_transpose() -> None:
    np.testing.assert_allclose(gaussian_spectra(1, 7), 1)
    np.testing.assert_allclose(np.linalg.norm(gaussian_spectra(40, 300), axis=1), 1)
    np.testing.assert_array_equal(gaussian_spectra(12, 30), gaussian_spectra(30, 12))
