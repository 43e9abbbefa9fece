"""Handwritten digits, 1,797 of 8 x 8 pixels, which come with scikit-learn and need no download.

Source: Alpaydin and Kaynak 1998, the UCI repository, "Optical recognition of handwritten digits".
"""

import numpy as np
import torch

from miscope.core import MiscopeError
from miscope.scaling.protocols import Table


class Digits:
    """`pixel_values` [batch 1 8 8] from -1 to 1 and `labels` 0 to 9; a fifth is kept for the test."""

    def __init__(self, seed: int = 0) -> None:
        try:
            from sklearn.datasets import load_digits  # type: ignore[import-untyped]
        except ImportError:
            raise MiscopeError("The digits come with scikit-learn: pip install 'miscope[images]'.") from None
        digits = load_digits()
        images = torch.from_numpy(digits.images.astype(np.float32) / 8 - 1)[:, None]
        labels = torch.from_numpy(digits.target.astype(np.int64))
        order, n_test = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels))), len(labels) // 5
        parts = {"train": order[n_test:], "test": order[:n_test]}
        self._splits = {name: Table({"pixel_values": images[i], "labels": labels[i]}) for name, i in parts.items()}

    def build(self, split: str) -> Table:
        return self._splits[split]

    def token_count(self) -> int:
        """Images in `train`; each counts as one."""
        return len(self._splits["train"])
