"""The indirect object: of two names, the one that is not said again.

A sequence stands for "When A and B went to the shop, A gave a drink to", which goes on with B. Trained from scratch, a
network first learns to answer with either of the two names and stays there: accuracy 1/2, loss ln 2 = 0.693 nats, logit
difference 0. Then heads come to tell the two apart, within a hundred steps, and all three leave the plateau together.

One layer of one head cannot leave it. Its logits at one fixed last token are a sum over positions, each of which copies
its name with the same sign: the name that is said twice gets no less than the other. So the answer is read at `to`;
read at the repeated name itself, the direct path would take that name away, and one head would do.

Whether it leaves is a matter of the seed. By step 1,500, of the seeds tried: two layers of 4 heads 10 of 10 (from step
125 to 550 on), of 2 heads 2 of 6, of 1 head none of 6; one layer of 1, 2 or 4 heads none of 6 each.

Source: Wang et al. 2022, arXiv:2211.00593, section 2 (the task, both orders, the logit difference); Adhikari
2025, arXiv:2510.25013 (symbolic, attention only, from scratch). Theirs has no norms; ours has LayerNorm and starts from
small weights: without norms two layers of 4 heads learn all pairs they train on in 6 of 6, and the others in 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from miscope.core import Context, Examples, Family, MiscopeError, ModelConfig, Probe, Recipe, Split
from miscope.maths.spectra import Basis


@dataclass(frozen=True)
class IndirectObject(Family):
    """Tokens `BOS A B MID S to`, where the subject S is A or B; the answer is the other one, read at `to`.

    Names are tokens 0 .. n_names - 1, then come BOS, MID and `to`. A pair (A, B) is trained on with both subjects, or
    with none.
    """

    solved_loss: ClassVar[float] = 1e-2
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "One layer of one head answers either name: accuracy stays at 1/2, the logit difference at 0.": {
            "model": {"n_layers": 1, "n_heads": 1}
        }
    }

    n_names: int = 10
    train_fraction: float = 0.75  # of the ordered pairs of names

    def __post_init__(self) -> None:
        if not 3 <= self.n_names <= 50:
            raise MiscopeError(f"`n_names` = {self.n_names}; allowed: 3 to 50.")
        if not 0 < self.train_fraction < 1:
            raise MiscopeError(f"`train_fraction` = {self.train_fraction}; allowed: above 0 and below 1.")
        if not 0 < self._n_train() < self._n_pairs():
            raise MiscopeError(
                f"`train_fraction` = {self.train_fraction} trains on {self._n_train()} of {self._n_pairs()} pairs; "
                "allowed: on at least 1, with at least 1 left to test on."
            )

    def model(self) -> ModelConfig:
        n = self.n_names
        return ModelConfig(
            n_layers=2, d_model=64, n_heads=4, d_head=16, d_mlp=0, n_ctx=6, d_vocab=n + 3, d_vocab_out=n,
            normalization="LN", initialisation="gpt2",
        )  # fmt: skip

    def recipe(self) -> Recipe:
        return Recipe(steps=1500, weight_decay=0.1)

    def positions(self) -> tuple[int, ...]:
        return (5,)

    def split(self, data_seed: int) -> Split:
        probe = self.context(data_seed).probe
        examples = Examples(probe.tokens, probe.targets[:, None])
        return Split(train=examples.take(probe.is_train), test=examples.take(~probe.is_train))

    def context(self, data_seed: int) -> Context:
        first, second, is_second = self._sequences()
        subject, other = np.where(is_second, [second, first], [first, second])
        tokens, corrupted = (self._tokens(first, second, repeated) for repeated in (subject, other))
        chosen = np.random.default_rng(data_seed).permutation(self._n_pairs()) < self._n_train()
        return Context(
            probe=Probe(tokens, other, np.repeat(chosen, 2), distractors=subject, corrupted=corrupted),
            answer_position=5, position_names=("BOS", "A", "B", "MID", "S", "to"),
            basis=Basis("fourier", self.n_names, is_native=False),
            latents={"subject": subject, "indirect object": other, "order": is_second.astype(np.int64)},
            solved_accuracy=self.solved_accuracy, solved_loss=self.solved_loss,
        )  # fmt: skip

    def label(self, seed: int, data_seed: int) -> str:
        return f"ioi_n{self.n_names}_s{seed}_d{data_seed}_f{self.train_fraction:g}"

    def _sequences(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First name, second name, and whether the second is the subject: every pair with A as subject, then with B."""
        first, second = np.nonzero(~np.eye(self.n_names, dtype=bool))
        return np.repeat(first, 2), np.repeat(second, 2), np.arange(2 * len(first)) % 2 == 1

    def _tokens(self, first: np.ndarray, second: np.ndarray, subject: np.ndarray) -> np.ndarray:
        bos, mid, to = (np.full_like(first, self.n_names + i) for i in range(3))
        return np.stack([bos, first, second, mid, subject, to], axis=1)

    def _n_pairs(self) -> int:
        return self.n_names * (self.n_names - 1)

    def _n_train(self) -> int:
        return int(self.train_fraction * self._n_pairs())


family = IndirectObject
