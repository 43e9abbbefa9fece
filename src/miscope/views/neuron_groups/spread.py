"""Shows how far the neurons of one frequency lie apart in weight space."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.neuron_groups import NeuronGroups, analyzer
from miscope.views.shared import nulls
from miscope.views.shared.groups import names, note, there_are_none, tones


def table(groups: NeuronGroups, context: Context) -> pd.DataFrame:
    """One row per (group, step); `spread` is the rms distance of the neurons' input weights from their mean."""
    found = long("spread", groups.spread, group=names(groups), step=groups.steps)
    found.attrs |= {
        "limits": {"spread": (0.0, 1.05 * float(groups.spread.max()) or 1.0)},
        "tones": tones(groups),
        "note": note(groups),
        "null": _verdict(groups),
    }
    return found


def _verdict(groups: NeuronGroups) -> str:
    """Of the group that is tightest at the end beside all neurons of its layer: a random few lie as far apart."""
    at, last = np.flatnonzero(groups.frequency), groups.spread[:, -1]
    if not at.size:
        return there_are_none(groups)
    whole = np.array([last[(groups.layer == groups.layer[i]) & (groups.frequency == 0)].item() for i in at])
    best = int((last[at] / np.where(whole > 0, whole, 1)).argmin())
    source = f"all neurons with a margin of {nulls.MARGIN:g}"
    what, null = f"spread (group of k = {groups.frequency[at[best]]})", whole[best] / nulls.MARGIN
    return nulls.against(what, float(last[at[best]]), null, source, is_lower=True)


view = View(
    question="How far apart do neurons of one frequency lie?",
    reading="The root mean square distance of the input weights of a group's neurons from their mean, beside that of "
    "all neurons. Groups are those of the final checkpoint, followed backwards.",
    needs=analyzer,
    table=table,
    draw=lines("step", "spread", "group", titles={"spread": "rms distance from the mean"}, labelled=True),
)
