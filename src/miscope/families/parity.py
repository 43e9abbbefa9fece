"""Is the number of ones odd? The task that no fixed set of few bits helps with: every bit flips the answer.

The network answers by chance, then counts: attention from `=` averages the bits and the MLP bends the count into a
zigzag, one fold after another (steps in accuracy). A count that no training example has, such as that of all zeros, it
gets wrong: with both ends of the cube held out, test accuracy ends at 1 - 2 / n_test.

Source: Barak et al. 2022, arXiv:2207.08799 (parities as the hardest characters of the cube for gradient descent); Hahn
and Rofin 2024, arXiv:2402.09963 (a transformer's parity of all bits sits in a sharp minimum, sharper with more bits).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.maths.spectra import Basis, bits


@dataclass(frozen=True)
class Parity(Family):
    """Tokens `x1 .. xn =`, bits 0 and 1 and `=` 2; the answer read at `=` is the sum of the bits mod 2.

    With `is_shuffled` the answers are those of a seeded permutation of the inputs: nothing is left to learn but the
    training set by heart.
    """

    n_bits: int = 10
    train_fraction: float = 0.5
    is_shuffled: bool = False

    solved_loss: ClassVar[float] = 1e-3
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "With shuffled answers the test accuracy stays at chance.": {"is_shuffled": True},
    }

    def __post_init__(self) -> None:
        if not 4 <= self.n_bits <= 14:
            raise MiscopeError(f"`n_bits` = {self.n_bits}; allowed: 4 to 14.")
        if not 1 <= int(self.train_fraction * 2**self.n_bits) < 2**self.n_bits:
            raise MiscopeError(
                f"`train_fraction` = {self.train_fraction}; allowed: above 0 and below 1, so that of the "
                f"{2**self.n_bits} inputs at least one is trained on and one is not."
            )

    def model(self) -> ModelConfig:
        return ModelConfig(
            n_layers=1, d_model=64, n_heads=4, d_head=16, d_mlp=256, n_ctx=self.n_bits + 1, d_vocab=3, d_vocab_out=2,
            initialisation="gpt2",
        )  # fmt: skip

    def recipe(self) -> Recipe:
        return Recipe(steps=2000, learning_rate=5e-4, weight_decay=0.3)

    def positions(self) -> tuple[int, ...]:
        return (self.n_bits,)

    def split(self, data_seed: int) -> Split:
        probe = self.context(data_seed).probe
        parts = (Examples(probe.tokens[i], probe.targets[i, None]) for i in (probe.is_train, ~probe.is_train))
        return Split(*parts)

    def context(self, data_seed: int) -> Context:
        n, n_inputs = self.n_bits, 2**self.n_bits
        rng = np.random.default_rng(data_seed)
        inputs = bits(np.arange(n_inputs), n)
        ones, rows = inputs.sum(axis=1), np.arange(n_inputs)
        is_train = rng.permutation(n_inputs) < int(self.train_fraction * n_inputs)
        tokens = np.append(inputs, np.full((n_inputs, 1), 2), axis=1)
        flipped = tokens.copy()
        flipped[rows, rng.integers(n, size=n_inputs)] ^= 1
        answers = ones[rng.permutation(n_inputs) if self.is_shuffled else rows] % 2
        corrupted = None if self.is_shuffled else flipped
        names = tuple(f"x{i + 1}" for i in range(n))
        return Context(
            probe=Probe(tokens, answers, is_train, distractors=1 - answers, corrupted=corrupted),
            answer_position=n, position_names=(*names, "="), basis=Basis("fourier", 2), grid=(2,) * n, grid_axes=names,
            solved_loss=self.solved_loss, latents={"number of ones": ones},
        )  # fmt: skip

    def label(self, seed: int, data_seed: int) -> str:
        shuffled = "_shuffled" if self.is_shuffled else ""
        return f"parity_n{self.n_bits}_s{seed}_d{data_seed}_f{self.train_fraction:g}{shuffled}"


family = Parity
