"""Whether a weight matrix uses fewer directions, or has a stronger one, than one of independent Gaussian numbers."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from miscope.analyzers.singular_values import SingularValues
from miscope.maths.decomposition import effective_rank, participation_ratio
from miscope.maths.null_distributions import RARE
from miscope.maths.random_matrices import gaussian_spectra
from miscope.views.shared import nulls
from miscope.views.shared.matrices import labels_of

Field = Literal["participation_ratio", "effective_rank", "spectral_norm"]
SKEW = 0.29  # of a random matrix' largest singular value: the Tracy-Widom law's, Bornemann 2010, arXiv:0904.1581
SOURCE = "99 % of random matrices"
MEASURES: dict[str, Callable[[Float[np.ndarray, " rank"]], float]] = {
    "participation_ratio": participation_ratio,
    "effective_rank": effective_rank,
    "spectral_norm": lambda values: float(values[0]),
}


class Judged(NamedTuple):
    """The matrix whose number is furthest beyond that of random matrices of its shape (and Frobenius norm)."""

    matrix: str
    found: float
    null: float


def verdict(values: SingularValues, field: Field, heads_of: str = "", looks: int = 1) -> str:
    """Of the matrix that is furthest from random ones, at one step of so many that one looks at."""
    judged = furthest(values, field, heads_of, looks)
    if judged is None:
        return nulls.none("no matrix has two directions or more")
    what = f"{field.replace('_', ' ')} of {judged.matrix}"
    return nulls.against(what, judged.found, judged.null, SOURCE, is_lower=field != "spectral_norm")


def furthest(values: SingularValues, field: Field, heads_of: str = "", looks: int = 1) -> Judged | None:
    """Among the matrices shown; None where none has two directions."""
    found = list(_judged(values, field, labels_of(values.matrix, heads_of), looks))
    beyond = (lambda j: j.found / j.null) if field == "spectral_norm" else (lambda j: j.null / j.found)
    return max(found, key=beyond, default=None)


def random_spectrum(values: SingularValues, label: str, heads_of: str = "") -> Float[np.ndarray, " rank"]:
    """What the singular values of one matrix, or of heads of one kind, would be at random; NaN beyond the rank."""
    at = [i for i, name in enumerate(labels_of(values.matrix, heads_of)) if name == label]
    mean = gaussian_spectra(*values.shape[at[0]].tolist()).mean(axis=0) * values.frobenius_norm[at].mean()
    return np.pad(mean, (0, values.value.shape[1] - len(mean)), constant_values=np.nan)


def _judged(values: SingularValues, field: Field, labels: tuple[str, ...], looks: int) -> Iterator[Judged]:
    """Each matrix shown, or mean over heads, beside the least or largest number that chance gives it."""
    is_whole = (values.frobenius_norm > 0) & (values.shape.min(axis=1) > 1)
    shown = {label: [i for i, name in enumerate(labels) if name == label and is_whole[i]] for label in labels if label}
    shown = {label: at for label, at in shown.items() if at}
    for label, at in shown.items():
        scale = values.frobenius_norm[at] if field == "spectral_norm" else np.ones(len(at))
        rows, columns = values.shape[at[0]].tolist()
        mean, reach = _reach(rows, columns, field, len(at), looks * len(shown))
        null = (mean + reach) * scale.mean()
        yield Judged(label, float(getattr(values, field)[at].mean()), float(null))


@lru_cache(maxsize=256)
def _reach(rows: int, columns: int, field: Field, n_heads: int, looks: int) -> tuple[float, float]:
    """The mean of a measure over random matrices, and how far from it chance takes the mean of so many of them.

    From Student's distribution, as both moments are of a few draws; for the largest value a skewed one.
    """
    from scipy.special import stdtrit

    drawn = np.array([MEASURES[field](values) for values in gaussian_spectra(rows, columns)])
    t = float(stdtrit(len(drawn) - 1, 1 - RARE / looks))
    t = t + SKEW * (t**2 - 1) / 6 if field == "spectral_norm" else -t
    return float(drawn.mean()), t * float(drawn.std(ddof=1)) * (1 / n_heads + 1 / len(drawn)) ** 0.5
