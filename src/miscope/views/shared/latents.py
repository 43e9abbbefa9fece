"""What a probe must beat before a latent counts as learned: shuffled labels, the largest class, no training."""

import numpy as np

from miscope.analyzers.linear_probes import LinearProbes
from miscope.core import Artifact
from miscope.views.shared import nulls

MARGIN = 4.0  # in odds; probes of parity's 8 bits read 39 % in one untrained network and 69 % in another


def untrained(probes: Artifact[LinearProbes]) -> LinearProbes | None:
    """The probes of step 0; None where that is not among the checkpoints."""
    return probes[0] if probes.steps[0] == 0 else None


def of_latents(probes: Artifact[LinearProbes], step: int) -> str:
    """The verdict on the latent whose best layer is furthest above its null."""
    output, first = probes[step], untrained(probes)
    if first is None:
        return nulls.none(nulls.NO_START)
    found, start, shuffled = (x.max(axis=0) for x in (output.accuracy, first.accuracy, output.shuffled))
    floor = np.array([nulls.raised(float(accuracy), MARGIN) for accuracy in start])
    null = np.maximum.reduce([floor, shuffled, output.majority])
    best = int((found - null).argmax())
    return _verdict(f"probe of {output.latent[best]}", found[best], null[best], MARGIN)


def of_mean(probes: Artifact[LinearProbes]) -> str:
    """The verdict on the best layer's mean over the latents, at the last step; a mean of n varies less, by sqrt(n)."""
    output, first = probes[probes.steps[-1]], untrained(probes)
    if first is None:
        return nulls.none(nulls.NO_START)
    read = (output.accuracy, first.accuracy, output.shuffled)
    found, start, shuffled = (float(x.mean(axis=1).max()) for x in read)
    margin = MARGIN ** (1 / len(output.latent) ** 0.5)
    null = max(nulls.raised(start, margin), shuffled, float(output.majority.mean()))
    return _verdict("mean probe accuracy", found, null, margin)


def _verdict(what: str, found: float, null: float, margin: float) -> str:
    source = f"the untrained network with a margin of {margin:.2g} in odds, shuffled labels or the largest class"
    return nulls.against(what, float(found), float(null), source, text=nulls.percent)
