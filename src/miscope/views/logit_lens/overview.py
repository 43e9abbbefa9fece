"""Shows after which layer the answer is there, over training."""

from typing import Literal

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import joined, long

from miscope.analyzers.logit_lens import LogitLens, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import guessing, nulls

TITLES = {"accuracy": "accuracy", "loss": "loss (nats)"}


def table(
    lens: Artifact[LogitLens], context: Context, *, measure: Literal["accuracy", "loss"] = "accuracy"
) -> pd.DataFrame:
    """One row per (split, point, step); `value` is accuracy in [0, 1] or loss in nats, of an answer given there."""
    first = lens[lens.steps[0]]
    fields = {split: f"{split}_{measure}" for split in ("train", "test")}
    shown = {split: name for split, name in fields.items() if getattr(first, name) is not None}
    parts = [long("value", lens.stack(name).T, point=first.point, step=lens.steps) for name in shown.values()]
    found = joined(parts, tuple(shown), "split")
    found.attrs |= {"titles": {"value": TITLES[measure]}, "null": _verdict(lens[lens.steps[-1]], context, measure)}
    found.attrs["limits"] = {"value": (0.0, 1.05 if measure == "accuracy" else 1.05 * float(np.max(found["value"])))}
    return found


def _verdict(last: LogitLens, context: Context, measure: Literal["accuracy", "loss"]) -> str:
    """On what is read after the last layer."""
    split, chosen = guessing.judged(context.probe)
    found = float(getattr(last, f"{split}_{measure}")[-1])
    what = f"{split} {measure} {last.point[-1]}"
    if measure == "accuracy":
        return guessing.of_share(what, found, context, chosen)
    return nulls.against(what, found, guessing.entropy(context.probe, chosen), "the best single guess", is_lower=True)


view = View(
    question="After which layer is the answer there?",
    reading="The residual stream at the answer position, read after each layer as if the network ended there. The "
    "first curve that rises tells the layer that completes the answer; those below it only prepare it.",
    needs=analyzer,
    table=table,
    draw=lines("step", "value", "point", "split", titles={"value": "accuracy"}),
)
