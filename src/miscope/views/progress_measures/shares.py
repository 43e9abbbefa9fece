"""Shows how much of the logits the key frequencies explain, over training.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1 (logits as a weighted sum of cosines of a + b - c).
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.progress_measures import ProgressMeasures, analyzer
from miscope.views.shared import nulls
from miscope.views.shared.progress import NOISE, note, share_of_noise, verdict_on_keys

NAMES = ("cos and sin(w s)", "cos(w (s − c))")


def table(measures: ProgressMeasures, context: Context) -> pd.DataFrame:
    """One row per (part, step); `share` of the logits' energy at the keys, in [0, 1]. Without a key: no rows."""
    found = long("share", np.stack([measures.key_share, measures.trig_share]), part=NAMES, step=measures.steps)
    found.attrs |= {"limits": {"share": (0.0, 1.0)}, "note": note(measures), "null": _said(measures, context)}
    return found


def _said(measures: ProgressMeasures, context: Context) -> str:
    if not len(measures.key_frequency):
        return verdict_on_keys(measures)
    null = len(measures.key_frequency) * share_of_noise(context.basis.size)
    found = float(measures.key_share[-1])
    return nulls.against("share of the keys at the end", found, null, NOISE, text=nulls.percent)


view = View(
    question="How much of the logits do the key frequencies explain?",
    reading="The share of the logits' energy in functions of s at the key frequencies, and in cosines of s less the "
    "output c, one number per key. Near 1 and together: the logits are what the exact circuit would give.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "part", titles={"share": "share of the logits' energy"}),
)
