"""Shows when the network comes to need each key frequency on its training inputs.

Source: Nanda et al. 2023, arXiv:2301.05217, section 5.1 (excluded loss, also by frequency).
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines, theme
from miscope.trackers.progress_measures import ProgressMeasures, analyzer
from miscope.views.shared import nulls
from miscope.views.shared.progress import note, verdict_on_keys

ALL, ANY, NONE = "all keys", "any one, at its worst", "nothing (train loss)"


def table(measures: ProgressMeasures, context: Context) -> pd.DataFrame:
    """One row per (excluded, step); `loss` on the training inputs in nats without one key, all keys, or nothing.

    `any one` takes at each step the frequency that costs most, whichever it is: it knows no keys.
    """
    keys = [f"k = {k}" for k in measures.key_frequency.tolist()]
    values = np.stack([measures.train_loss, measures.excluded_loss, measures.single_loss, *measures.key_excluded_loss])
    found = long("loss", values, excluded=[NONE, ALL, ANY, *keys], step=measures.steps)
    tones = {NONE: theme.GREY, ALL: theme.INK, ANY: theme.PALE}
    found.attrs |= {"tones": tones, "note": note(measures), "null": _said(measures)}
    return found


def _said(measures: ProgressMeasures) -> str:
    if not len(measures.key_frequency):
        return verdict_on_keys(measures)
    found, null = float(measures.key_excluded_loss[:, -1].max()), nulls.MARGIN * float(measures.other_loss[-1])
    source = f"the worst of the other frequencies with a margin of {nulls.MARGIN:g}"
    return nulls.against("train loss without the worst key", found, null, source)


view = View(
    question="When does the network come to need each key frequency?",
    reading="The train loss with a frequency taken out of the logits, on a logarithmic axis. A curve leaves that of "
    "the train loss when answers begin to lean on the frequency. All keys together cost more than any one, as the "
    "others fill in.",
    needs=analyzer,
    table=table,
    draw=lines("step", "loss", "excluded", log_y=True, titles={"loss": "train loss without it (nats)"}, labelled=True),
)
