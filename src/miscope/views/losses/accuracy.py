"""Shows the share of right answers on inputs the network trains on and on the rest."""

import pandas as pd

from miscope.analyzers.losses import Losses, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import guessing
from miscope.views.shared.tidy import long, over_steps


def table(losses: Artifact[Losses], context: Context) -> pd.DataFrame:
    """One row per (step, split); `accuracy` in [0, 1]. A split without inputs has no row."""
    values = over_steps(losses, "train_accuracy", "test_accuracy")
    found = long("accuracy", values, step=losses.steps, split=("train", "test")).sort_values(["split", "step"])
    right = losses[losses.steps[-1]].is_correct
    found.attrs |= {"limits": {"accuracy": (-0.03, 1.03)}, "null": guessing.of_accuracy(context, right)}
    return found


view = View(
    question="What share of the inputs does the network get right?",
    reading="Train accuracy near 1 with low test accuracy is memorisation. The gap closes when the network "
    "generalises.",
    needs=analyzer,
    table=table,
    draw=lines("step", "accuracy", "split"),
)
