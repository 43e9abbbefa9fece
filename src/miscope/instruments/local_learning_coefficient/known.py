"""Losses whose learning coefficient is known: quadratic bowls, and regressions of reduced rank."""

from collections.abc import Iterator

import numpy as np

from miscope.instruments._shared.planted_loss import PlantedLoss, measured, quadratic
from miscope.instruments.local_learning_coefficient.measure import instrument
from miscope.plugin import Answer


def coefficients_of_bowls() -> Iterator[Answer]:
    """Quadratic bowls: six parameters alike, and five of which two are flat. What a step of finite size adds is known.

    Source: Lau et al. 2023, arXiv:2308.12108, section 4 (estimator); its mean over a Langevin chain of step e on
    sum a w^2 / 2 is half the sum of nb a / (h (1 - e h / 4)) with h = nb a + g, by the chain's stationary variance.
    """
    e, nb, g = 1e-3, 100.0, 1.0
    settings = {"chains": 100, "draws": 3000, "step_size": e, "localisation": g, "n_beta": nb}
    for name, bends in (("six alike", np.ones(6)), ("1, .1, .01, 0, 0", np.array([1, 0.1, 0.01, 0, 0]))):
        h = nb * bends + g
        expected = (nb * bends / (h * (1 - e * h / 4))).sum() / 2
        output = measured(instrument, quadratic(bends), **settings)
        yield Answer(f"coefficient, {name}", expected, output.estimate, 0.04 * expected)


def coefficients_of_regressions() -> Iterator[Answer]:
    """Linear regression of reduced rank, of m inputs, h hidden and n outputs, at a truth of rank 0.

    Source: Aoyagi and Watanabe 2005, doi:10.1016/j.neunet.2005.03.014 (exact coefficients). A tempered chain of finite
    length comes to within a quarter of them, as in Lau et al. 2023, arXiv:2308.12108.
    """
    settings = {"chains": 20, "draws": 3000, "step_size": 6e-4, "localisation": 1.0, "n_beta": 1000 / np.log(1000)}
    for (m, h, n), exact in (((5, 3, 5), 6.5), ((5, 4, 5), 8.0), ((4, 3, 8), 6.0), ((8, 3, 4), 6.0)):
        output = measured(instrument, _regression(m, h, n), **settings)
        yield Answer(f"coefficient for m {m}, h {h}, n {n}", exact, output.estimate, exact / 4)


def _regression(m: int, hidden: int, n: int) -> PlantedLoss:
    """|B A|^2 / 2 of A [hidden m] and B [n hidden]: linear regression of reduced rank, where nothing is to be told."""

    def parts(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return w[:, : hidden * m].reshape(-1, hidden, m), w[:, hidden * m :].reshape(-1, n, hidden)

    def loss(w: np.ndarray) -> np.ndarray:
        a, b = parts(w)
        return ((b @ a) ** 2).sum(axis=(1, 2)) / 2

    def slope(w: np.ndarray) -> np.ndarray:
        a, b = parts(w)
        c = b @ a
        return np.concatenate([(b.mT @ c).reshape(len(w), -1), (c @ a.mT).reshape(len(w), -1)], axis=1)

    return PlantedLoss(hidden * (m + n), loss, slope)


cases = (coefficients_of_bowls, coefficients_of_regressions)
