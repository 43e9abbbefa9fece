"""The next character of a text: a small language model, on a file of one's own or on the stories that come with us.

The loss falls in stages: first to how frequent each character is, then to pairs of characters, then to words and to
names that have occurred before, for which attention is needed.

Source: Hoogland et al. 2024, arXiv:2402.02364 (stages of a two-layer language model: bigrams, n-grams, previous-token
heads, induction heads); the task is that of Karpathy 2015, "The Unreasonable Effectiveness of Recurrent Neural
Networks".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.families._stories import text_as_codes
from miscope.maths.spectra import Basis

N_EXAMPLES = 128  # in the fixed sample of the stream, and in the test
MOST_CHARACTERS = 1024


@dataclass(frozen=True)
class Text(Family):
    """Crops of the text, asked for the next character at every position; the last tenth is kept for the test.

    Token n is the n-th of the text's characters in their order in Unicode. An empty `path` is `_stories.stories`.
    """

    # no accuracy solves a text: at most places several characters are right, so 1.01 and 0 nats are never reached
    solved_accuracy: ClassVar[float] = 1.01
    solved_loss: ClassVar[float] = 0.0
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"Shuffled characters teach how frequent each is and nothing more.": {"is_shuffled": True}}
    )

    path: str = ""
    length: int = 64
    is_shuffled: bool = False

    def __post_init__(self) -> None:
        if not 4 <= self.length <= 1024:
            raise MiscopeError(f"`length` = {self.length}; allowed: 4 to 1024.")
        found, needed = len(self._codes()), 100 * self.length
        if found < needed:
            raise MiscopeError(
                f"`path` = {self.path!r} has {found:,} characters; allowed: {needed:,} or more (100 times `length`)."
            )
        if not 2 <= len(self.characters) <= MOST_CHARACTERS:
            raise MiscopeError(
                f"`path` = {self.path!r} has {len(self.characters):,} different "
                f"character{'s' * (len(self.characters) > 1)}; allowed: 2 to {MOST_CHARACTERS:,}."
            )

    @property
    def characters(self) -> str:
        """The character that each token stands for."""
        return text_as_codes(self.path)[0]

    def model(self) -> ModelConfig:
        n = len(self.characters)
        return ModelConfig(
            n_layers=2, d_model=64, n_heads=4, d_head=16, d_mlp=256, n_ctx=self.length, d_vocab=n, d_vocab_out=n,
            act_fn="gelu", normalization="LN", has_biases=True, initialisation="gpt2",
        )  # fmt: skip

    def recipe(self) -> Recipe:
        return Recipe(steps=1200, learning_rate=3e-3, weight_decay=0.1, batch_size=16)

    def positions(self) -> tuple[int, ...]:
        return tuple(range(self.length))

    def stream(self, data_seed: int, step: int, batch_size: int) -> Examples:
        return self._crops(np.random.default_rng([data_seed, 1, step]), self._parts()[0], batch_size)

    def split(self, data_seed: int) -> Split:
        rng = np.random.default_rng([data_seed, 2])
        train, test = (self._crops(rng, part, N_EXAMPLES) for part in self._parts())
        known = {row.tobytes() for row in train.tokens}
        is_new = np.array([row.tobytes() not in known for row in test.tokens])
        if not is_new.any():
            raise MiscopeError(f"`path` = {self.path!r} repeats itself: its last tenth stands in what is trained on.")
        return Split(train, test.take(is_new))

    def context(self, data_seed: int) -> Context:
        split = self.split(data_seed)
        tokens, targets = (
            np.concatenate([getattr(part, name) for part in (split.train, split.test)])
            for name in ("tokens", "targets")
        )
        answers = targets[:, -1]
        common, second = np.argsort(-np.bincount(self._codes()), kind="stable")[:2]
        return Context(
            probe=Probe(
                tokens,
                answers,
                is_train=np.arange(len(tokens)) < len(split.train),
                distractors=np.where(answers == common, second, common),
                following=targets,
            ),
            answer_position=self.length - 1,
            basis=Basis("fourier", len(self.characters), is_native=False),
            latents=MappingProxyType(
                {
                    "present character": tokens[:, -1],
                    "previous character": tokens[:, -2],
                    "letters since the word began": self._letters_since(tokens),
                }
            ),
            solved_accuracy=self.solved_accuracy,
            solved_loss=self.solved_loss,
        )

    def label(self, seed: int, data_seed: int) -> str:
        name = Path(self.path).stem or "stories"
        return f"text_{name}{'_shuffled' if self.is_shuffled else ''}_s{seed}_d{data_seed}"

    def _codes(self) -> np.ndarray:
        return text_as_codes(self.path, self.is_shuffled)[1]

    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """The first nine tenths of the text, and the last."""
        codes = self._codes()
        return codes[: len(codes) * 9 // 10], codes[len(codes) * 9 // 10 :]

    def _crops(self, rng: np.random.Generator, codes: np.ndarray, n: int) -> Examples:
        starts = rng.integers(len(codes) - self.length, size=n)
        windows = codes[starts[:, None] + np.arange(self.length + 1)].astype(np.int64)
        return Examples(windows[:, :-1], windows[:, 1:])

    def _letters_since(self, tokens: np.ndarray) -> np.ndarray:
        """How many letters stand at the end of each row, at most 15."""
        is_letter = np.array([character.isalpha() for character in self.characters])[tokens[:, ::-1]]
        return np.minimum(np.cumprod(is_letter, axis=1).sum(axis=1), 15)


family = Text
