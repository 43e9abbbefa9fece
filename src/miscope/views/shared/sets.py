"""Whether the set of bits that decides the answer has more of the output than it has in a random function."""

from miscope.analyzers.walsh_spectrum import WalshSpectrum
from miscope.maths.null_distributions import share_of_sets
from miscope.views.shared import nulls

RANDOM = "99 % of random functions"


def of_target(output: WalshSpectrum) -> str:
    """The verdict on the share of that set alone."""
    null = share_of_sets(1, len(output.coefficient))
    return nulls.against("share of the target", output.target_share, null, RANDOM, text=nulls.percent)


def of_target_size(output: WalshSpectrum) -> str:
    """The verdict on the share of all sets of as many bits."""
    n_bits = 0 if output.target == "constant" else len(output.target.split())
    null = share_of_sets(output.n_of_its_size, len(output.coefficient))
    what = f"share of the target's sets of {n_bits} bits"
    return nulls.against(what, float(output.degree_share[n_bits]), null, RANDOM, text=nulls.percent)
