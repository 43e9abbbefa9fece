r"""How many directions each weight matrix uses: singular values and the effective dimensions made from them.

An untrained matrix uses most of its directions (W_E of the calibration model: 86 of 114 by participation ratio);
learning a Fourier circuit leaves two for each key frequency or so (14), and cleanup is when the rest goes.

Maths: $s_1 \ge s_2 \ge \dots$ are the singular values (`value`) of a matrix, and $q_i = s_i / \sum_j s_j$.
$$\text{participation\_ratio} = \frac{(\sum_i s_i)^2}{\sum_i s_i^2}, \qquad
\text{effective\_rank} = \exp\Bigl(-\sum_i q_i \ln q_i\Bigr), \qquad
\text{frobenius\_norm} = \Bigl(\sum_i s_i^2\Bigr)^{1/2};$$
`spectral_norm` is $s_1$.

Source: Roy and Vetterli 2007 (effective rank); Gao et al. 2017, doi:10.1101/214262 (participation ratio, there of
covariance eigenvalues, which are our singular values' squares and give a smaller number).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from miscope.core import Checkpoint, Context, place_in_model
from miscope.instrument import Output, PerCheckpoint
from miscope.maths.decomposition import effective_rank, participation_ratio, spectrum


@dataclass(frozen=True)
class SingularValues(Output):
    matrix: tuple[str, ...]  # as in the weights, an attention head's number last: `blocks.0.attn.W_Q.2`
    value: Float[np.ndarray, "matrix rank"]  # descending, NaN beyond the matrix' own rank
    participation_ratio: Float[np.ndarray, " matrix"]  # (sum s)^2 / sum s^2, from 1 to the rank; 0: a zero matrix
    effective_rank: Float[np.ndarray, " matrix"]  # exp of the entropy of s / sum s, 1 to the rank; 0: a zero matrix
    spectral_norm: Float[np.ndarray, " matrix"]  # the largest singular value
    frobenius_norm: Float[np.ndarray, " matrix"]
    shape: Int[np.ndarray, "matrix 2"]  # rows and columns


def singular_values(checkpoint: Checkpoint, context: Context) -> SingularValues:
    """Of every weight matrix, all its rows included (W_E with the row of `=`), biases left out; in float64."""
    matrices = dict(_matrices(checkpoint))
    spectra = {name: spectrum(matrix) for name, matrix in matrices.items()}
    rank = max(map(len, spectra.values()))
    padded = [np.pad(s, (0, rank - len(s)), constant_values=np.nan) for s in spectra.values()]
    return SingularValues(
        matrix=tuple(spectra),
        value=np.stack(padded),
        participation_ratio=np.array([participation_ratio(s) for s in spectra.values()]),
        effective_rank=np.array([effective_rank(s) for s in spectra.values()]),
        spectral_norm=np.array([s[0] for s in spectra.values()]),
        frobenius_norm=np.array([np.linalg.norm(s) for s in spectra.values()]),
        shape=np.array([matrix.shape for matrix in matrices.values()]),
    )


def _matrices(checkpoint: Checkpoint) -> Iterator[tuple[str, np.ndarray]]:
    """Matrices in the order of the forward pass' blocks, attention head by head."""
    for name in sorted(checkpoint.weights, key=place_in_model):
        weight = checkpoint.weights[name]
        if _leaf(name).startswith("b_") or weight.ndim not in (2, 3):
            continue
        if weight.ndim == 2:
            yield name, weight
        else:
            yield from ((f"{name}.{head}", matrix) for head, matrix in enumerate(weight))


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def measures(found: SingularValues) -> dict[str, float]:
    """How many directions matrices use: the mean over all, and of each kind the mean over layers and heads."""
    kinds = [name.partition("W_")[2].partition(".")[0] for name in found.matrix]
    numbers = (("participation_ratio", found.participation_ratio), ("effective_rank", found.effective_rank))
    means = {name: float(of.mean()) for name, of in numbers}
    return means | {
        f"{name} of W_{kind}": float(of[[k == kind for k in kinds]].mean())
        for name, of in numbers
        for kind in dict.fromkeys(kinds)
    }


analyzer = PerCheckpoint(singular_values, measures=measures)
