r"""Which sets of bits the answer depends on: the Walsh spectrum of the margin between the two answers, over the cube.

An untrained network has almost all energy in the constant and single bits (degrees 0 and 1); a network that has learned
a parity has its energy on one set, near 1. While the loss is still at ln 2, that set becomes the strongest of its size
and remains so: `target_rank` 1, of 495 sets of 4 among 12 bits.

Maths: $m(x)$ is the margin, logit(1) less logit(0), on the input of bits $x_1, \dots, x_n$, and $S$ a set of bits.
$$\text{coefficient}_S = 2^{-n} \sum_x m(x) \, (-1)^{\sum_{i \in S} x_i}, \qquad
\text{energy} = \sum_S \text{coefficient}_S^2 = 2^{-n} \sum_x m(x)^2.$$
The share of a set is $\text{coefficient}_S^2 / \text{energy}$; `degree_share` sums it over the sets of $d$ bits, of
which a random function has $\binom{n}{d} / 2^n$ (`chance_degree_share`). `target_rank` is 1 plus the number of sets of
the target's size with a larger $\lvert \text{coefficient}_S \rvert$.

Source: Barak et al. 2022, arXiv:2207.08799 (hidden progress; the Fourier gap of the population gradient);
O'Donnell 2014, Analysis of Boolean Functions, sections 1.2 and 1.4.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from miscope.maths.null_distributions import multiple_of_noise, share_of_sets
from miscope.maths.spectra import bits, walsh_transform
from miscope.plugin import Artifact, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint

STRONGEST = 8
FLOOR = 1e-6  # logits: below is rounding of float32
RANDOM = "99 % of random functions"


@dataclass(frozen=True)
class WalshSpectrum(Output):
    """Shares are of `energy`, sum to 1 over all sets, and are all 0 where the margin is 0 everywhere."""

    bit: tuple[str, ...]  # their names
    coefficient: Float32[np.ndarray, " set"]  # in logits; the set is the code of its bits, the first most significant
    energy: float  # mean over the cube of the squared margin, in logits squared
    degree_share: Float[np.ndarray, " degree"]  # of the sets of 0 (the constant), 1, ... n bits
    chance_degree_share: Float[np.ndarray, " degree"]  # of a random function: binomial(n, degree) / 2^n
    target: str  # the set that the answer is the parity of, such as `x1 x4 x7`
    target_share: float
    target_coefficient: float  # in logits; negative where the network answers 1 for an odd number of ones
    other_coefficient: float | None  # root mean square of the other sets of the target's size; None: there is no other
    target_rank: int  # of its coefficient's size among the sets of its size, 1 the largest
    n_of_its_size: int  # how many sets those are; by chance the rank is any of these
    chance_share: float  # of any one set in a random function: 2^-n
    strongest: tuple[str, ...]  # the sets of largest share, the first the largest
    strongest_share: Float[np.ndarray, " set_strongest"]


def walsh_spectrum(checkpoint: Checkpoint, context: Context) -> WalshSpectrum:
    """Of logit(1) - logit(0) as a function of the input."""
    if context.grid is None or any(size != 2 for size in context.grid):
        raise NotApplicable("A Walsh spectrum needs a probe that is the full cube of bits.")
    logits, n = checkpoint.activations["logits"].astype(np.float64), len(context.grid)
    if logits.shape[1] != 2:
        raise NotApplicable(f"The margin needs two possible answers; this task has {logits.shape[1]}.")
    names = context.grid_axes or tuple(f"x{i + 1}" for i in range(n))
    coefficient = walsh_transform((logits[:, 1] - logits[:, 0]).reshape(context.grid)).ravel()
    energy = float((coefficient**2).sum())
    share = coefficient**2 / energy if energy else coefficient**2
    sizes = bits(np.arange(2**n), n).sum(axis=1)
    relevant = range(n) if context.relevant_axes is None else context.relevant_axes
    target = sum(1 << (n - 1 - axis) for axis in relevant)
    others = coefficient[(sizes == sizes[target]) & (np.arange(2**n) != target)]
    strongest = np.argsort(-share, kind="stable")[:STRONGEST]
    return WalshSpectrum(
        bit=names,
        coefficient=coefficient.astype(np.float32),
        energy=energy,
        degree_share=np.bincount(sizes, weights=share),
        chance_degree_share=np.bincount(sizes) / 2**n,
        target=set_name(target, names),
        target_share=float(share[target]),
        target_coefficient=float(coefficient[target]),
        other_coefficient=float(np.sqrt((others**2).mean())) if len(others) else None,
        target_rank=1 + int((np.abs(others) > abs(coefficient[target])).sum()),
        n_of_its_size=len(others) + 1,
        chance_share=0.5**n,
        strongest=tuple(set_name(code, names) for code in strongest.tolist()),
        strongest_share=share[strongest],
    )


def set_name(code: int, names: tuple[str, ...]) -> str:
    """The bits of a set, such as `x1 x4 x7`; `constant` for none."""
    n = len(names)
    return " ".join(name for i, name in enumerate(names) if code >> (n - 1 - i) & 1) or "constant"


def nulls(spectra: Artifact[WalshSpectrum], context: Context) -> Iterator[Null]:
    """Random functions of the bits, and the other sets of the target's size."""
    last = spectra.last
    threshold = share_of_sets(1, len(last.coefficient))
    yield Null("share of the target", last.target_share, threshold, RANDOM, "matched", unit="share").of("overview")
    yield _of_coefficient(last).of("coefficient")
    yield _of_target_size(last).of("degrees")
    threshold, source = last.n_of_its_size // 100 + 1, "99 % of random orders"
    yield Null("rank of the target", last.target_rank, threshold, source, "matched", is_lower=True).of("rank")
    for step, output in spectra.items():
        yield _of_target_size(output).of("spectrum", step)


def _of_coefficient(output: WalshSpectrum) -> Null:
    """By the other sets of its size; where it is the only one, by the sets of a random function of the same energy."""
    others = output.other_coefficient
    if others is None:
        threshold, source = np.sqrt(output.energy * share_of_sets(1, len(output.coefficient))), RANDOM
    else:
        threshold, source = others * multiple_of_noise(output.n_of_its_size - 1), "99 % of sets of its size"
    threshold = max(float(threshold), FLOOR)
    return Null("coefficient in logits", abs(output.target_coefficient), threshold, source, "matched")


def _of_target_size(output: WalshSpectrum) -> Null:
    """Whether all sets of as many bits as the target's have more of the output than in a random function."""
    n_bits = 0 if output.target == "constant" else len(output.target.split())
    threshold = share_of_sets(output.n_of_its_size, len(output.coefficient))
    statistic = f"share of the target's sets of {n_bits} bits"
    return Null(statistic, float(output.degree_share[n_bits]), threshold, RANDOM, "matched", unit="share")


instrument = PerCheckpoint(
    walsh_spectrum,
    needs=("logits",),
    measures=lambda output: {"target_share": output.target_share},
    nulls=nulls,
)
