"""Losses whose shape is known in closed form, and networks whose gradients are."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope import catalog
from miscope.calibration.case import Answer, Case
from miscope.calibration.models import Addition, Induction, probe, shape, through_the_model
from miscope.core import Checkpoint, MiscopeError

ADDITION, INDUCTION = Addition(), Induction()
Vectors = Float32[np.ndarray, "n parameter"]


@dataclass(frozen=True)
class PlantedLoss:
    """A loss of parameters alone in the place of a network's, at its minimum in 0: no inputs, no tokens."""

    n_parameters: int
    loss: Callable[[np.ndarray], np.ndarray]  # [n parameter] -> [n]
    slope: Callable[[np.ndarray], np.ndarray]  # and the gradient
    bends: Float[np.ndarray, " parameter"] | None = None  # the Hessian's diagonal, where it is diagonal
    n_inputs: int = 1000

    @property
    def weights(self) -> Float32[np.ndarray, " parameter"]:
        return np.zeros(self.n_parameters, dtype=np.float32)

    def train_inputs(self, n_answers: int = 0, seed: int = 0) -> Int[np.ndarray, " inputs"]:
        return np.arange(self.n_inputs)

    def losses(self, vectors: Vectors, inputs: Int[np.ndarray, " inputs"]) -> Float[np.ndarray, " n"]:
        return self.loss(vectors.astype(np.float64))

    def gradients(
        self,
        vectors: Vectors,
        inputs: Int[np.ndarray, " inputs"],
        answers_of: Int[np.ndarray, " inputs"] | None = None,
    ) -> tuple[Float[np.ndarray, " n"], Vectors]:
        where = vectors.astype(np.float64)
        return self.loss(where), self.slope(where).astype(np.float32)

    def hessian(self, inputs: Int[np.ndarray, " inputs"]) -> Callable[[np.ndarray], np.ndarray]:
        if self.bends is None:
            raise self._none("a Hessian")
        return lambda vectors: vectors * self.bends

    def vector(self, weights: Mapping[str, np.ndarray]) -> Float32[np.ndarray, " parameter"]:
        raise self._none("matrices")

    def named(self, vector: Float[np.ndarray, " parameter"]) -> dict[str, Float32[np.ndarray, "..."]]:
        raise self._none("matrices")

    def embedding_gradients(
        self, inputs: Int[np.ndarray, " inputs"], answers: Int[np.ndarray, " inputs"]
    ) -> Float32[np.ndarray, "inputs pos d_model"]:
        raise self._none("tokens")

    def logits(
        self, vector: Float32[np.ndarray, " parameter"], inputs: Int[np.ndarray, " inputs"]
    ) -> Float32[np.ndarray, "inputs vocab"]:
        raise self._none("tokens")

    @staticmethod
    def _none(what: str) -> MiscopeError:
        return MiscopeError(f"A planted loss has no {what}.")


def quadratic(bends: Float[np.ndarray, " parameter"]) -> PlantedLoss:
    """sum of a_i w_i^2 / 2."""
    return PlantedLoss(len(bends), lambda w: (w**2 @ bends) / 2, lambda w: w * bends, bends)


def regression(m: int, hidden: int, n: int) -> PlantedLoss:
    """|B A|^2 / 2 of A [hidden m] and B [n hidden]: linear regression of reduced rank, where nothing is to be told."""

    def parts(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return w[:, : hidden * m].reshape(-1, hidden, m), w[:, hidden * m :].reshape(-1, n, hidden)

    def loss(w: np.ndarray) -> np.ndarray:
        a, b = parts(w)
        return ((b @ a) ** 2).sum(axis=(1, 2)) / 2

    def slope(w: np.ndarray) -> np.ndarray:
        a, b = parts(w)
        c = b @ a
        by_a, by_b = b.swapaxes(1, 2) @ c, c @ a.swapaxes(1, 2)
        return np.concatenate([by_a.reshape(len(w), -1), by_b.reshape(len(w), -1)], axis=1)

    return PlantedLoss(hidden * (m + n), loss, slope)


def measured(instrument: str, loss: PlantedLoss, **settings: Any) -> Any:
    checkpoint = Checkpoint(0, shape(), {}, differentiable=loss)
    return catalog.instrument(instrument).compute(checkpoint, probe(1), **settings)


def rises_around_a_bowl() -> Iterator[Answer]:
    """A quadratic bowl of 400 parameters with curvatures from 0.01 to 5, and a saddle.

    Source: in a random unit direction the loss rises by distance^2 trace / (2 parameters) in the mean, by arithmetic.
    """
    bends = np.geomspace(0.01, 5, 400)
    found = measured("loss_landscape", quadratic(bends), directions=200)
    yield Answer("largest eigenvalue", 5, found.top_eigenvalue, 0.05)
    yield Answer("trace, over that of the curvatures", 1, found.trace / bends.sum(), 0.1)
    for i, distance in enumerate(found.distance):
        expected = distance**2 * bends.sum() / 800
        yield Answer(
            f"mean rise at distance {distance:g}, over what is expected", 1, found.rise[:, i].mean() / expected, 0.03
        )
    saddle = measured("loss_landscape", quadratic(np.concatenate([bends, [-3.0]])))
    yield Answer("least eigenvalue of the saddle", -3, saddle.least_eigenvalue, 0.05)


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
        found = measured("local_learning_coefficient", quadratic(bends), **settings)
        yield Answer(f"coefficient, {name}", expected, found.estimate, 0.04 * expected)


def coefficients_of_regressions() -> Iterator[Answer]:
    """Linear regression of reduced rank, of m inputs, h hidden and n outputs, at a truth of rank 0.

    Source: Aoyagi and Watanabe 2005, doi:10.1016/j.neunet.2005.03.014 (exact coefficients). A tempered chain of finite
    length comes to within a quarter of them, as in Lau et al. 2023, arXiv:2308.12108.
    """
    settings = {"chains": 20, "draws": 3000, "step_size": 6e-4, "localisation": 1.0, "n_beta": 1000 / np.log(1000)}
    for (m, h, n), exact in (((5, 3, 5), 6.5), ((5, 4, 5), 8.0), ((4, 3, 8), 6.0), ((8, 3, 4), 6.0)):
        found = measured("local_learning_coefficient", regression(m, h, n), **settings)
        yield Answer(f"coefficient for m {m}, h {h}, n {n}", exact, found.estimate, exact / 4)


def style_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31 after even attention: a pizza by construction.

    Source: Zhong et al. 2023, arXiv:2306.17844, section 4: both summands enter alike, and the right logit depends on
    their distance alone.
    """
    found = through_the_model("circuit_style", ADDITION.checkpoint(), ADDITION.context)
    yield Answer("gradient symmetry", 1, found.gradient_symmetry, 1e-5)
    yield Answer("distance irrelevance", 0, found.distance_irrelevance, 1e-3)
    total = ADDITION.amplitude.sum()
    yield Answer("right logit where a = b: the sum of amplitudes", total, found.logit_mean[0], 1e-3 * total)


def gradients_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31, trained on all pairs: it is pushed on at its own frequencies alone.

    Source: a shift of both summands turns every circle and, as there are phases for each turn, nothing else: gradients
    turn with them.
    """
    adder = Addition(n_phases=93)  # three times 31
    context = adder.context
    everything = replace(context, probe=replace(context.probe, is_train=np.ones(adder.p**2, dtype=bool)))
    found = through_the_model("gradient_spectra", adder.checkpoint(), everything)
    at = np.array(adder.frequencies) - 1
    for site, power in zip(found.site, found.power, strict=True):
        yield Answer(f"share of the three frequencies at the {site}", 1, power[at].sum(), 1e-3)


def weights_on_the_grid() -> Iterator[Answer]:
    """An induction circuit whose weights are zeros and one other number in each matrix: every grid has both.

    Source: by construction.
    """
    found = through_the_model("quantization_sensitivity", INDUCTION.checkpoint(), INDUCTION.family.context(0))
    yield Answer("largest error of rounding", 0, found.error.max(), 1e-6)
    for i, bits in enumerate(found.bits):
        yield Answer(f"test loss with all at {bits} bits", INDUCTION.loss, found.test_loss[-1, i], 1e-4)
        yield Answer(f"test accuracy with all at {bits} bits", 1, found.test_accuracy[-1, i])


cases = (
    Case("loss_landscape", rises_around_a_bowl),
    Case("local_learning_coefficient", coefficients_of_bowls),
    Case("local_learning_coefficient", coefficients_of_regressions),
    Case("circuit_style", style_of_an_exact_adder),
    Case("gradient_spectra", gradients_of_an_exact_adder),
    Case("quantization_sensitivity", weights_on_the_grid),
)
