"""What instruments of layers and heads share: their names, and how much of one frequency a random head has."""

import numpy as np
from jaxtyping import Float

from miscope.instrument import Null
from miscope.instruments._shared.frequencies import RANDOM
from miscope.maths.null_distributions import largest_share

MARGIN = 5.0  # of attention; twice four Gaussian numbers differ so much in size once in 250 times: F distribution, 4, 4


def layer_names(layers: int) -> list[str]:
    return [f"layer {i}" for i in range(layers)]


def head_names(layers: int, heads: int) -> list[str]:
    """`layer 1, head 2`, layer by layer."""
    return [f"layer {i}, head {j}" for i in range(layers) for j in range(heads)]


def of_one_frequency(shares: Float[np.ndarray, "layer head freq"], n_comparisons: int = 1) -> Null:
    """The null of the largest share of one frequency in any head, looked at so many times."""
    layers, heads, n = shares.shape
    threshold = largest_share(n, n_comparisons * layers * heads)
    return Null("largest share of one frequency", float(shares.max()), threshold, RANDOM, "matched", unit="share")


def mark(null: Null) -> dict[str, float]:
    """What random ones stay below, as a reference line."""
    return {"random, 99 %": null.threshold} if null.is_measured else {}
