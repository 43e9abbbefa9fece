"""Shows whether queries and keys of a head have the same phase at the frequency by which it compares tokens."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.attention_spectra import AttentionSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.heads import head_names, random_alignment


def table(spectra: Artifact[AttentionSpectra], context: Context) -> pd.DataFrame:
    """One row per (head, step); `alignment` in [-1, 1] at the frequency of most query-key energy at the last step."""
    last = spectra[spectra.steps[-1]].qk_share
    chosen = last.argmax(axis=-1)[None, ..., None]
    values = np.take_along_axis(spectra.stack("qk_alignment"), chosen, axis=3)[..., 0]
    names = [f"{head} (k = {k + 1})" for head, k in zip(head_names(*last.shape[:2]), chosen.ravel(), strict=True)]
    is_circle = 2 * (chosen[0, ..., 0] + 1) < context.basis.size  # a wave of two tokens has no phase: it is 1 or -1
    found = long("alignment", values.reshape(len(values), -1).T, head=names, step=spectra.steps)
    found.attrs |= {
        "limits": {"alignment": (-1.02, 1.02)},
        "note": f"the best frequency holds at most {last.max():.0%} of any head's query-key energy",
        "null": nulls.against(
            "mean size of the alignment over heads",
            float(np.abs(values[-1][is_circle]).mean()) if is_circle.any() else np.nan,
            random_alignment(int(is_circle.sum())),
            "99 % of random weights",
        ),
    }
    return found


view = View(
    question="Do queries and keys agree in phase?",
    reading="1: a token's score is largest with itself; -1: least; 0: a quarter of a period off, at the frequency that "
    "holds most of the head's query-key energy at the end. Where that is little, the weights compare no tokens and "
    "the curve means nothing: in modular addition only the last token asks.",
    needs=analyzer,
    table=table,
    draw=lines("step", "alignment", "head", titles={"alignment": "alignment of query and key"}),
)
