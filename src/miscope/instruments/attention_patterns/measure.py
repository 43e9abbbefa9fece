r"""Where each head attends: mean and spread of its pattern, and how attention from the answer varies with the input.

An untrained head attends evenly. In modular addition the answer position learns to divide its attention between a and b
by a wave of one frequency per head (variance fraction above 0.95).

Maths: $A_x(q, j)$ is a head's attention from position $q$ to $j$ on input $x$ of $B$; `mean` and `std` are
$$\bar A = \tfrac{1}{B} \sum_x A_x, \qquad \Bigl(\tfrac{1}{B} \sum_x (A_x - \bar A)^2\Bigr)^{1/2}.$$
At $q$ the answer position and over inputs $(a, b)$ it is a map $M$ for each $j$, from which its mean is taken. $F$ is
the basis, its rows of length 1; $C_k$ the cells whose row and column both are constant, $\cos k$ or $\sin k$:
$$\text{map\_fraction}_k = \frac{\sum_{(r,s) \in C_k} \hat M_{rs}^2}{\sum_{r,s} \hat M_{rs}^2}, \qquad
\hat M = F M F^\top.$$
All of these are of the attention as it is. The maps, which are only drawn, are stored in $2^7$ levels from the least to
the largest of each (`answer_code`): an attention comes back off by half of `answer_unit` at most, 1/254 of what the map
spans.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 and appendix C.1.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8

from miscope.instruments._shared.heads import MARGIN, of_one_frequency
from miscope.maths.codes import Codes, dequantize, quantize
from miscope.maths.spectra import grid_variance_fractions, is_square_grid
from miscope.plugin import Artifact, Checkpoint, Context, Null, Output, PerCheckpoint, against_untrained

BITS = 7


@dataclass(frozen=True)
class AttentionPatterns(Output):
    mean: Float[np.ndarray, "layer head query key"]  # attention over the probe, in [0, 1]; rows sum to 1
    std: Float[np.ndarray, "layer head query key"]  # its standard deviation over the probe, in [0, 0.5]
    map_fraction: Float32[np.ndarray, "layer head key freq"] | None  # of the answer's maps; None: no grid
    n_inputs: int
    answer_code: UInt8[np.ndarray, " byte"]  # [batch map] in 7 bits each, packed; a map that never varies takes no room
    answer_low: Float32[np.ndarray, "layer head key"]  # the least attention in the map
    answer_unit: Float32[np.ndarray, "layer head key"]  # between two levels; 0: the same for all inputs

    @property
    def answer_pattern(self) -> Float32[np.ndarray, "layer head key batch"]:
        """Attention from the answer position, in [0, 1], to the nearest level."""
        codes = Codes(self.answer_code, self.answer_low.ravel(), self.answer_unit.ravel())
        return dequantize(codes, self.n_inputs, BITS).T.reshape(*self.answer_low.shape, self.n_inputs)


def attention_patterns(checkpoint: Checkpoint, context: Context) -> AttentionPatterns:
    """Summaries of `attn.hook_pattern`; the mean alone hides a head that swings with the input, hence the spread."""
    pattern = checkpoint.layers("attn.hook_pattern")  # [layer batch head query key]
    answer = np.moveaxis(pattern[:, :, :, context.answer_position, :], 1, -1)
    maps, fraction = answer.reshape(-1, answer.shape[-1]).T, None
    if is_square_grid(context.basis, context.grid):
        fraction = grid_variance_fractions(context.basis, maps).reshape(*answer.shape[:-1], -1)
    code, low, unit = quantize(maps, BITS)
    return AttentionPatterns(
        mean=pattern.mean(axis=1, dtype=np.float64),
        std=pattern.std(axis=1, dtype=np.float64),
        map_fraction=fraction,
        n_inputs=answer.shape[-1],
        answer_code=code,
        answer_low=low.reshape(answer.shape[:-1]),
        answer_unit=unit.reshape(answer.shape[:-1]),
    )


def nulls(patterns: Artifact[AttentionPatterns], context: Context) -> Iterator[Null]:
    """The attention of the untrained network, and for the maps random functions of a token."""
    yield _of_departure(patterns, patterns.steps[-1], context.answer_position).of("over_time")
    for step, output in patterns.items():
        yield _of_departure(patterns, step).of("overview", step)
        for key in range(output.mean.shape[-1]):
            yield _of_spread(patterns, step, context.answer_position, key).of("maps", step, key=key)
            if output.map_fraction is not None:
                yield of_one_frequency(output.map_fraction[:, :, key], len(patterns)).of("frequencies", step, key=key)


def even_attention(mean: Float[np.ndarray, "layer head query key"]) -> Float[np.ndarray, "query key"]:
    """The same weight on all positions that are seen: up to the present one, if no head looks ahead."""
    n = mean.shape[-1]
    seen = np.ones((n, n)) if np.triu(mean, k=1).any() else np.tri(n)
    return seen / seen.sum(axis=1, keepdims=True)


def _of_departure(patterns: Artifact[AttentionPatterns], step: int, query: int | slice = slice(None)) -> Null:
    """From one position, or from all."""

    def furthest(output: AttentionPatterns) -> float:
        return float(np.abs(output.mean - even_attention(output.mean))[:, :, query].max())

    return against_untrained("largest difference from even attention", patterns, furthest, step, margin=MARGIN)


def _of_spread(patterns: Artifact[AttentionPatterns], step: int, query: int, key: int) -> Null:
    statistic = "largest standard deviation of a head's attention over the inputs"
    return against_untrained(statistic, patterns, lambda x: x.std[:, :, query, key].max(), step, margin=MARGIN)


instrument = PerCheckpoint(attention_patterns, needs=("attn.hook_pattern",), positions="all", nulls=nulls)
