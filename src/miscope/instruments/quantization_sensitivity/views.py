"""What rounding the weights costs in accuracy, in loss, and matrix by matrix."""

from typing import Literal, get_args

import numpy as np
import pandas as pd

from miscope.instruments.quantization_sensitivity.measure import LEAST_LOSS, Sensitivity, Split, costs, rounded_kinds
from miscope.plugin import Context, NotApplicable, Null, Table, heatmap, lines, long, theme, view

WEIGHTS = dict(zip(("float32", "INT8", "INT4"), (theme.INK, *theme.PALETTE), strict=False))
WEIGHTS["noise as large as INT4's"] = theme.GREY


@view(
    question="When can the network be quantized?",
    reading="The share of right answers with all weights rounded. Where the INT4 curve meets the black one, four bits "
    "are enough. The grey curve adds noise of INT4's size instead: where it is as low, the size of the rounding error "
    "matters, and not the grid.",
    draw=lines("step", "accuracy", "weights", "split"),
)
def overview(sensitivity: Sensitivity, context: Context, null: Null) -> Table:
    """One row per (split, weights, step); `accuracy` in [0, 1] with all matrices rounded, or with noise as large."""
    rows, marks = _over_training(sensitivity, "accuracy"), {null.source: null.threshold}
    note = f"{sensitivity.last.n_inputs:,} inputs of the probe; weights alone"
    return Table(rows, limits={"accuracy": (-0.03, 1.03)}, marks=marks, note=note, colors=WEIGHTS)


@view(
    question="How large is the rounding error of the weights?",
    reading="The rounding error as a fraction of the weights, on a logarithmic axis. Gaussian weights have about 1 % "
    "at eight bits and 9 % at four; a few large weights among many small ones have more.",
    draw=lines("step", "error", "matrix", "bits", log_y=True, titles={"error": "rounding / weight"}),
)
def errors(sensitivity: Sensitivity, context: Context) -> Table:
    """One row per (bits, matrix, step); `error` is the size of the rounding over that of the weight."""
    values, last = sensitivity.stack("error").transpose(2, 1, 0), sensitivity.last
    bits = [f"INT{n}" for n in last.bits]
    return Table(long("error", values, bits=bits, matrix=rounded_kinds(last), step=sensitivity.steps))


@view(
    question="What does quantization cost in loss?",
    reading="The mean cross-entropy with all weights rounded, on a logarithmic axis. Four bits destroy a memorised "
    "train loss of 1e-7 long before an answer becomes wrong. The distance to the black curve is the cost.",
    draw=lines("step", "loss", "weights", "split", log_y=True, titles={"loss": "loss (nats)"}),
)
def losses(sensitivity: Sensitivity, context: Context) -> Table:
    """One row per (split, weights, step); `loss` in nats with all matrices rounded, or with noise as large."""
    rows = _over_training(sensitivity, "loss")
    return Table(rows.assign(loss=np.maximum(rows["loss"], LEAST_LOSS)), colors=WEIGHTS)


@view(
    question="Which matrices does the network need in full precision?",
    reading="By how many powers of ten the loss rises when one matrix alone is rounded; `all` rounds every matrix. "
    "Matrices whose rows stay dark can be stored in few bits at any step.",
    draw=heatmap("step", "matrix", "change", titles={"change": "log10 (loss rounded / loss)", "matrix": " "}),
)
def matrices(
    sensitivity: Sensitivity, context: Context, *, bits: Literal["4", "8"] = "4", split: Split = "test"
) -> Table:
    """One row per (matrix, step); `change` is log10 of the loss with that matrix rounded over the loss without."""
    last = sensitivity.last
    if getattr(last, f"{split}_loss") is None:
        raise NotApplicable(f"The sample of the probe has no {split} inputs.")
    cost = costs(sensitivity, split)[:, :, last.bits.tolist().index(int(bits))]
    rows = long("change", np.log10(cost).T, matrix=rounded_kinds(last), step=sensitivity.steps)
    return Table(rows, note=f"INT{bits}, {split} inputs")


def _over_training(sensitivity: Sensitivity, measure: str) -> pd.DataFrame:
    """One row per (split, weights, step) of `loss` or `accuracy`; a split that the probe lacks has no row."""
    splits = [split for split in get_args(Split) if getattr(sensitivity.last, f"{split}_{measure}") is not None]
    curves = []  # [split weights step]
    for split in splits:
        plain, rounded, noise = (sensitivity.stack(f"{of}{split}_{measure}") for of in ("plain_", "", "noise_"))
        curves.append(np.vstack([plain, rounded[:, -1].T, noise[:, -1]]))
    return long(measure, np.stack(curves), split=splits, weights=tuple(WEIGHTS), step=sensitivity.steps)
