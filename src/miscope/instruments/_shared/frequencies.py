"""Whether what is at one frequency is more than chance: of any function of a token, some frequency is the strongest."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from miscope.core import NotApplicable
from miscope.instrument import Null, in_words
from miscope.maths.null_distributions import binomial_quantile, chance_of_share, largest_share
from miscope.maths.spectra import Basis
from miscope.maths.waves import token_reads

TUNED = "neurons tuned to one frequency"
RANDOM = "99 % of random functions of a token"


def of_neurons(statistic: str, shares: Float[np.ndarray, "*neuron"], n_frequencies: int) -> Null:
    """The null of the median of neurons' shares at their best frequency: what a single one may have."""
    return Null(statistic, float(np.median(shares)), largest_share(n_frequencies), RANDOM, "matched", unit="share")


def of_specialised(statistic: str, n: int, n_neurons: int, level: float, n_frequencies: int) -> Null:
    """The null of how many of n_neurons have at least `level` of their variance at one frequency."""
    statistic = f"{statistic} (at least {in_words(level, 'share')})"
    return of_count(statistic, n, n_neurons, chance_of_share(n_frequencies, level))


def of_count(statistic: str, n: int, n_neurons: int, probability: float) -> Null:
    """The null of how many of n_neurons there are that each random one is with that probability."""
    source = f"99 % of sets of {n_neurons:,} random neurons"
    return Null(statistic, n, binomial_quantile(n_neurons, probability), source, "matched")


def neuron_reads(
    weights: Mapping[str, np.ndarray], layer: int, n_tokens: int, *, has_heads: bool = True
) -> Float[np.ndarray, "token neuron"]:
    """What each neuron of a layer reads of each token (`token_reads`): through the heads, where the model has them."""
    w_v, w_o = (weights.get(f"blocks.{layer}.attn.{name}") if has_heads else None for name in ("W_V", "W_O"))
    return token_reads(weights["embed.W_E"][:n_tokens], weights[f"blocks.{layer}.mlp.W_in"], w_v, w_o)


def check_basis(basis: Basis, embedding: Float[np.ndarray, "row d_model"]) -> None:
    """Raises NotApplicable where the tokens have one frequency alone, or are not all embedded."""
    if basis.n_frequencies < 2:
        raise NotApplicable(f"The {basis.size} tokens of the basis have one frequency: there is nothing to tell apart.")
    if len(embedding) < basis.size:
        raise NotApplicable(f"The embedding has fewer rows than the basis' {basis.size} tokens.")
