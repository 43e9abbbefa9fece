"""LayerNorm and RMSNorm over the last axis.

Source: Ba et al. 2016, arXiv:1607.06450; Zhang and Sennrich 2019, arXiv:1910.07467.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from miscope.model.hooks import Hook, untouched

EPS = 1e-5


class LayerNorm(nn.Module):
    """`LN` subtracts the mean and has a bias; `RMS` does neither. Abstract over which: a norm has w, and LN has b."""

    def __init__(self, kind: str, d_model: int, eps: float = EPS) -> None:
        super().__init__()
        self.kind, self.eps = kind, eps
        self.w = nn.Parameter(torch.ones(d_model))
        self.b = nn.Parameter(torch.zeros(d_model)) if kind == "LN" else None

    def forward(self, x: Float[Tensor, "... d_model"], hook: Hook = untouched) -> Float[Tensor, "... d_model"]:
        if self.b is not None:
            x = x - x.mean(dim=-1, keepdim=True)
        scale = hook("hook_scale", x.square().mean(dim=-1, keepdim=True).add_(self.eps).sqrt_())
        y = hook("hook_normalized", x / scale) * self.w
        return y if self.b is None else y.add_(self.b)


class NoNorm(nn.Module):
    """Leaves the residual stream as it is."""

    def forward(self, x: Tensor, hook: Hook = untouched) -> Tensor:
        return x


def norm(kind: str, d_model: int, eps: float = EPS) -> nn.Module:
    """The norm that a ModelConfig's `normalization` names: `none`, `LN` or `RMS`."""
    return NoNorm() if kind == "none" else LayerNorm(kind, d_model, eps)
