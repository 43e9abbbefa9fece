"""Numbers of the probe inputs that the network trains on, and of the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool

Inputs = Bool[np.ndarray, " batch"]


def by_split(is_train: Inputs, **numbers: Callable[[Inputs], Any]) -> dict[str, Any]:
    """Fields `train_<name>` and `test_<name>`, each number of the split's inputs; None where it has no input."""
    return {
        f"{split}_{name}": number(chosen) if chosen.any() else None
        for split, chosen in (("train", is_train), ("test", ~is_train))
        for name, number in numbers.items()
    }
