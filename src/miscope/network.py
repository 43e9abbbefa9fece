"""What an instrument that needs gradients is given: numpy in, numpy out, so that it never meets torch."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int


@runtime_checkable
class Network(Protocol):
    """A checkpoint's network as a function of its weights, to differentiate: numpy in, numpy out, many at a time.

    A vector holds every parameter, float32, in an order of the network's own, which `named` and `vector` translate.
    `inputs` are numbers of probe inputs. The loss is the mean cross-entropy in nats over all answers that the probe
    asks of them: at every position where it says what follows, otherwise at the answer position. Weight decay is no
    part of it. The forward pass runs in float32, the loss in float64.
    """

    @property
    def weights(self) -> Float32[np.ndarray, " parameter"]:
        """The vector of the checkpoint's own weights."""

    def vector(self, weights: Mapping[str, np.ndarray]) -> Float32[np.ndarray, " parameter"]:
        """Weights by TransformerLens' names as a vector."""

    def named(self, vector: Float[np.ndarray, " parameter"]) -> dict[str, Float32[np.ndarray, "..."]]:
        """A vector as weights, or their gradients, by TransformerLens' names and in its shapes."""

    def train_inputs(self, n_answers: int = 0, seed: int = 0) -> Int[np.ndarray, " inputs"]:
        """The probe inputs that the network trains on (all where it trains on none), in order.

        With `n_answers`, as many of them, drawn by the seed, as ask for about so many answers.
        """

    def losses(
        self, vectors: Float32[np.ndarray, "n parameter"], inputs: Int[np.ndarray, " inputs"]
    ) -> Float[np.ndarray, " n"]:
        """The loss with each of the vectors in place of the weights."""

    def gradients(
        self,
        vectors: Float32[np.ndarray, "n parameter"],
        inputs: Int[np.ndarray, " inputs"],
        answers_of: Int[np.ndarray, " inputs"] | None = None,
    ) -> tuple[Float[np.ndarray, " n"], Float32[np.ndarray, "n parameter"]]:
        """Loss and gradient with each of the vectors; `answers_of` asks each input for the answers of another."""

    def hessian(
        self, inputs: Int[np.ndarray, " inputs"]
    ) -> Callable[[Float[np.ndarray, "n parameter"]], Float[np.ndarray, "n parameter"]]:
        """The function from vectors to their products with the Hessian of the loss at the checkpoint's weights."""

    def embedding_gradients(
        self, inputs: Int[np.ndarray, " inputs"], answers: Int[np.ndarray, " inputs"]
    ) -> Float32[np.ndarray, "inputs pos d_model"]:
        """Of each input's logit of one answer, by the token embeddings that the input is made of."""

    def logits(
        self, vector: Float32[np.ndarray, " parameter"], inputs: Int[np.ndarray, " inputs"]
    ) -> Float32[np.ndarray, "inputs vocab"]:
        """At the answer position, with the vector in place of the weights."""
