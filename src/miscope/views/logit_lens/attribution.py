"""Shows which component writes the right answer, over training."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.logit_lens import LogitLens, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import leads


def table(lens: Artifact[LogitLens], context: Context) -> pd.DataFrame:
    """One row per (component, step); `attribution` in logits, mean over the probe."""
    first = lens[lens.steps[0]]
    found = long("attribution", lens.stack("attribution").T, component=first.component, step=lens.steps)
    found.attrs |= {"note": f"right logit less {first.against}", "null": _verdict(lens[lens.steps[-1]], context)}
    return found


def _verdict(last: LogitLens, context: Context) -> str:
    """On the component that adds most."""
    best = int(last.attribution.argmax())
    n = leads.toss_ups(context, np.ones(len(context.probe.targets), dtype=bool))
    mean, spread = float(last.attribution[best]), float(last.spread[best])
    return leads.of_mean(f"mean addition of {last.component[best]}", mean, spread, n, len(last.component))


view = View(
    question="Which component writes the right answer?",
    reading="What each component adds directly to the right logit, less what it adds to the distractor, or to the mean "
    "logit where the task names none. The curves add up to the whole lead; below 0 a component votes against.",
    needs=analyzer,
    table=table,
    draw=lines("step", "attribution", "component", labelled=True, titles={"attribution": "adds to the lead (logits)"}),
)
