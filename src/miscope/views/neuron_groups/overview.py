"""Shows when the neurons of one frequency take their shape in weight space."""

import pandas as pd
from miscope.views.shared.tidy import long

from miscope.core import Context, View
from miscope.renderers import lines
from miscope.trackers.neuron_groups import SHAPES, NeuronGroups, analyzer
from miscope.views.shared.groups import names, note, of_shape, tones


def table(groups: NeuronGroups, context: Context) -> pd.DataFrame:
    """One row per (group, step); `gain` in R2 of PC3 by a quadratic of PC1 and PC2 over a plane.

    `shape`: flat, or with a gain above the threshold a bowl or a saddle.
    """
    found = long("gain", groups.r2_gain, group=names(groups), step=groups.steps)
    found["shape"] = [SHAPES[i] for i in groups.shape.ravel()]
    last = [f"k = {k}: {SHAPES[s]}" for k, s in zip(groups.frequency, groups.shape[:, -1], strict=True) if k]
    found.attrs |= {
        "limits": {"gain": (-0.02, 1.0)},
        "marks": {"flat below": groups.least_gain},
        "tones": tones(groups),
        "null": of_shape(groups),
        "note": f"{note(groups)}. At the end {', '.join(last) or 'there is no group'}",
    }
    return found


view = View(
    question="What shape do neurons of one frequency take in weight space?",
    reading="How much of the third principal component of a group's input weights a quadratic of the first two "
    "explains, beyond a plane. Below the dashed line, or what chance may give a small group, the group is flat; above "
    "it is bent, by the signs of its curvatures into a bowl or a saddle.",
    needs=analyzer,
    table=table,
    draw=lines("step", "gain", "group", titles={"gain": "gain in R2 of a quadratic"}, labelled=True),
)
