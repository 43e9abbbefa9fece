"""Shows the progress on the right set of bits that the loss hides.

Source: Barak et al. 2022, arXiv:2207.08799 (progress before the loss moves).
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, over_steps

from miscope.analyzers.walsh_spectrum import WalshSpectrum, analyzer
from miscope.core import Artifact, Context, View
from miscope.maths.null_distributions import multiple_of_noise, share_of_sets
from miscope.renderers import lines, theme
from miscope.views.shared import nulls

FLOOR = 1e-6  # logits: below is rounding of float32
OTHERS = "other sets of its size"


def table(spectra: Artifact[WalshSpectrum], context: Context) -> pd.DataFrame:
    """One row per (set, step); `coefficient` in logits without its sign, floored at 1e-6; of the others the rms."""
    values = np.abs(over_steps(spectra, "target_coefficient", "other_coefficient")).T
    first = spectra[spectra.steps[0]]
    floored = np.maximum(values, FLOOR)  # NaN, where there are no others, stays
    found = long("coefficient", floored, set=(f"target: {first.target}", OTHERS), step=spectra.steps)
    found.attrs |= {"tones": {OTHERS: theme.GREY}, "null": _verdict(spectra[spectra.steps[-1]])}
    return found


def _verdict(output: WalshSpectrum) -> str:
    """By the other sets of its size; where it is the only one, by the sets of a random function of the same energy."""
    found, others = abs(output.target_coefficient), output.other_coefficient
    if others is None:
        null, source = np.sqrt(output.energy * share_of_sets(1, len(output.coefficient))), "99 % of random functions"
    else:
        null, source = others * multiple_of_noise(output.n_of_its_size - 1), "99 % of sets of its size"
    return nulls.against("coefficient in logits", found, max(float(null), FLOOR), source)


view = View(
    question="Is there progress on the right set of bits that the loss hides?",
    reading="The size of the output's coefficient on the set whose parity is the answer, in logits, on a "
    "logarithmic axis; grey, the root mean square of the other sets of as many bits, which is what noise makes. The "
    "curves part while the loss is still at ln 2.",
    needs=analyzer,
    table=table,
    draw=lines("step", "coefficient", "set", log_y=True, titles={"coefficient": "coefficient (logits)"}),
)
