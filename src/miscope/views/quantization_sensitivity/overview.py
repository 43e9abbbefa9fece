"""Shows when in training the network becomes one that can be quantized."""

import pandas as pd

from miscope.analyzers.quantization_sensitivity import QuantizationSensitivity, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.quantized import over_training


def table(sensitivity: Artifact[QuantizationSensitivity], context: Context) -> pd.DataFrame:
    """One row per (split, weights, step); `accuracy` in [0, 1] with all matrices rounded, or with noise as large."""
    found = over_training(sensitivity, "accuracy")
    found.attrs["limits"] = {"accuracy": (-0.03, 1.03)}
    found.attrs["note"] = f"{sensitivity[sensitivity.steps[0]].n_inputs:,} inputs of the probe; weights alone"
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
