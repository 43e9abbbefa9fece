"""Modular addition as published models were trained on it: their splits and their tokens, where ours differ.

They are tasks for imported weights, named in params.yaml by their path:

    variants:
      grokked:
        family: outside
        _target_: miscope.published.ShuffledAddition
        data_seed: 1
        imported: weights/40000.safetensors
"""

import random
from dataclasses import dataclass

import numpy as np

from miscope.core import Context, Examples, ModelConfig, Probe, Split
from miscope.families.modulo_addition import ModuloAddition
from miscope.maths.spectra import Basis


@dataclass(frozen=True)
class ShuffledAddition(ModuloAddition):
    """Pairs are split by Python's `random`: all (a, b) in order, shuffled from the seed, the first to train on.

    Source: Nanda et al. 2023, arXiv:2301.05217, released code.
    """

    def _order(self, data_seed: int) -> np.ndarray:
        pairs = list(range(self._n_pairs()))
        random.Random(data_seed).shuffle(pairs)
        return np.array(pairs)


@dataclass(frozen=True)
class PairAddition(ModuloAddition):
    """Tokens `a b` without `=`, all of which see one another; the answer is read at b.

    Source: Zhong et al. 2023, arXiv:2306.17844, section 2. Which pairs their models were trained on is not published
    with the weights: the split is ours.
    """

    def model(self) -> ModelConfig:
        p = self.modulus
        return ModelConfig(
            n_layers=1, d_model=128, n_heads=4, d_head=32, d_mlp=512, n_ctx=2, d_vocab=p, d_vocab_out=p,
            is_causal=False,
        )  # fmt: skip

    def positions(self) -> tuple[int, ...]:
        return (1,)

    def split(self, data_seed: int) -> Split:
        train, test = super().split(data_seed).train, super().split(data_seed).test
        return Split(*(Examples(part.tokens[:, :2], part.targets) for part in (train, test)))

    def context(self, data_seed: int) -> Context:
        three = super().context(data_seed)
        probe = Probe(three.probe.tokens[:, :2], three.probe.targets, three.probe.is_train)
        return Context(
            probe=probe, answer_position=1, basis=Basis("fourier", self.modulus, three.basis.is_native),
            grid=three.grid, grid_axes=three.grid_axes, latents=three.latents, position_names=("a", "b"),
        )  # fmt: skip
