"""Shows which sets of bits the network's output tries, keeps and drops."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.walsh_spectrum import WalshSpectrum, analyzer, set_name
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.sets import of_target


def table(spectra: Artifact[WalshSpectrum], context: Context, *, n: int = 6) -> pd.DataFrame:
    """One row per (set, step) for the `n` sets that ever hold most; `share` of the margin's energy, in [0, 1]."""
    squares = spectra.stack("coefficient").astype(np.float64) ** 2
    totals = squares.sum(axis=1, keepdims=True)
    shares = np.divide(squares, totals, out=np.zeros_like(squares), where=totals > 0)
    chosen = np.argsort(-shares.max(axis=0), kind="stable")[:n]
    first = spectra[spectra.steps[0]]
    names = [set_name(code, first.bit) for code in chosen.tolist()]
    found = long("share", shares[:, chosen].T, set=names, step=spectra.steps)
    found.attrs |= {
        "limits": {"share": (0.0, 1.05)},
        "note": f"target: {first.target}; by chance a set has {first.chance_share:.2g}",
        "null": of_target(spectra[spectra.steps[-1]]),
    }
    return found


view = View(
    question="Which sets of bits does the output try, keep and drop?",
    reading="One curve for each of the sets that ever hold most of the output's energy. Before it is solved, single "
    "bits and the constant come and go.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "set", titles={"share": "share of energy"}, labelled=True),
)
