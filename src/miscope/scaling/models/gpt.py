"""The product's own decoder-only transformer as a model to scale; it takes `input_ids` and gives logits everywhere."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from miscope.core import ModelConfig
from miscope.model.transformer import Transformer
from miscope.scaling.models.base import ScalableModule
from miscope.scaling.protocols import Batch

DEPTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
ASPECT = 32  # d_model for each layer, where the smallest depth allows it
D_HEAD = 16


class GPT(ScalableModule):
    """Pre-norm, GELU, no biases. `n_heads` 0: one for every 16 of `d_model`; `d_vocab_out` 0: all tokens answer."""

    def __init__(
        self, n_layers: int, d_model: int, d_vocab: int, n_ctx: int, n_heads: int = 0, d_mlp: int | None = None,
        normalization: Literal["none", "LN", "RMS"] = "RMS", positions: Literal["learned", "rotary"] = "learned",
        initialisation: str = "gpt2", d_vocab_out: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        heads = n_heads or _heads(d_model)
        config = ModelConfig(
            n_layers=n_layers, d_model=d_model, n_heads=heads, d_head=d_model // heads,
            d_mlp=4 * d_model if d_mlp is None else d_mlp, n_ctx=n_ctx,
            d_vocab=d_vocab, d_vocab_out=d_vocab_out or d_vocab,
            act_fn="gelu", normalization=normalization, positions=positions, initialisation=initialisation,
        )  # fmt: skip
        self.core = Transformer(config, seed=int(torch.randint(2**31, ()).item()))  # so it follows from the run's seed

    def forward(self, batch: Batch) -> Tensor:
        """Logits, [batch pos vocab]."""
        logits: Tensor = self.core(batch["input_ids"])
        return logits

    def embeddings(self) -> Iterable[nn.Parameter]:
        return (p for p in (self.core.W_E, self.core.W_pos) if p is not None)

    @classmethod
    def size_configs(
        cls, targets: Sequence[float], d_vocab: int, normalization: str = "RMS", d_vocab_out: int = 0, **settings: Any
    ) -> list[dict[str, Any]]:
        """Depth, width and neurons of a model for each number of non-embedding parameters.

        The depth grows with the width, from 2 layers on; the number of neurons makes up the difference, so that it lies
        near 4 `d_model`. The smallest models that a vocabulary allows may miss their target, and the planner says so.
        """
        return [_shape(target, d_vocab_out or d_vocab, normalization) for target in targets]


def _heads(d_model: int) -> int:
    """The number of heads whose size is nearest to 16 and divides the width."""
    wanted = max(1, round(d_model / D_HEAD))
    return min((h for h in range(1, d_model + 1) if d_model % h == 0), key=lambda h: (abs(h - wanted), h))


def _shape(target: float, d_vocab: int, normalization: str) -> dict[str, Any]:
    widths = {depth: _width(target, depth, d_vocab) for depth in DEPTHS}
    depth = min(DEPTHS, key=lambda n: abs(math.log(widths[n] / (ASPECT * n))))
    d_model = widths[depth]
    norms = {"none": 0, "RMS": 1, "LN": 2}[normalization] * (2 * depth + 1) * d_model
    neurons = (target - norms - d_model * d_vocab - 4 * depth * d_model**2) / (2 * depth * d_model)
    return {"n_layers": depth, "d_model": d_model, "d_mlp": max(1, round(neurons))}


def _width(target: float, depth: int, d_vocab: int) -> int:
    """The d of 12 depth d^2 + d_vocab d = target, to the nearest multiple of 4 (of 16 from 64 on)."""
    d = (math.sqrt(d_vocab**2 + 48 * depth * target) - d_vocab) / (24 * depth)
    multiple = 16 if d >= 64 else 4
    return max(4, multiple * round(d / multiple))
