"""Handwritten digits, 1,797 of 8 x 8 pixels, which come with scikit-learn and need no download.

Source: Alpaydin and Kaynak 1998, the UCI repository, "Optical recognition of handwritten digits".
"""

import numpy as np
import torch

from miscope.core import MiscopeError
from miscope.scaling.loader import Table


class Digits:
    """`pixel_values` [batch 1 8 8] from -1 to 1 and `labels` 0 to 9; a fifth is kept for the test."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def build(self, split: str) -> Table:
        images, labels = _digits()
        order = np.random.default_rng(self.seed).permutation(len(labels))
        n_test = len(labels) // 5
        chosen = torch.from_numpy(order[n_test:] if split == "train" else order[:n_test])
        return Table({"pixel_values": images[chosen], "labels": labels[chosen]})

    def token_count(self) -> int:
        """Images in `train`; each counts as one."""
        return len(self.build("train"))


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        raise MiscopeError("The digits come with scikit-learn: pip install 'miscope[images]'.") from None
    digits = load_digits()
    images = torch.from_numpy(digits.images.astype(np.float32) / 8 - 1)
    return images[:, None], torch.from_numpy(digits.target.astype(np.int64))
