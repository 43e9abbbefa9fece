"""A made-up language whose next word depends on the last two: as many tokens as one likes, and a known entropy.

The logit of word c after a, b is x_a . y_c + u_b . v_c + (s_a * t_b) . w_c with normal vectors, times a sharpness that
gives the entropy asked for. A small model learns the last word's part, a larger one the rest.

Source: ours; the entropy rate of a Markov source is Shannon 1948, section 7.
"""

from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import softmax

from miscope.core import MiscopeError
from miscope.scaling.protocols import Table

CHUNK = 64  # batches drawn at once
N_TEST = 1024  # sequences


class Markov:
    """Sequences of `length` words and the words that follow them, each begun in the source's equilibrium."""

    def __init__(
        self, vocabulary: int, length: int, entropy_nats: float, rank: int = 16, mixing: float = 1.0, seed: int = 0
    ) -> None:
        if not 4 <= vocabulary <= 256:
            raise MiscopeError(f"`vocabulary` = {vocabulary}; allowed: 4 to 256.")
        if not 0.1 <= entropy_nats <= 0.99 * np.log(vocabulary):
            raise MiscopeError(f"`entropy_nats` = {entropy_nats}; allowed: 0.1 to {0.99 * np.log(vocabulary):.2f}.")
        self.vocabulary, self.length, self.entropy_nats, self.seed = vocabulary, length, entropy_nats, seed
        self.rank, self.mixing = rank, mixing
        self._chunk: tuple[tuple[int, int, int] | None, np.ndarray] = None, np.empty(0)

    def build(self, split: str) -> "Markov | Table":
        """Itself, for `batch`, or the sentences of the test."""
        return self if split == "train" else Table(_tensors(self._sentences([2], N_TEST)))

    def token_count(self) -> None:
        """It never ends."""

    def batch(self, seed: int, step: int, size: int) -> dict[str, torch.Tensor]:
        """Fresh sentences, decided by seed and step."""
        key = (seed, step // CHUNK, size)
        if key != self._chunk[0]:
            self._chunk = key, self._sentences([1, *key], CHUNK * size)
        return _tensors(self._chunk[1][(step % CHUNK) * size :][:size])

    def entropy(self) -> float:
        """The mean over positions of the entropy of the next word given what is seen, in nats.

        That is the source's entropy rate, but for the first position, where only one word is seen.
        """
        first = self._pairs / self._pairs.sum(axis=1, keepdims=True)  # P(b | a)
        alone = float(-(self._pairs * np.log(first)).sum())
        rate = _rate(self._chances, self._pairs)
        return (alone + (self.length - 1) * rate) / self.length

    @cached_property
    def _chances(self) -> Float[np.ndarray, "before last next"]:
        rng, n = np.random.default_rng([self.seed, 0]), self.vocabulary
        x, y, u, v, s, t, w = rng.standard_normal((7, n, self.rank)) / self.rank**0.25
        logits = u[None] @ v.T + x[:, None] @ y.T + self.mixing * (s[:, None] * t[None]) @ w.T

        def error(sharpness: float) -> float:
            chances = softmax(sharpness * logits, axis=-1)
            return _rate(chances, _equilibrium(chances)) - self.entropy_nats

        return np.asarray(softmax(brentq(error, 0.01, 30.0, xtol=1e-6) * logits, axis=-1))

    @cached_property
    def _pairs(self) -> Float[np.ndarray, "before last"]:
        return _equilibrium(self._chances)

    @cached_property
    def _cumulative(self) -> Float[np.ndarray, "pair next"]:
        return np.cumsum(self._chances, axis=-1).reshape(self.vocabulary**2, self.vocabulary)

    def _sentences(self, chance: list[int], n: int) -> Int[np.ndarray, "sentence word"]:
        """`length` + 1 words each."""
        rng = np.random.default_rng([self.seed, *chance])
        words = np.empty((n, self.length + 1), dtype=np.int64)
        begun = np.searchsorted(np.cumsum(self._pairs), rng.random(n) * self._pairs.sum())
        words[:, 0], words[:, 1] = np.divmod(begun, self.vocabulary)
        for i in range(2, self.length + 1):
            rows = self._cumulative[words[:, i - 2] * self.vocabulary + words[:, i - 1]]
            words[:, i] = np.minimum((rows < rng.random(n)[:, None]).sum(axis=1), self.vocabulary - 1)
        return words


def _tensors(words: np.ndarray) -> dict[str, torch.Tensor]:
    return {"input_ids": torch.from_numpy(words[:, :-1].copy()), "labels": torch.from_numpy(words[:, 1:].copy())}


def _equilibrium(chances: np.ndarray) -> np.ndarray:
    """The share of each pair of words in the long run."""
    pairs = np.full(chances.shape[:2], 1 / chances.shape[0] ** 2)
    for _ in range(10_000):
        after = np.einsum("ab,abc->bc", pairs, chances)
        if np.abs(after - pairs).sum() < 1e-13:
            break
        pairs = after
    return np.asarray(after / after.sum())


def _rate(chances: np.ndarray, pairs: np.ndarray) -> float:
    """The entropy of the next word given the last two, in nats."""
    return float(-(pairs[:, :, None] * chances * np.log(chances + 1e-300)).sum())
