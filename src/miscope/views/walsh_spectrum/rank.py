"""Shows when the right set of bits stands out among all sets of as many bits.

Source: after the hidden progress of Barak et al. 2022, arXiv:2207.08799. The rank is ours: it has a null,
every place with equal chance, whatever the scale of the logits.
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, over_steps

from miscope.analyzers.walsh_spectrum import WalshSpectrum, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import lines, theme
from miscope.views.shared import nulls

CHANCE = "chance: the middle"


def table(spectra: Artifact[WalshSpectrum], context: Context) -> pd.DataFrame:
    """One row per (set, step); `rank` of the target's coefficient among the sets of its size, 1 the largest."""
    first = spectra[spectra.steps[0]]
    n_sets = first.n_of_its_size
    if n_sets == 1:
        raise NotApplicable("The target is the only set of its size, so it has no rank.")
    ranks = over_steps(spectra, "target_rank")[:, 0]
    values = np.stack([ranks, np.full(len(ranks), (n_sets + 1) / 2)])
    found = long("rank", values, set=(f"target: {first.target}", CHANCE), step=spectra.steps)
    found.attrs |= {
        "limits": {"rank": (0.8, 1.25 * n_sets)},
        "tones": {CHANCE: theme.GREY},
        "note": f"{n_sets} sets of its size",
        "null": nulls.against(
            "rank of the target", ranks[-1], n_sets // 100 + 1, "99 % of random orders", is_lower=True
        ),
    }
    return found


view = View(
    question="When does the right set stand out among the sets of its size?",
    reading="The rank of the coefficient of the set whose parity is the answer, among all sets of as many bits; 1 is "
    "the largest. By chance every rank is as likely. A rank that comes to 1 and stays there while the loss is flat is "
    "hidden progress.",
    needs=analyzer,
    table=table,
    draw=lines("step", "rank", "set", log_y=True, titles={"rank": "rank (1: largest)"}),
)
