"""Shows when the network memorises and when it generalises: the loss on inputs it trains on and on the rest."""

import pandas as pd

from miscope.analyzers.losses import Losses, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import guessing
from miscope.views.shared.tidy import long, over_steps


def table(losses: Artifact[Losses], context: Context) -> pd.DataFrame:
    """One row per (step, split); `loss` is the mean cross-entropy in nats. A split without inputs has no row."""
    values = over_steps(losses, "train_loss", "test_loss")
    found = long("loss", values, step=losses.steps, split=("train", "test")).sort_values(["split", "step"])
    found.attrs["null"] = guessing.of_loss(losses, context)
    return found


view = View(
    question="When does the network memorise, and when does it generalise?",
    reading="Train loss falls first: memorisation. Grokking is the later fall of the test loss. The axis is "
    "logarithmic.",
    needs=analyzer,
    table=table,
    draw=lines("step", "loss", "split", log_y=True, titles={"loss": "loss (nats)"}),
)
