"""Shows how far the neurons of one frequency lie apart in weight space."""

import pandas as pd

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.neuron_groups import NeuronGroups, analyzer
from miscope.views.groups import names, note, tones
from miscope.views.tidy import long


def table(groups: NeuronGroups, context: Context) -> pd.DataFrame:
    """One row per (group, step); `spread` is the rms distance of the neurons' input weights from their mean."""
    found = long("spread", groups.spread, group=names(groups), step=groups.steps)
    found.attrs |= {
        "limits": {"spread": (0.0, 1.05 * float(groups.spread.max()) or 1.0)},
        "tones": tones(groups),
        "note": note(groups),
    }
    return found


view = View(
    question="How far apart do neurons of one frequency lie?",
    reading="The root mean square distance of the input weights of a group's neurons from their mean, beside that of "
    "all neurons. Groups are those of the final checkpoint, followed backwards.",
    needs=analyzer,
    table=table,
    draw=lines("step", "spread", "group", titles={"spread": "rms distance from the mean"}, labelled=True),
)
