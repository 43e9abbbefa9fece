"""Shows which component writes the right answer, over training."""

import pandas as pd

from miscope.analyzers.logit_lens import LogitLens, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.tidy import long


def table(lens: Artifact[LogitLens], context: Context) -> pd.DataFrame:
    """One row per (component, step); `attribution` in logits, mean over the probe."""
    first = lens[lens.steps[0]]
    found = long("attribution", lens.stack("attribution").T, component=first.component, step=lens.steps)
    found.attrs["note"] = f"right logit less {first.against}"
    return found


view = View(
    question="Which component writes the right answer?",
    reading="What each component adds directly to the right logit, less what it adds to the foil, or to the mean "
    "logit where the task names none. The curves add up to the whole lead; below 0 a component votes against.",
    needs=analyzer,
    table=table,
    draw=lines("step", "attribution", "component", labelled=True, titles={"attribution": "adds to the lead (logits)"}),
)
