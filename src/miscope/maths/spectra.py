"""Harmonic analysis over an input group: the one place where the product meets a Fourier basis.

Frequencies are numbered k = 1 .. p // 2 everywhere a file or a person sees them; k = 0 is the constant.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1 and appendix; corrections noted at each function.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Basis:
    """An orthonormal basis of functions on tokens 0 .. size - 1, its rows grouped by frequency.

    `kind` is `fourier` (over Z_size) or `walsh`. `is_native` is False where the task has no input group and the basis
    is the DFT over the token index: a null result is then a finding, and artifacts say so.
    """

    kind: str
    size: int
    is_native: bool = True

    @cached_property
    def matrix(self) -> Float[np.ndarray, "row token"]:
        """Rows of unit L2 norm: constant, then cos k, sin k for k = 1, 2, ... (float64)."""
        if self.kind != "fourier":
            raise ValueError(f"basis {self.kind!r} is unknown; known: 'fourier'")
        return fourier_basis(self.size)

    @cached_property
    def frequencies(self) -> Int[np.ndarray, " row"]:
        """The frequency k of each row; 0 for the constant."""
        return (np.arange(self.size) + 1) // 2

    @property
    def n_frequencies(self) -> int:
        return self.size // 2

    @cached_property
    def row_names(self) -> tuple[str, ...]:
        """`constant`, `cos 1`, `sin 1`, `cos 2`, ..."""
        return ("constant", *(f"{'cos' if r % 2 else 'sin'} {k}" for r, k in enumerate(self.frequencies) if r))


def fourier_basis(p: int) -> Float[np.ndarray, "row token"]:
    """The real discrete Fourier basis of Z_p, orthonormal, float64: constant, cos 1, sin 1, cos 2, sin 2, ...

    For even p the last row is cos(pi x), whose sine vanishes. Only the p number tokens enter: the `=` token never does.
    """
    x = np.arange(p)
    rows = [np.ones(p)]
    for k in range(1, p // 2 + 1):
        angle = 2 * np.pi * ((k * x) % p) / p
        rows += [np.cos(angle)] if 2 * k == p else [np.cos(angle), np.sin(angle)]
    matrix = np.stack(rows)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def energy_by_frequency(basis: Basis, values: Float[np.ndarray, "token ..."]) -> Float[np.ndarray, "freq ..."]:
    """Squared norm of `values` at each frequency k = 1 .. n_f (cosine and sine together), along its first axis.

    Summed over frequencies, and with the constant's energy added, it is the squared norm of `values` (Parseval).
    """
    squares = np.tensordot(basis.matrix, values, axes=1) ** 2
    return np.add.reduceat(squares, np.arange(1, basis.size, 2), axis=0)


def power_by_frequency(basis: Basis, values: Float[np.ndarray, "token ..."]) -> Float[np.ndarray, " freq"]:
    """Each frequency's share of the energy of `values` over tokens, the constant left out; sums to 1.

    All zero where `values` do not vary over tokens.
    """
    energy = energy_by_frequency(basis, values)
    energy = energy.reshape(len(energy), -1).sum(axis=1)
    return energy / energy.sum() if energy.any() else energy


def is_square_grid(basis: Basis, grid: tuple[int, ...] | None) -> bool:
    """Whether the probe is every pair (a, b) of the basis' tokens, which a two-dimensional transform needs."""
    return grid == (basis.size, basis.size)


def variance_fractions(basis: Basis, maps: Float[np.ndarray, "item a b"]) -> Float[np.ndarray, "item freq"]:
    """For each map over (a, b), the share of its variance carried by each frequency alone; in [0, 1].

    frac_k is the energy of the cells whose row and column both lie in {constant, cos k, sin k}, the constant cell
    removed, over the energy of all cells but the constant one. Cross-frequency cells belong to none, so the fractions
    need not sum to 1. A map without variance has fractions 0.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2; the public notebook's `range(1, p // 2)` omits the last
    frequency, which is kept here.
    """
    return grid_variance_fractions(basis, maps.reshape(len(maps), -1).T)


def grid_variance_fractions(basis: Basis, values: Float[np.ndarray, "batch item"]) -> Float[np.ndarray, "item freq"]:
    """`variance_fractions` of maps laid out as activations are: one column per map, rows in the order a * p + b.

    The transform runs in the precision of `values`: both axes of 512 maps at p = 113 are two float32 products, without
    a transpose. What is constant up to rounding (variance below 1e-12 of the mean square) counts as constant.
    """
    p, n_items = basis.size, values.shape[1]
    f, mean = basis.matrix.astype(values.dtype), values.mean(axis=0, dtype=np.float64)
    rows = f @ (values - mean.astype(values.dtype)).reshape(p, p * n_items)
    squares = np.matmul(f, rows.reshape(p, p, n_items)) ** 2  # [row column item]
    squares[0, 0] = 0
    total = squares.reshape(p * p, n_items).sum(axis=0, dtype=np.float64)
    energy = _energy_of_one_frequency(squares)
    has_variance = total > 1e-12 * p * p * mean**2
    return np.divide(energy, total, out=np.zeros_like(energy), where=has_variance).T.astype(values.dtype)


def _energy_of_one_frequency(squares: Float[np.ndarray, "row column item"]) -> Float[np.ndarray, "freq item"]:
    """Energy of the cells whose row and column are constant or of frequency k, but for the constant cell (float64)."""
    starts = np.arange(1, len(squares), 2)
    edges = squares[0] + squares[:, 0] + np.einsum("rri->ri", squares)  # with the 2 x 2 block's diagonal
    energy = np.add.reduceat(edges.astype(np.float64), starts, axis=0)
    cosines = starts[starts + 1 < len(squares)]  # cos k and sin k are neighbouring rows; an even p's last k has no sine
    energy[: len(cosines)] += squares[cosines, cosines + 1] + squares[cosines + 1, cosines]
    return energy


def gini(values: Float[np.ndarray, " item"]) -> float:
    """Gini coefficient of non-negative values: 0 when all are equal, near 1 when one has everything.

    Source: Hurley and Rickard 2009, arXiv:0811.4706, table I.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    if x.sum() == 0:
        return 0.0
    n = len(x)
    return float(((2 * np.arange(1, n + 1) - n - 1) * x).sum() / (n * x.sum()))
