"""What random functions, neurons and phases show: the numbers that one case in a hundred exceeds.

In closed form by scipy, whose import is left to the first call, or from seeded draws that are remembered per shape.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

MATRICES, VALUES = 64, 16_384  # matrices per shape; fewer of wide ones, which hardly differ: so many values in all
RARE = 0.01
DRAWS = 10_000


def largest_share(n: int, n_comparisons: int = 1) -> float:
    """Of the energy of a random function of a token, what the largest of its n frequencies has; 1 where n is 1.

    With more comparisons, in any of so many functions. A frequency's two waves have independent normal coefficients, so
    energies are exponential. Below 1/2 it is an upper bound, too high by less than a hundredth of itself.

    Source: Fisher 1929, Tests of significance in harmonic analysis, doi:10.1098/rspa.1929.0151 (first term).
    """
    return 1.0 if n < 2 else float(1 - (RARE / (n_comparisons * n)) ** (1 / (n - 1)))


def chance_of_share(n: int, level: float) -> float:
    """The probability that the largest of n frequencies has `level` of that energy or more; exact from level 1/2 on."""
    return 1.0 if n < 2 else float(min(1, n * (1 - level) ** (n - 1)))


def share_of_some(n: int, total: int) -> float:
    """What n frequencies named beforehand, of `total`, have of that energy: a beta distribution; 1 where n is total."""
    return _beta_quantile(n, total - n, 1 - RARE) if n < total else 1.0


def share_of_sets(n: int, total: int) -> float:
    """The same of n sets of bits, of `total`, which have one coefficient each where a frequency has two."""
    return _beta_quantile(n / 2, (total - n) / 2, 1 - RARE) if n < total else 1.0


@lru_cache(maxsize=256)
def concentration(n: int, n_kinds: int) -> float:
    """Herfindahl index (`statistics.herfindahl`) of n cases, each of any of n_kinds with equal chance; 1 if n is 1."""
    counts = np.random.default_rng(0).multinomial(n, np.full(n_kinds, 1 / n_kinds), DRAWS)
    return float(np.quantile((counts.astype(np.float64) ** 2).sum(axis=1) / n**2, 1 - RARE))


def multiple_of_noise(n: int) -> float:
    """The size of a normal number, in root mean squares of n others: Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(n, 1 - RARE / 2))


def least_median_angle(n: int) -> float:
    """The median of n random angles from 0 to pi, here what one case in a hundred is below.

    Source: David and Nagaraja 2003, Order Statistics, section 2.1 (medians of uniform numbers are beta distributed).
    """
    return np.pi * _beta_quantile((n + 1) / 2, (n + 1) / 2, RARE)


def gain(n: int, added: int, used: int, n_fits: int = 1) -> float:
    """The largest gain in R2 of n_fits regressions on n points by `added` of the `used` regressors, constant included.

    Source: Seber and Lee 2003, Linear Regression Analysis, section 4.3 (under chance a gain has a beta distribution).
    """
    return _beta_quantile(added / 2, (n - used) / 2, 1 - RARE / n_fits) if n > used else 1.0


def agreement(first: Float[np.ndarray, " item"], second: Float[np.ndarray, " item"]) -> tuple[float, float]:
    """The correlation of two rows, and what it is where the second is in random order; NaN where one is constant.

    Source: Pitman 1937, Significance tests applicable to samples from any populations, II, doi:10.2307/2983647.
    """
    x, y = (values - values.mean() for values in (first, second))
    if not (x.any() and y.any()):
        return float("nan"), float("nan")
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    orders = np.random.default_rng(0).permuted(np.tile(y, (DRAWS // 5, 1)), axis=1)
    return float(x @ y), float(np.quantile(orders @ x, 1 - RARE))


def binomial_quantile(n: int, probability: float, level: float = 1 - RARE) -> int:
    """The least number that so many independent cases reach or stay below with a probability of `level`."""
    from scipy.special import bdtr, bdtrik

    if not 0 < probability < 1:
        return round(n * probability)
    if bdtr(0, n, probability) >= level:  # of a probability below the precision of a number, bdtrik gives NaN
        return 0
    k = int(np.ceil(bdtrik(level, n, probability)))
    return k - 1 if k > 0 and bdtr(k - 1, n, probability) >= level else k


def _beta_quantile(a: float, b: float, level: float) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(a, b, level))


@lru_cache(maxsize=64)
def gaussian_spectra(rows: int, columns: int) -> Float[np.ndarray, "draw rank"]:
    """Descending singular values of Gaussian matrices, each of Frobenius norm 1; the same ones for a shape.

    A Gaussian matrix has the singular values of a bidiagonal one of independent chi variables, whose squares are the
    eigenvalues of a tridiagonal matrix: a rank of 768 takes 11 ms.
    """
    rank, rng = min(rows, columns), np.random.default_rng(0)
    n = max(8, min(MATRICES, VALUES // rank))
    spectra = np.stack([_spectrum(max(rows, columns), rank, rng) for _ in range(n)])
    spectra /= np.linalg.norm(spectra, axis=1, keepdims=True)
    spectra.flags.writeable = False
    return spectra


def _spectrum(longer: int, rank: int, rng: np.random.Generator) -> Float[np.ndarray, " rank"]:
    from scipy.linalg import eigvalsh_tridiagonal

    diagonal = rng.chisquare(longer - np.arange(rank))
    beside = rng.chisquare(np.arange(rank - 1, 0, -1))
    squares = diagonal + np.concatenate([[0.0], beside])
    if rank == 1:
        return np.sqrt(squares)
    values = eigvalsh_tridiagonal(squares, np.sqrt(diagonal[:-1] * beside), lapack_driver="sterf")
    return np.asarray(np.sqrt(np.maximum(values[::-1], 0)))
