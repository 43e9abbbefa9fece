"""The parity of k bits among n, the other bits being noise: progress that the loss does not show.

While the loss still stands at ln 2 the one character that matters becomes the strongest of its degree in the output and
the weights pick up speed; then the loss falls within 200 steps. In theory the examples needed grow as n^k.

Source: Barak et al. 2022, arXiv:2207.08799 (fresh examples; hidden progress); Merrill et al. 2023,
arXiv:2303.11873 (a fixed training set, `n_train`: 1000 of n 40, k 3, there a wide ReLU layer with SGD).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.maths.spectra import Basis, bits

LARGEST_CUBE = 14  # bits up to which the probe is every input
SAMPLE = 1024  # test inputs, and inputs on which the loss of a stream is measured; a quarter of a smaller cube


@dataclass(frozen=True)
class SparseParity(Family):
    """Tokens `x1 .. xn =`, bits 0 and 1 and `=` 2; the answer read at `=` is the sum of `n_relevant` bits mod 2.

    Which bits, the data seed draws. With `n_train` 0 examples are fresh and uniform over all but the test inputs; else
    the training set is that many inputs. The probe is every input up to 14 bits, above that the split.
    """

    n_bits: int = 12
    n_relevant: int = 4
    n_train: int = 0

    solved_loss: ClassVar[float] = 1e-3
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "With 7 relevant bits among 14 the loss stays at ln 2 to the end.": {"n_bits": 14, "n_relevant": 7},
    }

    def __post_init__(self) -> None:
        if not 4 <= self.n_bits <= 60:
            raise MiscopeError(f"`n_bits` = {self.n_bits}; allowed: 4 to 60.")
        if not 1 <= self.n_relevant <= self.n_bits:
            raise MiscopeError(f"`n_relevant` = {self.n_relevant}; allowed: 1 to {self.n_bits} (`n_bits`).")
        most = min(2**self.n_bits - self._n_sample(), 8192)
        if not 0 <= self.n_train <= most:
            raise MiscopeError(f"`n_train` = {self.n_train}; allowed: 1 to {most}, or 0 for a stream.")

    def model(self) -> ModelConfig:
        return ModelConfig(
            n_layers=1, d_model=64, n_heads=4, d_head=16, d_mlp=256, n_ctx=self.n_bits + 1, d_vocab=3, d_vocab_out=2
        )  # fmt: skip

    def recipe(self) -> Recipe:
        return Recipe(steps=1500, learning_rate=3e-4, weight_decay=0.1, batch_size=1024, eval_every=10)

    def positions(self) -> tuple[int, ...]:
        return (self.n_bits,)

    def split(self, data_seed: int) -> Split:
        relevant, train, test = self._drawn(data_seed)
        return Split(self._examples(train, relevant), self._examples(test, relevant))

    def stream(self, data_seed: int, step: int, batch_size: int) -> Examples | None:
        if self.n_train:
            return None
        relevant, _, test = self._drawn(data_seed)
        rng = np.random.default_rng([data_seed, step])
        codes = rng.integers(2**self.n_bits, size=batch_size)
        while (is_test := np.isin(codes, test)).any():
            codes[is_test] = rng.integers(2**self.n_bits, size=is_test.sum())
        return self._examples(codes, relevant)

    def context(self, data_seed: int) -> Context:
        n, (relevant, train, test) = self.n_bits, self._drawn(data_seed)
        is_cube = n <= LARGEST_CUBE
        codes = np.arange(2**n) if is_cube else np.concatenate([train, test])
        examples = self._examples(codes, relevant)
        answers, names = examples.targets[:, 0], tuple(f"x{i + 1}" for i in range(n))
        corrupted = examples.tokens.copy()
        flipped = np.random.default_rng([data_seed, n]).choice(relevant, size=len(codes))
        corrupted[np.arange(len(codes)), flipped] ^= 1
        ones = examples.tokens[:, relevant].sum(axis=1)
        latents = {"relevant ones": ones, "other ones": examples.tokens[:, :n].sum(axis=1) - ones}
        return Context(
            probe=Probe(examples.tokens, answers, np.isin(codes, train), distractors=1 - answers, corrupted=corrupted),
            answer_position=n, position_names=(*names, "="), basis=Basis("fourier", 2),
            grid=(2,) * n if is_cube else None, grid_axes=names if is_cube else (),
            relevant_axes=tuple(relevant.tolist()), solved_loss=self.solved_loss,
            latents={name: count for name, count in latents.items() if count.any()},
        )  # fmt: skip

    def label(self, seed: int, data_seed: int) -> str:
        train = f"_t{self.n_train}" if self.n_train else ""
        return f"sparse_n{self.n_bits}_k{self.n_relevant}_s{seed}_d{data_seed}{train}"

    def _drawn(self, data_seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The relevant bits from 0, in order, and the codes of the train and of the test inputs, all distinct."""
        rng, n_train = np.random.default_rng(data_seed), self.n_train or self._n_sample()
        relevant = np.sort(rng.choice(self.n_bits, self.n_relevant, replace=False))
        train, test = np.split(rng.choice(2**self.n_bits, n_train + self._n_sample(), replace=False), [n_train])
        return relevant, train, test

    def _n_sample(self) -> int:
        return min(SAMPLE, 2**self.n_bits // 4)

    def _examples(self, codes: np.ndarray, relevant: np.ndarray) -> Examples:
        tokens = np.append(bits(codes, self.n_bits), np.full((len(codes), 1), 2), axis=1)
        return Examples(tokens, tokens[:, relevant].sum(axis=1, keepdims=True) % 2)


family = SparseParity
