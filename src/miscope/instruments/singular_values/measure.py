r"""How many directions each weight matrix uses: its singular values, and effective dimensions computed from them.

An untrained matrix uses most of its directions (W_E at p = 113: 86 of 114 by participation ratio). Learning a Fourier
circuit leaves about two for each key frequency (14); the others disappear during cleanup.

Maths: $s_1 \ge s_2 \ge \dots$ are the singular values (`value`) of a matrix, and $q_i = s_i / \sum_j s_j$.
$$\text{participation\_ratio} = \frac{(\sum_i s_i)^2}{\sum_i s_i^2}, \qquad
\text{effective\_rank} = \exp\Bigl(-\sum_i q_i \ln q_i\Bigr), \qquad
\text{frobenius\_norm} = \Bigl(\sum_i s_i^2\Bigr)^{1/2};$$
`spectral_norm` is $s_1$.

Source: Roy and Vetterli 2007 (effective rank); Gao et al. 2017, doi:10.1101/214262 (participation ratio, there of
covariance eigenvalues, which are our singular values' squares and give a smaller number).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from miscope.core import weight_order
from miscope.instruments._shared.sites import matrix_kinds
from miscope.maths.decomposition import effective_rank, participation_ratio, spectrum
from miscope.maths.null_distributions import RARE, gaussian_spectra
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, Null, Output, PerCheckpoint

Field = Literal["participation_ratio", "effective_rank", "spectral_norm"]
MEASURES: dict[Field, Callable[[Float[np.ndarray, " rank"]], float]] = {
    "participation_ratio": participation_ratio,
    "effective_rank": effective_rank,
    "spectral_norm": lambda values: float(values[0]),
}
SKEW = 0.29  # of a random matrix' largest singular value: the Tracy-Widom law's, Bornemann 2010, arXiv:0904.1581


PerMatrix = Float[np.ndarray, " matrix"]


@dataclass(frozen=True)
class SingularValues(Output):
    matrix: tuple[str, ...]  # as in the weights, an attention head's number last: `blocks.0.attn.W_Q.2`
    value: Float[np.ndarray, "matrix rank"]  # descending, NaN beyond the matrix' own rank
    participation_ratio: PerMatrix  # (sum s)^2 / sum s^2, from 1 to the rank; 0: a zero matrix
    effective_rank: PerMatrix  # exp of the entropy of s / sum s, 1 to the rank; 0: a zero matrix
    spectral_norm: PerMatrix  # the largest singular value
    frobenius_norm: PerMatrix
    shape: Int[np.ndarray, "matrix 2"]  # rows and columns
    random_value: Float[np.ndarray, "size rank"]  # mean of Gaussian matrices of each shape, of Frobenius norm 1
    random_of: Int[np.ndarray, " matrix"]  # which row of `random_value` has the matrix' shape


def singular_values(checkpoint: Checkpoint, context: Context) -> SingularValues:
    """Of every weight matrix, all its rows included (W_E with the row of `=`), biases left out; in float64."""
    matrices = dict(_matrices(checkpoint))
    spectra = {name: spectrum(matrix) for name, matrix in matrices.items()}
    rank = max(map(len, spectra.values()))
    shape = np.array([matrix.shape for matrix in matrices.values()])
    sizes, random_of = np.unique(shape, axis=0, return_inverse=True)
    random = [gaussian_spectra(rows, columns).mean(axis=0) for rows, columns in sizes.tolist()]
    return SingularValues(
        matrix=tuple(spectra),
        value=_padded(spectra.values(), rank),
        frobenius_norm=np.array([np.linalg.norm(s) for s in spectra.values()]),
        **{field: np.array([of(s) for s in spectra.values()]) for field, of in MEASURES.items()},
        shape=shape,
        random_value=_padded(random, rank),
        random_of=random_of.ravel(),
    )


def _padded(spectra: Iterable[np.ndarray], rank: int) -> Float[np.ndarray, "row rank"]:
    return np.stack([np.pad(s, (0, rank - len(s)), constant_values=np.nan) for s in spectra])


def _matrices(checkpoint: Checkpoint) -> Iterator[tuple[str, np.ndarray]]:
    """Matrices in the order of the forward pass' blocks, attention head by head."""
    for name in sorted(checkpoint.weights, key=weight_order):
        weight = checkpoint.weights[name]
        if name.rpartition(".")[2].startswith("b_"):
            continue
        if weight.ndim == 2:
            yield name, weight
        if weight.ndim == 3:
            yield from ((f"{name}.{head}", matrix) for head, matrix in enumerate(weight))


def measures(output: SingularValues) -> dict[str, float]:
    """How many directions matrices use: the mean over all, and of each kind the mean over layers and heads."""
    of_kind = np.array([name.partition("W_")[2].partition(".")[0] for name in output.matrix])
    numbers = {name: getattr(output, name) for name in ("participation_ratio", "effective_rank")}
    pairs = [(name, of, kind) for name, of in numbers.items() for kind in dict.fromkeys(of_kind)]
    means = {name: float(of.mean()) for name, of in numbers.items()}
    return means | {f"{name} of W_{kind}": float(of[of_kind == kind].mean()) for name, of, kind in pairs}


def shown(names: tuple[str, ...], heads_of: str) -> dict[str, list[int]]:
    """Indices of the matrices by what they are shown as: their kind, or the heads of the kind `heads_of` alone.

    Raises:
        MiscopeError: there is no such kind.
    """
    at: dict[str, list[int]] = {}
    for i, (name, kind) in enumerate(zip(names, matrix_kinds(names), strict=True)):
        head = name.rpartition(".")[2]
        if heads_of in ("", kind):
            at.setdefault(f"{kind} head {head}" if heads_of and head.isdigit() else kind, []).append(i)
    if not at:
        raise MiscopeError(f"There is no matrix `{heads_of}`; known: {', '.join(dict.fromkeys(matrix_kinds(names)))}.")
    return at


def nulls(values: Artifact[SingularValues], context: Context) -> Iterator[Null]:
    """Matrices of independent Gaussian numbers."""
    last, n = values.last, len(values)
    for heads_of in ("", *dict.fromkeys(matrix_kinds(last.matrix))):
        yield _furthest(last, "participation_ratio", heads_of).of("overview", heads_of=heads_of)
        yield _furthest(last, "effective_rank", heads_of).of("effective_rank", heads_of=heads_of)
        yield _furthest(last, "spectral_norm", heads_of).of("norms", heads_of=heads_of)
        for step, output in values.items():
            yield _furthest(output, "participation_ratio", heads_of, n).of("spectrum", step, heads_of=heads_of)


def _furthest(output: SingularValues, field: Field, heads_of: str, n_comparisons: int = 1) -> Null:
    """Of the matrix, or the mean over heads, whose number is furthest beyond those of random ones of its shape."""
    is_whole = (output.frobenius_norm > 0) & (output.shape.min(axis=1) > 1)
    labels = {label: np.array(at)[is_whole[at]] for label, at in shown(output.matrix, heads_of).items()}
    labels = {label: at for label, at in labels.items() if len(at)}
    if not labels:
        return Null.absent("no matrix has two directions or more")
    judged = [_of_matrix(output, field, label, at, n_comparisons * len(labels)) for label, at in labels.items()]
    return max(judged, key=lambda null: null.threshold / null.value if null.is_lower else null.value / null.threshold)


def _of_matrix(
    output: SingularValues, field: Field, label: str, at: Int[np.ndarray, " shown"], n_comparisons: int
) -> Null:
    rows, columns = output.shape[at[0]].tolist()
    mean, reach = _reach(rows, columns, field, len(at), n_comparisons)
    is_norm = field == "spectral_norm"
    threshold = float((mean + reach) * (output.frobenius_norm[at].mean() if is_norm else 1.0))
    statistic, value = f"{field.replace('_', ' ')} of {label}", float(getattr(output, field)[at].mean())
    return Null(statistic, value, threshold, "99 % of random matrices", is_lower=not is_norm, about=label)


@lru_cache(maxsize=256)
def _reach(rows: int, columns: int, field: Field, n_heads: int, n_comparisons: int) -> tuple[float, float]:
    """Mean over random matrices, and how far chance takes that of n_heads: Student's t, skewed for a largest value."""
    from scipy.special import stdtrit

    drawn = np.array([MEASURES[field](values) for values in gaussian_spectra(rows, columns)])
    t = float(stdtrit(len(drawn) - 1, 1 - RARE / n_comparisons))
    t = t + SKEW * (t**2 - 1) / 6 if field == "spectral_norm" else -t
    return float(drawn.mean()), t * float(drawn.std(ddof=1)) * (1 / n_heads + 1 / len(drawn)) ** 0.5


instrument = PerCheckpoint(singular_values, measures=measures, nulls=nulls)
