"""The examples of the product's own families: the same data that a variant trains on, as batches of tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from miscope import catalog
from miscope.core import Examples, Family
from miscope.scaling.losses.cross_entropy import NOT_ASKED
from miscope.scaling.protocols import Table


class FamilyData:
    """`input_ids` and `labels` [batch pos]; where the family asks for nothing, the label is -100."""

    def __init__(self, family: str, data_seed: int = 0, **settings: Any) -> None:
        self.family: Family = catalog.family(family)(**settings)
        self.data_seed = data_seed
        self._split = self.family.split(data_seed)
        self._streams = self.family.stream(data_seed, 0, 1) is not None

    def build(self, split: str) -> "Table | FamilyData":
        """The examples of a split, or itself, for `batch`, where the family streams fresh ones."""
        if split == "train" and self._streams:
            return self
        return Table(self._tensors(self._split.train if split == "train" else self._split.test))

    def token_count(self) -> int | None:
        """Positions in the training set; None where the family streams fresh examples."""
        return None if self._streams else int(self._split.train.tokens.size)

    def batch(self, seed: int, step: int, size: int) -> dict[str, Tensor]:
        """Fresh examples, decided by seed and step. The run's seed picks another stretch of the family's stream."""
        drawn = self.family.stream(self.data_seed + 1_000_003 * seed, step, size)
        assert drawn is not None, "a family streams at every step or at none"
        return self._tensors(drawn)

    def _tensors(self, examples: Examples) -> dict[str, Tensor]:
        labels = np.full(examples.tokens.shape, NOT_ASKED)
        labels[:, list(self.family.positions())] = np.where(examples.targets < 0, NOT_ASKED, examples.targets)
        return {"input_ids": torch.from_numpy(examples.tokens.astype(np.int64)), "labels": torch.from_numpy(labels)}


class Text(FamilyData):
    """Crops of a text; it has as many tokens as it has characters to learn from."""

    def __init__(self, path: str = "", length: int = 64, data_seed: int = 0) -> None:
        super().__init__("text", data_seed, path=path, length=length)

    def token_count(self) -> int:
        return len(self.family._parts()[0])  # type: ignore[attr-defined]  # the text that its crops are drawn from
