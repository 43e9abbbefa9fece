"""Shows which comes first: that the answer is one of the two, or which of the two it is."""

import pandas as pd
from miscope.views.shared.tidy import joined, long, over_steps

from miscope.analyzers.logit_difference import LogitDifference, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import leads


def table(differences: Artifact[LogitDifference], context: Context) -> pd.DataFrame:
    """One row per (quantity, split, step); `share` in [0, 1], of probability or of inputs."""
    parts = [
        long("share", over_steps(differences, *names).T, split=("train", "test"), step=differences.steps)
        for names in (("train_mass", "test_mass"), ("train_positive", "test_positive"))
    ]
    found = joined(parts, ("probability of the two answers", "inputs on which the right one leads"), "quantity")
    null = leads.of_share(differences[differences.steps[-1]], context)
    found.attrs |= {"limits": {"share": (0.0, 1.05)}, "marks": {"1/2": 0.5}, "null": null}
    return found


view = View(
    question="Does the network know the two candidates before it knows which of them is right?",
    reading="Above: how much probability right answer and distractor have together. Below: on how many inputs the right one "
    "is ahead of the distractor. Probability at 1 with half of the inputs right is a network that guesses between the two.",
    needs=analyzer,
    table=table,
    draw=lines("step", "share", "split", "quantity"),
)
