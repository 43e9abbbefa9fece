"""Which (token, position) pairs of a batch are distinct: before the first attention, only those differ.

In modular addition 3,830 examples of 3 positions hold 227 distinct rows; embeddings, queries, keys and values of the
first layer need computing once per row. The plan is derived from the batch, whatever the task.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from miscope.model.mix import BagPlan, GatherPlan, bags, places


@dataclass(frozen=True)
class UniqueRows:
    """The distinct rows of one batch of tokens, and where each stands."""

    token: Int[Tensor, " row"]
    position: Int[Tensor, " row"]
    index: Int[Tensor, "batch pos"]  # the row at each place
    read: Int[Tensor, " read"]  # positions whose logits are wanted
    queries: Int[Tensor, " query"]  # the rows that stand at positions read
    query: Int[Tensor, "batch read"]  # which of them stands there
    _bags: dict[int, BagPlan] = field(default_factory=dict)

    def bags(self, n_heads: int) -> BagPlan:
        """For each (example, position read, head), the rows x heads that it sums over; made once."""
        if n_heads not in self._bags:
            head = torch.arange(n_heads, device=self.index.device)[:, None]
            index = (self.index * n_heads)[:, None, None, :] + head
            index = index.expand(-1, len(self.read), -1, -1).reshape(-1, self.index.shape[1])
            self._bags[n_heads] = bags(index, len(self.token) * n_heads)
        return self._bags[n_heads]

    @cached_property
    def pairs(self) -> GatherPlan:
        """For each (pos, example, position read), the cell [query row] in the table of all scores."""
        cells = self.query * len(self.token) + self.index.T[:, :, None]
        return places(cells.flatten(), len(self.queries) * len(self.token))

    @cached_property
    def future(self) -> Bool[Tensor, "pos 1 read"] | None:
        """What no position may attend to; None where all that read are last."""
        pos = torch.arange(self.index.shape[1], device=self.index.device)
        future = pos[:, None, None] > self.read
        return future if bool(future.any()) else None

    @cached_property
    def everywhere(self) -> "UniqueRows":
        """The same rows with every position read: a deeper layer attends to all positions, whichever the loss reads."""
        row = torch.arange(len(self.token), device=self.index.device)
        read = torch.arange(self.index.shape[1], device=self.index.device)
        return UniqueRows(self.token, self.position, self.index, read, row, self.index)


def unique_rows(tokens: Int[Tensor, "batch pos"], read: Int[Tensor, " read"], n_ctx: int) -> UniqueRows | None:
    """The plan, or None where rows repeat too little for it to pay (fewer than two places a row)."""
    place = tokens * n_ctx + torch.arange(tokens.shape[1], device=tokens.device)
    row, index = torch.unique(place, return_inverse=True)
    queries, query = torch.unique(index[:, read], return_inverse=True)
    n_pairs = tokens.shape[0] * len(read) * tokens.shape[1]
    if 2 * len(row) > index.numel() or 2 * len(queries) * len(row) > n_pairs:
        return None
    return UniqueRows(row // n_ctx, row % n_ctx, index, read, queries, query)
