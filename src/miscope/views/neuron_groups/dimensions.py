"""Shows when the neurons of one frequency come to lie in a plane."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.neuron_groups import NeuronGroups, analyzer
from miscope.views.shared import nulls
from miscope.views.shared.groups import names, note, there_are_none, tones


def table(groups: NeuronGroups, context: Context, *, n: int = 2) -> pd.DataFrame:
    """One row per (group, step); `share` of the group's variance in its first `n` principal components."""
    found = long("share", groups.share[:, :, :n].sum(axis=2), group=names(groups), step=groups.steps)
    found.attrs |= {"limits": {"share": (0.0, 1.02)}, "tones": tones(groups), "note": note(groups)}
    found.attrs["null"] = _verdict(groups, n)
    return found


def _verdict(groups: NeuronGroups, n: int) -> str:
    """By the same neurons before training, when they were a group of that size without a frequency."""
    share = groups.share[groups.frequency > 0, :, :n].sum(axis=2)
    if not len(share):
        return there_are_none(groups)
    if groups.steps[0] != 0:
        return nulls.none("there is no checkpoint of step 0, the untrained network")
    first, last = np.median(share[:, [0, -1]], axis=0)
    source = f"the same neurons before training with a margin of {nulls.MARGIN:g}"
    return nulls.against(
        f"the median group's share in {n} components", last, nulls.MARGIN * first, source, text=nulls.percent
    )


view = View(
    question="When do neurons of one frequency come to lie in a plane?",
    reading="The share of the variance of a group's input weights in its first two principal components, the cosine "
    "and the sine of its frequency. All neurons together need two for each frequency.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "group", titles={"share": "variance in two components"}, labelled=True),
)
