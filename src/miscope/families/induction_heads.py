"""A block of random tokens, repeated: what comes next is told by what followed the same token before.

A network of two layers learns it at once after a plateau, when a head that looks at the previous token and a head that
looks behind earlier occurrences of the present token have both formed; one layer cannot learn it. The length of the
block differs from sequence to sequence: at one fixed period, looking that far back is enough, and nothing is induced.

Source: Olsson et al. 2022, arXiv:2209.11895 (repeated random tokens; the phase change); Singh et al. 2024,
arXiv:2404.07129 (how the circuit forms). The tokens of a block are distinct here, so that one answer is right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.maths.spectra import Basis

N_EXAMPLES = 256  # in the fixed sample of the stream, and in the test


@dataclass(frozen=True)
class InductionHeads(Family):
    """A first token that is always the same, then the block over and over; asked from the second token of its repeat.

    Token `n_tokens` is the first. The test has periods that training never sees.
    """

    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "One layer cannot look for what came before a token, and fails.": {"model": {"n_layers": 1}}
    }

    n_tokens: int = 64
    length: int = 47  # tokens after the first
    min_period: int = 4
    max_period: int = 20
    test_periods: tuple[int, ...] = (7, 11, 15, 19)
    is_asked_everywhere: bool = False  # whether training also asks for tokens that nothing foretells

    def __post_init__(self) -> None:
        most = self.length // 2
        if not 8 <= self.length <= 512:
            raise MiscopeError(f"`length` = {self.length}; allowed: 8 to 512.")
        if not 3 <= self.min_period <= most:
            raise MiscopeError(f"`min_period` = {self.min_period}; allowed: 3 to {most} (half of `length`).")
        if self.max_period == self.min_period:
            raise MiscopeError(
                f"`max_period` = {self.max_period} equals `min_period`: a fixed period is solved by looking that far "
                f"back, without induction; allowed: {self.min_period + 1} to {most}."
            )
        if not self.min_period < self.max_period <= most:
            raise MiscopeError(f"`max_period` = {self.max_period}; allowed: {self.min_period + 1} to {most}.")
        if not (self.test_periods and all(3 <= period <= most for period in self.test_periods)):
            raise MiscopeError(f"`test_periods` = {list(self.test_periods)}; allowed: one or more from 3 to {most}.")
        if len(self._train_periods()) < 2:
            raise MiscopeError(
                f"`test_periods` = {list(self.test_periods)} leaves {len(self._train_periods())} period to train on; "
                "a fixed period is solved by looking that far back, without induction; allowed: two or more left."
            )
        longest = max(self.max_period, *self.test_periods)
        if not longest <= self.n_tokens <= 4096:
            raise MiscopeError(f"`n_tokens` = {self.n_tokens}; allowed: {longest} (the longest block) to 4096.")

    def model(self) -> ModelConfig:
        return ModelConfig(
            n_layers=2, d_model=64, n_heads=2, d_head=32, d_mlp=0, n_ctx=self.length + 1, d_vocab=self.n_tokens + 1,
            d_vocab_out=self.n_tokens,
        )  # fmt: skip

    def recipe(self) -> Recipe:
        return Recipe(steps=2000, batch_size=64, weight_decay=0.1)

    def positions(self) -> tuple[int, ...]:
        return tuple(range(self.length + 1))

    def stream(self, data_seed: int, step: int, batch_size: int) -> Examples:
        rng = np.random.default_rng([data_seed, 1, step])
        return self._drawn(rng, self._train_periods(), batch_size, self.is_asked_everywhere)[0]

    def split(self, data_seed: int) -> Split:
        (train, _), (test, _) = self._samples(data_seed)
        return Split(train, test)

    def context(self, data_seed: int) -> Context:
        (train, train_period), (test, test_period) = self._samples(data_seed)
        tokens = np.concatenate([train.tokens, test.tokens])
        following = np.concatenate([train.targets, test.targets])
        period = np.concatenate([train_period, test_period])
        answer, distractor = (tokens[np.arange(len(tokens)), self.length + k - period] for k in (1, 2))
        other = np.select(
            [tokens == answer[:, None], tokens == distractor[:, None]], [distractor[:, None], answer[:, None]], tokens
        )
        is_train = np.arange(len(tokens)) < N_EXAMPLES
        return Context(
            probe=Probe(tokens, answer, is_train, distractors=distractor, corrupted=other, following=following),
            answer_position=self.length, basis=Basis("fourier", self.n_tokens, is_native=False),
            position_names=("start", *(str(i) for i in range(1, self.length + 1))),
            latents={
                "period": np.unique(period, return_inverse=True)[1],
                "place in the block": (self.length - 1) % period, "previous token": tokens[:, -2],
            },
        )  # fmt: skip

    def label(self, seed: int, data_seed: int) -> str:
        return f"induction_v{self.n_tokens}_p{self.min_period}-{self.max_period}_s{seed}_d{data_seed}"

    def _train_periods(self) -> list[int]:
        return [p for p in range(self.min_period, self.max_period + 1) if p not in self.test_periods]

    def _samples(self, data_seed: int) -> list[tuple[Examples, np.ndarray]]:
        """Of the stream, and of the periods held out; each with the periods of its sequences."""
        parts = ((2, self._train_periods()), (3, list(self.test_periods)))
        return [self._drawn(np.random.default_rng([data_seed, k]), periods, N_EXAMPLES) for k, periods in parts]

    def _drawn(
        self, rng: np.random.Generator, periods: list[int], n: int, is_asked_everywhere: bool = False
    ) -> tuple[Examples, np.ndarray]:
        """Sequences and the length of each one's block; asked where the present token has occurred before.

        What followed it then follows it now.
        """
        period = rng.choice(periods, n)
        block = rng.random((n, self.n_tokens)).argsort(axis=1)[:, : max(periods)]
        at = np.arange(self.length + 1)
        following = np.take_along_axis(block, at % period[:, None], axis=1)
        tokens = np.concatenate([np.full((n, 1), self.n_tokens), following[:, :-1]], axis=1)
        is_asked = (at > period[:, None]) | is_asked_everywhere
        return Examples(tokens, np.where(is_asked, following, -1)), period


family = InductionHeads
