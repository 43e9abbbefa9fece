"""Shows which frequencies the logits come to vary with, long before the loss tells."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.logit_spectra import LogitSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared import nulls
from miscope.views.shared.progress import NOISE, share_of_noise

OTHER = "mean of the others"
FLOOR = 1e-9  # shares below are noise of float32 logits


def table(spectra: Artifact[LogitSpectra], context: Context, *, n: int = 6) -> pd.DataFrame:
    """One row per (series, step): the `n` frequencies that ever hold most, and the mean of the others.

    `share` of the logits' energy along that frequency's cosine and sine of s, floored at 1e-9.
    """
    shares = spectra.stack("share")  # [step freq]
    chosen = np.sort(np.argsort(-shares.max(axis=0), kind="stable")[:n])
    others = np.delete(shares, chosen, axis=1)
    rest = others.mean(axis=1, keepdims=True) if others.size else np.full((len(shares), 1), np.nan)
    values = np.maximum(np.concatenate([shares[:, chosen], rest], axis=1), FLOOR).T
    found = long("share", values, series=[*(f"k = {k + 1}" for k in chosen), OTHER], step=spectra.steps)
    first, largest = spectra[spectra.steps[0]], float(shares[-1].max())
    null = share_of_noise(context.basis.size)
    found.attrs |= {
        "marks": {"99 % of noise": null},
        "null": nulls.against("largest share of one frequency at the end", largest, null, NOISE, text=nulls.percent),
        "tones": {OTHER: theme.GREY},
        "note": f"s is {first.along}" + ("" if first.is_native else "; the task has no such input group"),
    }
    return found


view = View(
    question="Which frequencies of the answer do the logits carry, and from when?",
    reading="The share of the logits' energy along the cosine and sine of each frequency of s, on a logarithmic axis. "
    "Curves that leave the grey one behind are the frequencies of a circuit, seen while the loss is still flat; one "
    "that falls back was tried and dropped.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "series", log_y=True, titles={"share": "share of the logits' energy"}, labelled=True),
)
