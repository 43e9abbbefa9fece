"""Shows when in training the network becomes one that can be quantized."""

import pandas as pd

from miscope.analyzers.quantization_sensitivity import QuantizationSensitivity, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import guessing, nulls
from miscope.views.shared.quantized import judged_split, over_training


def table(sensitivity: Artifact[QuantizationSensitivity], context: Context) -> pd.DataFrame:
    """One row per (split, weights, step); `accuracy` in [0, 1] with all matrices rounded, or with noise as large."""
    found = over_training(sensitivity, "accuracy")
    last, split = sensitivity[sensitivity.steps[-1]], judged_split(sensitivity)
    is_split = context.probe.is_train == (split == "train")
    n_inputs = max(1, round(last.n_inputs * is_split.mean()))  # of the sample, about
    lucky = guessing.luckiest_share(n_inputs, guessing.chance(context.probe, is_split))
    accuracy = getattr(last, f"{split}_accuracy")[-1, -1]
    found.attrs |= {
        "limits": {"accuracy": (-0.03, 1.03)},
        "marks": {guessing.SOURCE: lucky},
        "note": f"{last.n_inputs:,} inputs of the probe; weights alone",
        "null": nulls.against(f"{split} accuracy at INT4", accuracy, lucky, guessing.SOURCE, text=nulls.percent),
    }
    return found


view = View(
    question="When does the network become quantizable?",
    reading="The share of right answers with all weights rounded. From where the INT4 curve lies on the black one, "
    "four bits are enough. The grey curve has noise of INT4's size instead: where it is as low, the size of the "
    "rounding is what hurts, not the grid.",
    needs=analyzer,
    table=table,
    draw=lines("step", "accuracy", "weights", "split"),
)
