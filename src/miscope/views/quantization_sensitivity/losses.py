"""Shows what quantization costs in loss, where accuracy does not tell."""

import numpy as np
import pandas as pd

from miscope.analyzers.quantization_sensitivity import QuantizationSensitivity, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared.quantized import LEAST_LOSS, against_noise, costs, judged_split, over_training


def table(sensitivity: Artifact[QuantizationSensitivity], context: Context) -> pd.DataFrame:
    """One row per (split, weights, step); `loss` in nats with all matrices rounded, or with noise as large."""
    found = over_training(sensitivity, "loss")
    found = found.assign(loss=np.maximum(found["loss"], LEAST_LOSS))
    split = judged_split(sensitivity)
    cost = float(costs(sensitivity, split, "rounding")[-1, -1, -1])
    found.attrs["null"] = against_noise(f"{split} loss at INT4 over that without", cost, sensitivity, split, -1)
    return found


view = View(
    question="What does quantization cost in loss?",
    reading="Mean cross-entropy with all weights rounded, on a logarithmic axis. A memorised train loss of 1e-7 is "
    "lost at four bits long before an answer is; the distance to the black curve is the cost.",
    needs=analyzer,
    table=table,
    draw=lines("step", "loss", "weights", "split", log_y=True, titles={"loss": "loss (nats)"}),
)
