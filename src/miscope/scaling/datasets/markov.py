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

from miscope.core import MiscopeError
from miscope.scaling.loader import Table

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

    def build(self, split: str) -> "Stream | Table":
        if split == "train":
            return Stream(self)
        words = self._sentences(np.random.default_rng([self.seed, 2]), N_TEST)
        return Table(_batch(words))

    def token_count(self) -> None:
        """It never ends."""

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
        sharpness = brentq(lambda sharp: _entropy_at(sharp * logits) - self.entropy_nats, 0.01, 30.0, xtol=1e-6)
        return _softmax(sharpness * logits)

    @cached_property
    def _pairs(self) -> Float[np.ndarray, "before last"]:
        return _equilibrium(self._chances)

    @cached_property
    def _cumulative(self) -> Float[np.ndarray, "pair next"]:
        return np.cumsum(self._chances, axis=-1).reshape(self.vocabulary**2, self.vocabulary)

    def _sentences(self, rng: np.random.Generator, n: int) -> Int[np.ndarray, "sentence word"]:
        """`length` + 1 words each."""
        words = np.empty((n, self.length + 1), dtype=np.int64)
        begun = np.searchsorted(np.cumsum(self._pairs), rng.random(n) * self._pairs.sum())
        words[:, 0], words[:, 1] = np.divmod(begun, self.vocabulary)
        for i in range(2, self.length + 1):
            rows = self._cumulative[words[:, i - 2] * self.vocabulary + words[:, i - 1]]
            words[:, i] = np.minimum((rows < rng.random(n)[:, None]).sum(axis=1), self.vocabulary - 1)
        return words


class Stream:
    """Fresh sentences for every batch, decided by seed and step."""

    def __init__(self, source: Markov) -> None:
        self._source = source
        self._key: tuple[int, int, int] | None = None
        self._words = np.empty((0, 0), dtype=np.int64)

    def batch(self, seed: int, step: int, size: int) -> dict[str, torch.Tensor]:
        """`size` sentences."""
        key = (seed, step // CHUNK, size)
        if key != self._key:
            rng = np.random.default_rng([self._source.seed, 1, *key])
            self._key, self._words = key, self._source._sentences(rng, CHUNK * size)
        return _batch(self._words[(step % CHUNK) * size :][:size])


def _batch(words: np.ndarray) -> dict[str, torch.Tensor]:
    return {"input_ids": torch.from_numpy(words[:, :-1].copy()), "labels": torch.from_numpy(words[:, 1:].copy())}


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    chances: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return chances


def _equilibrium(chances: np.ndarray) -> np.ndarray:
    """The share of each pair of words in the long run."""
    pairs = np.full(chances.shape[:2], 1 / chances.shape[0] ** 2)
    for _ in range(10_000):
        after = np.einsum("ab,abc->bc", pairs, chances)
        if np.abs(after - pairs).sum() < 1e-13:
            break
        pairs = after
    shares: np.ndarray = after / after.sum()
    return shares


def _rate(chances: np.ndarray, pairs: np.ndarray) -> float:
    """The entropy of the next word given the last two, in nats."""
    return float(-(pairs[:, :, None] * chances * np.log(chances + 1e-300)).sum())


def _entropy_at(logits: np.ndarray) -> float:
    chances = _softmax(logits)
    return _rate(chances, _equilibrium(chances))
