"""Shows which matrices cannot be rounded, and when."""

from typing import Literal

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.quantization_sensitivity import ALL, QuantizationSensitivity, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import heatmap
from miscope.views.shared.matrices import kinds
from miscope.views.shared.quantized import against_noise, costs


def table(
    sensitivity: Artifact[QuantizationSensitivity],
    context: Context,
    *,
    bits: Literal["4", "8"] = "4",
    split: Literal["train", "test"] = "test",
) -> pd.DataFrame:
    """One row per (matrix, step); `change` is log10 of the loss with that matrix rounded over the loss without."""
    first = sensitivity[sensitivity.steps[0]]
    if getattr(first, f"{split}_loss") is None:
        raise NotApplicable(f"The sample of the probe has no {split} inputs.")
    at, names = first.bits.tolist().index(int(bits)), (*kinds(first.matrix[:-1]), ALL)
    cost = costs(sensitivity, split, "rounding")[:, :, at]  # [step matrix]
    found = long("change", np.log10(cost).T, matrix=names, step=sensitivity.steps)
    worst = int(cost[-1, :-1].argmax())
    found.attrs["note"] = f"INT{bits}, {split} inputs"
    found.attrs["null"] = against_noise(
        f"loss with {names[worst]} alone rounded over that without", float(cost[-1, worst]), sensitivity, split, at
    )
    return found


view = View(
    question="Which matrices does the network need in full?",
    reading="How many powers of ten the loss rises by when one matrix alone is rounded; `all` rounds every one. Rows "
    "that stay dark can be stored in few bits at any step.",
    needs=analyzer,
    table=table,
    draw=heatmap("step", "matrix", "change", titles={"change": "log10 (loss rounded / loss)", "matrix": " "}),
)
