"""Shows the frequencies of the logits at one step, and how much of each is a function of s - c alone."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import highest, long

from miscope.analyzers.logit_spectra import LogitSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import bars
from miscope.views.shared import nulls
from miscope.views.shared.progress import NOISE, share_of_noise

PARTS = ("cos(w (s − c))", "the rest of cos and sin(w s)")


def table(spectra: Artifact[LogitSpectra], context: Context, step: int) -> pd.DataFrame:
    """One row per (part, frequency); `share` of the logits' energy. The parts add up to the frequency's share.

    Where outputs are not tokens of the basis there is one part.
    """
    output = spectra[step]
    frequency = np.arange(1, len(output.share) + 1)
    if output.trig_share is None:
        found = long("share", output.share[None], part=["cos and sin(w s)"], frequency=frequency)
    else:
        rest = np.maximum(output.share - output.trig_share, 0)
        found = long("share", np.stack([output.trig_share, rest]), part=PARTS, frequency=frequency)
    largest, null = float(output.share.max()), share_of_noise(context.basis.size, looks=len(spectra))
    found["is_key"] = np.isin(found["frequency"], frequency[output.share >= 0.01])
    found.attrs |= {
        "null": nulls.against("largest share of one frequency", largest, null, NOISE, text=nulls.percent),
        "limits": {"share": (0.0, 1.12 * highest(spectra, "share") or 1.0)},
        "note": f"all frequencies together: {output.share.sum():.1%} of the logits' energy; s is {output.along}",
    }
    return found


view = View(
    question="At which frequencies do the logits vary with the answer?",
    reading="Each bar is a frequency's share of the logits' energy, those with 1 % or more coloured and named. The "
    "lower part is what an exact circuit for modular addition has, cosines of s less the output c.",
    needs=analyzer,
    table=table,
    draw=bars(
        "frequency", "share", "part", emphasis="is_key",
        titles={"frequency": "frequency k", "share": "share of the logits' energy"},
    ),
)  # fmt: skip
