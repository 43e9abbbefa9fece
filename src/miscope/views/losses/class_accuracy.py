"""Shows whether some answers are learned before others."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from miscope.analyzers.losses import Losses, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared import guessing, nulls
from miscope.views.shared.nulls import percent
from miscope.views.shared.tidy import long


def table(losses: Artifact[Losses], context: Context) -> pd.DataFrame:
    """One row per (step, class); `accuracy` in [0, 1] over all inputs whose right answer is that class."""
    values = losses.stack("class_accuracy")
    found = long("accuracy", values, step=losses.steps, **{"class": np.arange(values.shape[1])})
    found.attrs |= {"limits": {"accuracy": (0.0, 1.0)}, "null": _said(values[-1], context)}
    return found


def _said(accuracy: Float[np.ndarray, " cls"], context: Context) -> str:
    """Each answer counts alike: one that is always given is right on one of n."""
    inputs = np.bincount(context.probe.targets, minlength=len(accuracy))[np.isfinite(accuracy)]
    n = len(inputs) ** 2 / (1 / inputs).sum()  # of the inputs that would tell as much if answers were even
    null = guessing.luckiest_share(int(n), 1 / len(inputs))
    return nulls.against("mean accuracy over right answers", np.nanmean(accuracy), null, guessing.SOURCE, text=percent)


view = View(
    question="Are some answers learned before others?",
    reading="Each row is one right answer, train and test inputs together. Rows that turn yellow at the same step "
    "are learned at once; a ragged front means that some answers come first.",
    needs=analyzer,
    table=table,
    draw=heatmap("step", "class", "accuracy", titles={"class": "right answer"}),
)
