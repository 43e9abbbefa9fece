r"""Which frequencies of the input group the token embedding uses, and whether the unembedding uses the same.

An untrained embedding spreads its energy evenly (Gini near 0.05 at p = 113). A network that has learned modular
addition uses a few frequencies (Gini above 0.5), the same ones in embedding and unembedding.

Maths: $E$ is the rows of $W_E$ of the basis' tokens, $f_r$ a row of the basis, of length 1; $r \in k$ are $\cos k$ and
$\sin k$, and there are $n_f$ frequencies.
$$\text{row\_norm}_r = \lVert f_r E \rVert, \qquad g_k^2 = \sum_{r \in k} \lVert f_r E \rVert^2, \qquad
\text{power}_k = \frac{g_k^2}{\sum_j g_j^2},$$
$$\text{gini} = \frac{\sum_i (2 i - n_f - 1) \, g_{(i)}}{n_f \sum_i g_{(i)}}, \qquad
\text{inverse\_participation\_ratio} = \sum_k \text{power}_k^2,$$
$g_{(i)}$ in ascending order, $i = 1, \dots, n_f$. Dominant is a $k$ with $\text{power}_k > \text{threshold} / n_f$.
`unembedding_power` is of $W_U^\top$. `chance_power` and `chance_gini` are the 99th percentiles of the largest
$\text{power}_k$ and of $\text{gini}$ over 200 random orders of the tokens.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1 and figure 3; the inverse participation ratio is Gromov's
(2023), arXiv:2301.02679, of the whole matrix and not neuron by neuron.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from miscope.maths.null_distributions import agreement
from miscope.maths.spectra import energy_by_frequency, gini, power_by_frequency
from miscope.plugin import Artifact, Basis, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint

ORDERS = 200
OF_ORDERS = "99 % of token orders"


@dataclass(frozen=True)
class DominantFrequencies(Output):
    frequency: Int[np.ndarray, " freq"]  # k = 1 .. n_f: what the axis `freq` counts
    row_norm: Float[np.ndarray, " row"]  # L2 norm of the embedding along each basis row, the constant first
    power: Float[np.ndarray, " freq"]  # share of the embedding's energy, the constant left out; sums to 1
    is_dominant: Bool[np.ndarray, " freq"]  # power above `threshold` times the mean share
    gini: float  # of the n_f frequencies' norms (not of the rows'): 0 even, towards 1 when few have all
    inverse_participation_ratio: float  # sum of squared shares: 1 / n_f even, 1 / n when n share equally
    chance_power: float  # the largest share of one frequency in 99 % of random orders of the same embedding's tokens
    chance_gini: float  # the same for `gini`
    unembedding_power: Float[np.ndarray, " freq"] | None  # as `power`, of W_U; None: not the same tokens


def dominant_frequencies(checkpoint: Checkpoint, context: Context, *, threshold: float = 3.0) -> DominantFrequencies:
    """Spectrum of the rows of W_E that belong to the basis' tokens (the `=` token never enters)."""
    basis, weights = context.basis, checkpoint.weights
    embed, unembed = weights.get("embed.W_E"), weights.get("unembed.W_U")
    if embed is None or len(embed) < basis.size:
        raise NotApplicable(f"The model has no token embedding of the {basis.size} tokens of the task's basis.")
    embedding = embed[: basis.size].astype(np.float64)
    power = power_by_frequency(basis, embedding)
    chance_power, chance_gini = _chance(basis, embedding)
    unembedding_power = None
    if unembed is not None and unembed.shape[1] == basis.size:
        unembedding_power = power_by_frequency(basis, unembed.T.astype(np.float64))
    return DominantFrequencies(
        frequency=np.arange(1, basis.n_frequencies + 1),
        row_norm=np.linalg.norm(basis.matrix @ embedding, axis=1),
        power=power,
        is_dominant=power > threshold * power.mean(),
        gini=gini(np.sqrt(energy_by_frequency(basis, embedding).sum(axis=1))),
        inverse_participation_ratio=float((power**2).sum()),
        chance_power=chance_power,
        chance_gini=chance_gini,
        unembedding_power=unembedding_power,
    )


def _chance(basis: Basis, embedding: Float[np.ndarray, "token d_model"]) -> tuple[float, float]:
    """`chance_power` and `chance_gini`."""
    rng, centred = np.random.default_rng(0), embedding - embedding.mean(axis=0)
    products = (centred @ centred.T).ravel()
    energies = [_energy(basis, products, rng.permutation(basis.size)) for _ in range(ORDERS)]
    drawn = [(energy.max() / (energy.sum() or 1.0), gini(np.sqrt(energy))) for energy in energies]
    power, sparsity = np.quantile(drawn, 0.99, axis=0)
    return float(power), float(sparsity)


def _energy(
    basis: Basis, products: Float[np.ndarray, " pair"], element: Int[np.ndarray, " token"]
) -> Float[np.ndarray, " freq"]:
    """For tokens on other elements: the cosine transform of inner products summed by distance (Wiener, Khinchin)."""
    distance = (element[:, None] - element) % basis.size
    cosines = basis.matrix[1::2]
    sums = np.bincount(distance.ravel(), weights=products, minlength=basis.size)
    return np.maximum(cosines[:, 0] * (cosines @ sums), 0)


def nulls(frequencies: Artifact[DominantFrequencies], context: Context) -> Iterator[Null]:
    """Random orders of the tokens; between both ends, random pairings of their frequencies."""
    last = frequencies.last
    yield _of_largest(last).of("evolution")
    yield Null("Gini coefficient", last.gini, last.chance_gini, OF_ORDERS, "matched").of("sparsity")
    for step, output in frequencies.items():
        yield _of_largest(output).of("overview", step)
        yield _of_both_ends(output).of("unembedding", step)


def _of_largest(output: DominantFrequencies) -> Null:
    """The largest share: whether it is the order of the tokens that makes it."""
    largest = float(output.power.max())
    return Null("largest share of one frequency", largest, output.chance_power, OF_ORDERS, "matched", unit="share")


def _of_both_ends(output: DominantFrequencies) -> Null:
    """Whether both ends have their power at the same frequencies, or might as well be unrelated."""
    if output.unembedding_power is None:
        return Null.absent("the outputs are not the tokens, so there is no second spectrum to compare")
    if len(output.frequency) == 1:
        return Null.absent("there is only one frequency, which embedding and unembedding must share")
    rows = np.bincount((np.arange(1, len(output.row_norm)) - 1) // 2)  # of an even group's last frequency there is one
    correlation, threshold = agreement(output.power / rows, output.unembedding_power / rows)
    source = "99 % of random pairings of their frequencies"
    return Null("correlation of the two spectra", correlation, threshold, source, "matched")


instrument = PerCheckpoint(
    dominant_frequencies, measures=lambda x: {"largest_share": x.power.max(), "gini": x.gini}, nulls=nulls
)
