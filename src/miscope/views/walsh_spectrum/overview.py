"""Shows when the one set of bits that decides the answer takes over the network's output."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.walsh_spectrum import WalshSpectrum, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared.sets import of_target

CHANCE = "chance"
FLOOR = 1e-9  # shares below are noise of float32 logits


def table(spectra: Artifact[WalshSpectrum], context: Context) -> pd.DataFrame:
    """One row per (set, step); `share` of the margin's energy, sums to 1 over all sets. Shares are floored at 1e-9."""
    first = spectra[spectra.steps[0]]
    target = spectra.stack("target_share")
    other = np.array([_largest_but(output) for output in spectra.values()])
    chance = np.full(len(target), first.chance_share)
    shares = np.maximum(np.stack([target, other, chance]), FLOOR)
    names = (f"target: {first.target}", "strongest other set", CHANCE)
    found = long("share", shares, set=names, step=spectra.steps)
    found.attrs |= {
        "limits": {"share": (0.5 * float(shares.min()), 1.5)},
        "tones": {CHANCE: theme.GREY},
        "note": f"chance, the share of one set in a random function, is {first.chance_share:.2g}",
        "null": of_target(spectra[spectra.steps[-1]]),
    }
    return found


def _largest_but(output: WalshSpectrum) -> float:
    """The largest share of a set that is not the target."""
    shares = zip(output.strongest, output.strongest_share.tolist(), strict=True)
    return max(share for name, share in shares if name != output.target)


view = View(
    question="When does the right set of bits take over the output?",
    reading="The share of the output's energy on the set whose parity is the answer, on a logarithmic axis, and on "
    "the strongest set beside it. A target that climbs by orders of magnitude while the loss is flat is hidden "
    "progress; solved, it is near 1. Chance is 1 over the number of sets.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "set", log_y=True, titles={"share": "share of energy"}),
)
