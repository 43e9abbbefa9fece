"""Shows when the neurons of one frequency come to lie in a plane."""

import pandas as pd

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.neuron_groups import NeuronGroups, analyzer
from miscope.views.groups import names, note, tones
from miscope.views.tidy import long


def table(groups: NeuronGroups, context: Context, *, n: int = 2) -> pd.DataFrame:
    """One row per (group, step); `share` of the group's variance in its first `n` principal components."""
    found = long("share", groups.share[:, :, :n].sum(axis=2), group=names(groups), step=groups.steps)
    found.attrs |= {"limits": {"share": (0.0, 1.02)}, "tones": tones(groups), "note": note(groups)}
    return found


view = View(
    question="When do neurons of one frequency come to lie in a plane?",
    reading="The share of the variance of a group's input weights in its first two principal components, the cosine "
    "and the sine of its frequency. All neurons together need two for each frequency.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "group", titles={"share": "variance in two components"}, labelled=True),
)
