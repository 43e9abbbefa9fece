"""A network whose loss is a sum of squares, so that all that instruments ask of it has a closed form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from miscope.core import Checkpoint, ModelConfig

MODEL = ModelConfig(n_layers=1, d_model=2, n_heads=1, d_head=2, d_mlp=2, n_ctx=2, d_vocab=2, d_vocab_out=2)


@dataclass(frozen=True)
class Quadratic:
    """The loss 3 + sum of bends w^2 / 2 + slopes w, at w = 0."""

    bends: np.ndarray
    slopes: np.ndarray | float = 0.0
    n_inputs: int = 500

    @property
    def weights(self) -> np.ndarray:
        return np.zeros(len(self.bends), dtype=np.float32)

    def vector(self, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        return weights["w"]

    def named(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        return {"w": vector}

    def train_inputs(self, n_answers: int = 0, seed: int = 0) -> np.ndarray:
        return np.arange(n_answers or self.n_inputs)

    def losses(self, vectors: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        w = vectors.astype(np.float64)
        return 3 + w**2 @ self.bends / 2 + (w * self.slopes).sum(axis=1)

    def gradients(
        self, vectors: np.ndarray, inputs: np.ndarray, answers_of: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.losses(vectors, inputs), (vectors * self.bends + self.slopes).astype(np.float32)

    def hessian(self, inputs: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda vectors: vectors * self.bends

    def embedding_gradients(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        raise NotImplementedError("it has no embeddings")

    def logits(self, vector: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        raise NotImplementedError("it has no outputs")


def checkpoint(bends: np.ndarray, slopes: np.ndarray | float = 0.0) -> Checkpoint:
    """At step 0, with the quadratic to differentiate."""
    return replace(Checkpoint(0, MODEL, {}), differentiable=Quadratic(bends, slopes))
