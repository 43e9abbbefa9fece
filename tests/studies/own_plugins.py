"""Plugins as a user might write them, good and bad, for the tests of the loader."""

from collections.abc import Iterator
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from miscope.scaling.models.base import ScalableModule


class Net(ScalableModule):
    """A linear map from 4 numbers, with dropout, so that chance matters."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.2), nn.GELU(), nn.Linear(width, 1))

    def forward(self, batch: Any) -> Tensor:
        return self.layers(batch["x"])

    def estimate_flops(self, tokens: float) -> float:
        return 100.0 * tokens

    def configure_optimizers(self, learning_rate: float, weight_decay: float, betas: Any) -> torch.optim.Optimizer:
        rates = {self.layers[0]: learning_rate, self.layers[3]: learning_rate / 2}
        groups = [{"params": layer.parameters(), "lr": rate} for layer, rate in rates.items()]
        return torch.optim.SGD(groups, momentum=0.9)


class Plane:
    """`x` and a linear function of it, in one of the three forms."""

    def __init__(self, form: str = "counted", n: int = 64) -> None:
        x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
        self.rows = [{"x": row, "labels": row.sum(), "name": "a text"} for row in x]
        self.form = form

    def build(self, split: str) -> Any:
        rows = self.rows if split == "train" else self.rows[:16]
        return rows if self.form == "counted" else Examples(rows, is_endless=split == "train")

    def token_count(self) -> int | None:
        return len(self.rows) if self.form == "counted" else None


class Examples(IterableDataset):
    """Rows as they come, once or for ever."""

    def __init__(self, rows: list[Any], is_endless: bool = False) -> None:
        self.rows, self.is_endless = rows, is_endless

    def __iter__(self) -> Iterator[Any]:
        for rows in repeat(self.rows) if self.is_endless else [self.rows]:
            yield from rows


class CountIsANumber(Net):
    num_params = 5  # type: ignore[assignment]


class HalfAnOptimizer(Net):
    def configure_optimizers(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.layers[0].parameters(), lr=0.1)


class OneRow(Plane):
    def build(self, split: str) -> Any:
        return self

    def batch(self, seed: int, step: int, size: int) -> Any:
        return {"x": torch.zeros(1, 4), "labels": torch.zeros(1)}


class PerExample:
    def __call__(self, output: Tensor, batch: Any) -> Tensor:
        return (output[:, 0] - batch["labels"]) ** 2


class NotANumber:
    def __call__(self, output: Tensor, batch: Any) -> Tensor:
        return output.mean() * float("nan")


class Logits(nn.Module):
    """An architecture of another library: arguments by name, logits in an object."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(64, width), nn.Linear(width, 64)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        return SimpleNamespace(logits=self.out(self.embed(input_ids)))
