"""Shows the generalising circuit form under a flat test loss.

Source: Nanda et al. 2023, arXiv:2301.05217, section 5.2 and figure 7.
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines, theme
from miscope.trackers.progress_measures import ProgressMeasures, analyzer
from miscope.views.shared.progress import note, verdict_on_loss

NAMES = ("train", "test", "restricted", "excluded (train)")


def table(measures: ProgressMeasures, context: Context) -> pd.DataFrame:
    """One row per (measure, step); `loss` in nats. The restricted loss is over all inputs.

    Without a key frequency there are no rows of restricted and excluded loss.
    """
    values = [measures.train_loss, measures.test_loss, measures.restricted_loss[0], measures.excluded_loss]
    found = long("loss", np.stack(values), measure=NAMES, step=measures.steps)
    said = verdict_on_loss(measures, context, 0, "restricted loss at the end")
    found.attrs |= {"tones": dict(zip(NAMES, theme.PALETTE, strict=False)), "note": note(measures), "null": said}
    return found


view = View(
    question="Does the circuit form before the test loss falls?",
    reading="Restricted: the loss if the logits had the key frequencies alone. Excluded: the train loss without them. "
    "Restricted falling and excluded rising while the test loss is high is a circuit that forms unseen; where "
    "restricted is below test, what hides the circuit is memorisation. The keys are known only at the end.",
    needs=analyzer,
    table=table,
    draw=lines("step", "loss", "measure", log_y=True, titles={"loss": "loss (nats)"}),
)
