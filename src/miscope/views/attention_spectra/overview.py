"""Shows when each head comes to follow one frequency, in what it asks for and in what it moves."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.attention_spectra import AttentionSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.heads import head_names, of_one_frequency

ASKS, MOVES = "score with each token", "what is moved of a token"


def table(spectra: Artifact[AttentionSpectra], context: Context) -> pd.DataFrame:
    """One row per (part, head, step); `share` of the energy at the best frequency of that step.

    Where inputs do not all end on the same token, the score is that of tokens with tokens, at one frequency.
    """
    first = spectra[spectra.steps[0]]
    score = spectra.stack("qk_share" if first.score_share is None else "score_share")
    best = np.stack([x.max(axis=-1).reshape(len(x), -1).T for x in (score, spectra.stack("value_share"))])
    found = long("share", best, part=(ASKS, MOVES), head=head_names(score.shape[1], score.shape[2]), step=spectra.steps)
    found.attrs |= {"limits": {"share": (0.0, 1.02)}, **of_one_frequency(score[-1])}
    return found


view = View(
    question="When does each head come to follow a single frequency?",
    reading="Above: the share of the best frequency in a head's score with each token; below, in what it moves of a "
    "token. A head that steers by one wave of the input nears 1 above; below, heads carry all key frequencies.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "head", "part", titles={"share": "share at the best frequency"}),
)
