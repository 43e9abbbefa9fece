"""Harmonic analysis over an input group, Z_p or the cube of n bits: the one place where the product meets a basis.

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


def fourier_basis(p: int) -> Float[np.ndarray, "row token"]:
    """The real discrete Fourier basis of Z_p, rows of norm 1: constant, cos 1, sin 1, cos 2, ...; of p / 2 no sine."""
    rows = [np.ones(p)]
    for k in range(1, p // 2 + 1):
        angle = 2 * np.pi * ((k * np.arange(p)) % p) / p
        rows += [np.cos(angle)] if 2 * k == p else [np.cos(angle), np.sin(angle)]
    return np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


def energy_by_frequency(basis: Basis, values: Float[np.ndarray, "token ..."]) -> Float[np.ndarray, "freq ..."]:
    """Squared norm along the first axis at each frequency k = 1 .. n_f, cosine and sine together (Parseval)."""
    squares = np.tensordot(basis.matrix, values, axes=1) ** 2
    return np.add.reduceat(squares, np.arange(1, basis.size, 2), axis=0)


def power_by_frequency(basis: Basis, values: Float[np.ndarray, "token ..."]) -> Float[np.ndarray, " freq"]:
    """Each frequency's share of the energy over tokens without the constant; they sum to 1, or 0 if nothing varies."""
    energy = energy_by_frequency(basis, values)
    energy = energy.reshape(len(energy), -1).sum(axis=1)
    return energy / energy.sum() if energy.any() else energy


def is_square_grid(basis: Basis, grid: tuple[int, ...] | None) -> bool:
    """Whether the probe is every pair (a, b) of the basis' tokens, which a two-dimensional transform needs."""
    return grid == (basis.size, basis.size)


def variance_fractions(basis: Basis, maps: Float[np.ndarray, "item a b"]) -> Float[np.ndarray, "item freq"]:
    """For each map over (a, b), the share of its variance carried by each frequency alone; 0 where it has none.

    frac_k is the energy of the cells whose row and column lie in {constant, cos k, sin k}, over that of all, without
    the constant cell. Cells of two frequencies belong to none, so the fractions need not sum to 1.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2; its `range(1, p // 2)` omits the last frequency.
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


def walsh_transform(values: Float[np.ndarray, "*bit"]) -> Float[np.ndarray, "*bit"]:
    """The coefficients 2^-n sum_x f(x) chi_S(x) of a function of n bits, laid out as f is: S at the bits that it holds.

    chi_S(x) = (-1)^(sum of x_i over i in S). The squares sum to the mean of f^2; applied twice, it is f / 2^n.

    Source: O'Donnell 2014, Analysis of Boolean Functions, section 1.2 (the Fourier expansion; Parseval in 1.4).

    Raises:
        ValueError: an axis is not of size 2.
    """
    if any(size != 2 for size in values.shape):
        raise ValueError(f"a function of bits has axes of size 2 alone; found the shape {values.shape}")
    transformed = values.astype(np.float64)
    for axis in range(values.ndim):
        zero, one = np.moveaxis(transformed, axis, 0)
        transformed = np.stack([zero + one, zero - one], axis=axis) / 2
    return transformed


def bits(codes: Int[np.ndarray, " input"], n: int) -> Int[np.ndarray, "input bit"]:
    """The n binary digits of each code, the first bit the most significant: inputs of a cube in C order."""
    return codes[:, None] >> np.arange(n)[::-1] & 1
