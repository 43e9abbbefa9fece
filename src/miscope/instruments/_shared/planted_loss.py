"""A loss of parameters alone in the place of a network's, so that all that instruments ask of it has a closed form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.calibration.models import probe, shape
from miscope.plugin import Checkpoint, Instrument

Vectors = Float32[np.ndarray, "n parameter"]
Inputs = Int[np.ndarray, " inputs"]


@dataclass(frozen=True)
class PlantedLoss:
    """A `miscope.network.Network` at the parameters 0: no matrices, no tokens."""

    n_parameters: int
    loss: Callable[[Float[np.ndarray, "n parameter"]], Float[np.ndarray, " n"]]
    slope: Callable[[Float[np.ndarray, "n parameter"]], Float[np.ndarray, "n parameter"]]  # the gradient
    bends: Float[np.ndarray, " parameter"] | None = None  # the Hessian's diagonal, where it is diagonal
    n_inputs: int = 1000

    @property
    def weights(self) -> Float32[np.ndarray, " parameter"]:
        return np.zeros(self.n_parameters, dtype=np.float32)

    def train_inputs(self, n_answers: int = 0, seed: int = 0) -> Inputs:
        return np.arange(self.n_inputs)

    def losses(self, vectors: Vectors, inputs: Inputs) -> Float[np.ndarray, " n"]:
        return self.loss(vectors.astype(np.float64))

    def gradients(
        self, vectors: Vectors, inputs: Inputs, answers_of: Inputs | None = None
    ) -> tuple[Float[np.ndarray, " n"], Vectors]:
        where = vectors.astype(np.float64)
        return self.loss(where), self.slope(where).astype(np.float32)

    def hessian(self, inputs: Inputs) -> Callable[[np.ndarray], np.ndarray]:
        return lambda vectors: vectors * self.bends

    def _none(self, *args: Any) -> Any:
        raise NotImplementedError

    vector = named = embedding_gradients = logits = _none


def quadratic(bends: Float[np.ndarray, " parameter"], slopes: float = 0.0) -> PlantedLoss:
    """3 + sum of a_i w_i^2 / 2 + slopes w_i."""
    loss = lambda w: 3 + w**2 @ bends / 2 + (w * slopes).sum(axis=1)  # noqa: E731
    return PlantedLoss(len(bends), loss, lambda w: w * bends + slopes, bends)


def measured(instrument: Instrument, loss: PlantedLoss, **settings: Any) -> Any:
    """What an instrument of gradients says of it."""
    return instrument.compute(Checkpoint(0, shape(), {}, differentiable=loss), probe(1), **settings)
