"""The examples of the product's own families: the same data that a variant trains on, as batches of tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from miscope import catalog
from miscope.core import Examples, Family
from miscope.scaling.loader import Table
from miscope.scaling.losses.cross_entropy import NOT_ASKED


class FamilyData:
    """`input_ids` and `labels` [batch pos]; where the family asks for nothing, the label is -100."""

    def __init__(self, family: str, data_seed: int = 0, **settings: Any) -> None:
        self.family: Family = catalog.family(family)(**settings)
        self.data_seed = data_seed
        self._split = self.family.split(data_seed)
        self._streams = self.family.stream(data_seed, 0, 1) is not None

    def build(self, split: str) -> "Table | Stream":
        if split == "train" and self._streams:
            return Stream(self.family, self.data_seed)
        part = self._split.train if split == "train" else self._split.test
        return Table(batch_of(part, self.family))

    def token_count(self) -> int | None:
        """Positions in the training set; None where the family streams fresh examples."""
        return None if self._streams else int(self._split.train.tokens.size)


class Text(FamilyData):
    """Crops of a text; it has as many tokens as it has characters to learn from."""

    def __init__(self, path: str = "", length: int = 64, data_seed: int = 0) -> None:
        super().__init__("text", data_seed, path=path, length=length)

    def token_count(self) -> int:
        return len(self.family._parts()[0])  # type: ignore[attr-defined]  # the text that its crops are drawn from


class Stream:
    """Fresh examples, decided by seed and step. The run's seed picks another stretch of the family's stream."""

    def __init__(self, family: Family, data_seed: int) -> None:
        self._family, self._data_seed = family, data_seed

    def batch(self, seed: int, step: int, size: int) -> dict[str, Tensor]:
        """`size` examples."""
        drawn = self._family.stream(self._data_seed + 1_000_003 * seed, step, size)
        assert drawn is not None, "a family streams at every step or at none"
        return batch_of(drawn, self._family)


def batch_of(examples: Examples, family: Family) -> dict[str, Tensor]:
    """Examples as a batch."""
    labels = np.full(examples.tokens.shape, NOT_ASKED)
    labels[:, list(family.positions())] = np.where(examples.targets < 0, NOT_ASKED, examples.targets)
    return {"input_ids": torch.from_numpy(examples.tokens.astype(np.int64)), "labels": torch.from_numpy(labels)}
