"""Shows the network's output at one step by the number of bits that it depends on, against a random function."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.walsh_spectrum import WalshSpectrum, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import bars
from miscope.views.shared.sets import of_target_size


def table(spectra: Artifact[WalshSpectrum], context: Context, step: int) -> pd.DataFrame:
    """One row per (function, degree); `share` of the energy on sets of so many bits, of the network and by chance."""
    output = spectra[step]
    shares = np.stack([output.degree_share, output.chance_degree_share])
    found = long("share", shares, function=("network", "chance"), degree=np.arange(shares.shape[1]))
    pairs = zip(output.strongest[:3], output.strongest_share[:3].tolist(), strict=True)
    found.attrs |= {
        "limits": {"share": (0.0, 1.05)},
        "null": of_target_size(output),
        "note": "strongest: " + ", ".join(f"{name} {share:.2g}" for name, share in pairs),
    }
    return found


view = View(
    question="How is the output spread over sets of few and of many bits?",
    reading="The share of the output's energy on sets of each size, 0 being the constant, beside that of a random "
    "function. The three strongest sets are named above with their shares.",
    needs=analyzer,
    table=table,
    draw=bars(
        "degree", "share", "function", is_stacked=False,
        titles={"degree": "bits in the set", "share": "share of energy"},
    ),
)  # fmt: skip
