"""Weighed sums of looked-up values, and the in-place ReLU: two operations whose stock gradients cost a fifth of a step.

Both give what torch's own give; tests hold them to it. Measured at p = 113, 5,107 examples, 2 cores, gradient only: the
sum's 5.2 ms by `embedding_bag`, 0.3 ms here by a sparse product; the ReLU's 2.5 ms, 1.2 ms without a second buffer.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

SUM = 0  # embedding_bag's code of mode "sum"


@dataclass(frozen=True)
class Bags:
    """Which values each sum takes, and the same seen from the values: a sparse matrix [value bag] in CSR form."""

    index: Int[Tensor, "bag pos"]
    order: Int[Tensor, " entry"]  # places in `index`, flattened, sorted by value
    starts: Int[Tensor, " value_and_one"]  # where each value's entries begin in `order`
    bag: Int[Tensor, " entry"]  # the bag of each entry, in that order
    offsets: Int[Tensor, " bag"]
    bag_of_place: Int[Tensor, " entry"]

    @property
    def n_values(self) -> int:
        return len(self.starts) - 1


def bags(index: Int[Tensor, "bag pos"], n_values: int) -> Bags:
    """The plan for sums over rows of a table of `n_values` rows."""
    flat, (n_bags, n_pos) = index.flatten(), index.shape
    order = torch.argsort(flat, stable=True)
    starts = torch.zeros(n_values + 1, dtype=torch.int64, device=index.device)
    starts[1:] = torch.bincount(flat, minlength=n_values).cumsum(0)
    offsets = torch.arange(n_bags, device=index.device) * n_pos
    bag_of_place = torch.arange(n_bags, device=index.device).repeat_interleave(n_pos)
    return Bags(index, order, starts, order // n_pos, offsets, bag_of_place)


def weighed_sums(
    values: Float[Tensor, "value d"], weights: Float[Tensor, "bag pos"], plan: Bags
) -> Float[Tensor, "bag d"]:
    """For each bag, the sum over pos of weights x values[index]; in float32, whatever the precision of the matmuls."""
    return _WeighedSums.apply(values.float(), weights.float(), plan)


class _WeighedSums(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, plan: Bags) -> Tensor:
        ctx.save_for_backward(values, weights)
        ctx.plan = plan
        return F.embedding_bag(plan.index, values, per_sample_weights=weights, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (values, weights), plan, gradient = ctx.saved_tensors, ctx.plan, gradients[0].contiguous()
        of_weights = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            gradient, values, plan.index.flatten(), plan.offsets, plan.bag_of_place, SUM
        )
        return _matrix(weights.flatten()[plan.order], plan) @ gradient, of_weights.view_as(weights), None


def _matrix(entries: Tensor, plan: Bags) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        size = (plan.n_values, len(plan.index))
        return torch.sparse_csr_tensor(plan.starts, plan.bag, entries, size=size, check_invariants=False)


def relu_in_place(x: Tensor) -> Tensor:
    """max(x, 0), overwriting x and, on the way back, the gradient: only where nobody else holds either."""
    return _ReluInPlace.apply(x)


class _ReluInPlace(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        x.relu_()
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,), gradient = ctx.saved_tensors, gradients[0]
        return torch.ops.aten.threshold_backward.grad_input(gradient, y, 0, grad_input=gradient)
