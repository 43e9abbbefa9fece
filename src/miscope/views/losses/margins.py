"""Shows by how much the right logit wins, on average and for the worst input."""

import pandas as pd

from miscope.analyzers.losses import Losses, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import guessing
from miscope.views.shared.tidy import joined, long, over_steps


def table(losses: Artifact[Losses], context: Context) -> pd.DataFrame:
    """One row per (statistic, split, step); `margin` is the right logit minus the best wrong one."""
    parts = []
    for statistic in ("mean", "min"):
        values = over_steps(losses, f"train_margin_{statistic}", f"test_margin_{statistic}")
        parts.append(long("margin", values, step=losses.steps, split=("train", "test")).sort_values(["split", "step"]))
    found = joined(parts, ("mean over inputs", "worst input"), "statistic")
    right = losses[losses.steps[-1]].is_correct
    said = guessing.of_accuracy(context, right, "{} inputs on which the right answer wins")
    found.attrs |= {"marks": {"a tie": 0.0}, "null": said}
    return found


view = View(
    question="By how much does the right answer win?",
    reading="The margin is the right logit minus the best wrong one: above zero the answer is right. The network "
    "has learned every input of a split only when the worst margin of that split is above zero.",
    needs=analyzer,
    table=table,
    draw=lines("step", "margin", "split", "statistic", titles={"margin": "margin (logits)"}),
)
