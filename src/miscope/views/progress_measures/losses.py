"""Shows the loss if the logits were filtered, on each split and by each filter.

Source: Nanda et al. 2023, arXiv:2301.05217, sections 4.4 and 5.1.
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.progress_measures import ProgressMeasures, analyzer
from miscope.views.shared.progress import note, verdict_on_loss

NAMES = ("restricted, all inputs", "restricted, train", "restricted, test", "cosines alone, all inputs")


def table(measures: ProgressMeasures, context: Context) -> pd.DataFrame:
    """One row per (measure, step); `loss` in nats. Without a key: no rows."""
    values = np.concatenate([measures.restricted_loss, measures.trig_loss[None]])
    found = long("loss", values, measure=NAMES, step=measures.steps)
    split, words = (0, "restricted loss") if context.probe.is_train.all() else (2, "restricted test loss")
    said = verdict_on_loss(measures, context, split, f"{words} at the end")
    found.attrs |= {"note": note(measures), "null": said}
    return found


view = View(
    question="How good would the network be with its key frequencies alone?",
    reading="Three curves that lie together: what the filter keeps knows nothing of which inputs were trained on. "
    "Where cosines of s less c are better still, the rest of what the filter keeps is noise.",
    needs=analyzer,
    table=table,
    draw=lines("step", "loss", "measure", log_y=True, titles={"loss": "loss (nats)"}),
)
