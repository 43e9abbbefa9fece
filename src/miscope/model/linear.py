"""The one affine map: every matmul with a parameter in the product passes through here."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Linear(nn.Module):
    """x W + b with W [d_in d_out], TransformerLens' orientation. W is left unset for an initialisation recipe."""

    def __init__(self, d_in: int, d_out: int, *, has_bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_in, d_out))
        self.bias = nn.Parameter(torch.zeros(d_out)) if has_bias else None

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        return x @ self.weight if self.bias is None else x @ self.weight + self.bias


class Sharing(ABC):
    """A layer that, with others of its kind, reads one input once."""

    @abstractmethod
    def outputs_with(self, others: Sequence[nn.Module], x: Float[Tensor, "... d_in"]) -> tuple[Tensor, ...]:
        """Its own output and the others', bit-equal to those of each alone."""


def outputs(x: Float[Tensor, "... d_in"], first: nn.Module, *others: nn.Module) -> tuple[Tensor, ...]:
    """What each layer makes of the one input."""
    if isinstance(first, Sharing):
        return first.outputs_with(others, x)
    return (first(x), *(layer(x) for layer in others))
