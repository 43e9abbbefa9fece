"""a + b mod p: the task on which grokking was first reverse-engineered; also a - b, a * b, a / b and polynomials.

The network memorises the training pairs within a few hundred steps and generalises thousands of steps later, by
building a Fourier circuit on a handful of frequencies.

Source: Nanda et al. 2023, arXiv:2301.05217, section 3. The recipe is the calibration recipe of the TransformerLens
grokking demo: weights N(0, (0.8 / sqrt(d_model))^2), no biases, and no learning-rate warm-up. The other operations are
those of Power et al. 2022, arXiv:2201.02177, appendix A.1.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.maths.modular import values
from miscope.maths.spectra import Basis


@dataclass(frozen=True)
class ModuloAddition(Family):
    """Tokens `a b =`, the answer read at `=`; token p is `=`. Pairs that divide by zero are left out."""

    modulus: int = 113
    train_fraction: float = 0.3
    operation: str = "a + b"  # of a, b, whole numbers, + - * / and powers such as a**2

    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "Without weight decay it memorises and never generalises.": {"weight_decay": 0.0},
    }

    def __post_init__(self) -> None:
        if not (3 <= self.modulus <= 997 and is_prime(self.modulus)):
            raise MiscopeError(f"`modulus` = {self.modulus}; allowed: a prime from 3 to 997.")
        try:
            values(self.operation, np.zeros(1, np.int64), np.ones(1, np.int64), self.modulus)
        except ValueError as error:
            raise MiscopeError(f"`operation` = {self.operation!r}; allowed: {error}.") from None
        if not 0 < self.train_fraction < 1:
            raise MiscopeError(f"`train_fraction` = {self.train_fraction}; allowed: above 0 and below 1.")
        if self._n_train() < 1:
            raise MiscopeError(
                f"`train_fraction` = {self.train_fraction} leaves no training pair of {self._n_pairs()}."
            )

    def model(self) -> ModelConfig:
        p = self.modulus
        return ModelConfig(
            n_layers=1, d_model=128, n_heads=4, d_head=32, d_mlp=512, n_ctx=3, d_vocab=p + 1, d_vocab_out=p
        )  # fmt: skip

    def recipe(self) -> Recipe:
        return Recipe(steps=25_000)

    def positions(self) -> tuple[int, ...]:
        return (2,)

    def split(self, data_seed: int) -> Split:
        tokens, answers = self._grid()
        parts = np.split(self._order(data_seed), [self._n_train()])
        return Split(*(Examples(tokens[part], answers[part, None]) for part in parts))

    def context(self, data_seed: int) -> Context:
        tokens, answers = self._grid()
        is_train = np.zeros(len(tokens), dtype=bool)
        is_train[self._order(data_seed)[: self._n_train()]] = True
        is_grid = self._n_pairs() == self.modulus**2
        return Context(
            probe=Probe(tokens, answers, is_train), answer_position=2, position_names=("a", "b", "="),
            basis=Basis("fourier", self.modulus, is_native=self.operation.replace(" ", "") in ("a+b", "a-b")),
            grid=(self.modulus, self.modulus) if is_grid else None, grid_axes=("a", "b") if is_grid else (),
            latents={"a": tokens[:, 0], "b": tokens[:, 1], "answer": answers},
        )  # fmt: skip

    def label(self, seed: int, data_seed: int) -> str:
        name = "modadd" if self.operation == "a + b" else f"mod({self.operation.replace(' ', '')})"
        return f"{name}_p{self.modulus}_s{seed}_d{data_seed}_f{self.train_fraction:g}"

    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        """All pairs in the order a * p + b, with their answers."""
        p = self.modulus
        a, b = np.divmod(np.arange(p * p), p)
        answers = values(self.operation, a, b, p)
        has_answer = answers >= 0
        tokens = np.stack([a, b, np.full(p * p, p)], axis=1)
        return tokens[has_answer], answers[has_answer]

    def _order(self, data_seed: int) -> np.ndarray:
        """The permutation of the pairs whose first `_n_train` are trained on: torch's `randperm`, own generator."""
        import torch

        return torch.randperm(self._n_pairs(), generator=torch.Generator().manual_seed(data_seed)).numpy()

    def _n_train(self) -> int:
        return int(self.train_fraction * self._n_pairs())

    def _n_pairs(self) -> int:
        return len(self._grid()[0])


def is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


family = ModuloAddition
