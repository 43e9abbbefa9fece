"""What views of heads share: their names, and how far chance takes heads that learned nothing."""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from miscope.analyzers.composition_scores import CompositionScores
from miscope.maths.null_distributions import largest_share
from miscope.views.shared import nulls
from miscope.views.shared.frequencies import RANDOM
from miscope.views.shared.guessing import deviates

MARGIN = 5.0  # of attention; twice four Gaussian numbers differ so much in size once in 250 times: F distribution, 4, 4
DRAWS = 10_000


def head_names(layers: int, heads: int) -> list[str]:
    """`head 2`, in a network of several layers `layer 1, head 2`, in the order layer by layer."""
    return [f"layer {i}, head {j}" if layers > 1 else f"head {j}" for i in range(layers) for j in range(heads)]


def even_attention(mean: Float[np.ndarray, "layer head query key"]) -> Float[np.ndarray, "query key"]:
    """The same weight on all positions that are seen: up to the present one, if no head looks ahead."""
    n = mean.shape[-1]
    seen = np.ones((n, n)) if np.triu(mean, k=1).any() else np.tri(n)
    return seen / seen.sum(axis=1, keepdims=True)


def of_one_frequency(shares: Float[np.ndarray, "layer head freq"], looks: int = 1) -> dict[str, Any]:
    """The verdict on the largest share of one frequency in any head, and its null as a mark, for a table's attrs.

    `looks`: at how many steps one looks.
    """
    layers, heads, n = shares.shape
    null = largest_share(n, looks * layers * heads)
    said = nulls.against("largest share of one frequency", float(shares.max()), null, RANDOM, text=nulls.percent)
    return {"marks": {"random, 99 %": null}, "null": said}


def of_composition(output: CompositionScores, looks: int = 1) -> str:
    """The verdict on the pair of heads that scores highest of all."""
    found = float(np.nanmax(output.score, initial=-np.inf))
    return nulls.against("largest composition score", found, random_composition(output, looks), "99 % of random heads")


def random_composition(output: CompositionScores, looks: int = 1) -> float:
    """The highest score that as many pairs of random heads stay below, 99 times of 100."""
    n_pairs = int(np.isfinite(output.score).sum())
    return output.chance + output.chance_std * deviates(max(1, n_pairs) * looks)


@lru_cache(maxsize=64)
def random_alignment(n_heads: int) -> float:
    """The mean size of the alignments of so many heads that 99 % of random ones stay below.

    The block of a random query-key map at one frequency has four independent Gaussian entries.
    """
    a, b, c, d = np.random.default_rng(0).normal(size=(4, DRAWS, n_heads))
    nuclear = np.sqrt(a**2 + b**2 + c**2 + d**2 + 2 * np.abs(a * d - b * c))
    return float(np.quantile((np.abs(a + d) / nuclear).mean(axis=1), 0.99))
