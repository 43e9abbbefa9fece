"""Shows how much of each matrix the rounding takes, whatever it does to the loss."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.quantization_sensitivity import ALL, QuantizationSensitivity, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.matrices import kinds


def table(sensitivity: Artifact[QuantizationSensitivity], context: Context) -> pd.DataFrame:
    """One row per (bits, matrix, step); `error` is the size of the rounding over that of the weight."""
    first = sensitivity[sensitivity.steps[0]]
    values = sensitivity.stack("error").transpose(2, 1, 0)
    names = (*kinds(first.matrix[:-1]), ALL)
    found = long("error", values, bits=[f"INT{n}" for n in first.bits], matrix=names, step=sensitivity.steps)
    found.attrs["null"] = _verdict(sensitivity, names, values[-1])
    return found


def _verdict(sensitivity: Artifact[QuantizationSensitivity], names: tuple[str, ...], errors: np.ndarray) -> str:
    """Whether one matrix fits its grid of four bits better or worse than it did untrained: the one that changed most.

    `errors` is [matrix step].
    """
    start, end = np.log(np.maximum(errors[:, [0, -1]], 1e-12)).T
    most = int(np.abs(end - start).argmax())
    return nulls.against_untrained(
        f"rounding of {names[most]} at INT4",
        sensitivity,
        lambda output: float(output.error[most, -1]),
        is_lower=bool(end[most] < start[most]),
        text=nulls.percent,
    )


view = View(
    question="How well do the weights fit their grids?",
    reading="The size of the rounding as a part of the weight, on a logarithmic axis. Gaussian weights lose near 1 % "
    "at eight bits and near 9 % at four; a few large weights among many small ones lose more.",
    needs=analyzer,
    table=table,
    draw=lines("step", "error", "matrix", "bits", log_y=True, titles={"error": "rounding / weight"}),
)
