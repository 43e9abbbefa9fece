"""Examples that lie in memory, as rows of tensors by name."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Table:
    """`len`, one example by its number, and many at once."""

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = dict(columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {name: column[i] for name, column in self.columns.items()}

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """The batch of these examples."""
        return {name: torch.index_select(column, 0, rows) for name, column in self.columns.items()}
