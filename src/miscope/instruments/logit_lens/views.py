"""After which layer the answer is there, and which component writes it."""

from typing import Literal

import numpy as np

from miscope.instruments.logit_lens.measure import LogitLens
from miscope.plugin import Artifact, Context, Table, joined, lines, long, view

Measure = Literal["accuracy", "loss"]
TITLES = {"accuracy": "accuracy", "loss": "loss (nats)"}


@view(
    question="After which layer is the answer right?",
    reading="The unembedding is applied to the residual stream at the answer position after each layer, as if the "
    "network ended there. The first curve that rises belongs to the layer that completes the answer; earlier layers "
    "only prepare it.",
    draw=lines("step", "value", "point", "split", titles={"value": "accuracy"}),
)
def overview(lens: Artifact[LogitLens], context: Context, *, measure: Measure = "accuracy") -> Table:
    """One row per (split, point, step); `value` is accuracy in [0, 1] or loss in nats, of an answer given there."""
    splits = [split for split in ("train", "test") if getattr(lens.last, f"{split}_{measure}") is not None]
    stacked = [lens.stack(f"{split}_{measure}").T for split in splits]
    parts = [long("value", values, point=lens.last.point, step=lens.steps) for values in stacked]
    rows = joined(parts, splits, "split")
    top = 1.05 * (1 if measure == "accuracy" else float(np.max(rows["value"])))
    return Table(rows, titles={"value": TITLES[measure]}, limits={"value": (0.0, top)})


@view(
    question="Which component writes the right answer?",
    reading="What each component adds directly to the right logit, minus what it adds to the distractor, or to the "
    "mean logit where the task has no distractor. The curves add up to the total lead; a component below 0 lowers it.",
    draw=lines("step", "attribution", "component", labelled=True, titles={"attribution": "adds to the lead (logits)"}),
)
def attribution(lens: Artifact[LogitLens], context: Context) -> Table:
    """One row per (component, step); `attribution` in logits, mean over the probe."""
    rows = long("attribution", lens.stack("attribution").T, component=lens.last.component, step=lens.steps)
    return Table(rows, note=f"right logit less {lens.last.against}")
