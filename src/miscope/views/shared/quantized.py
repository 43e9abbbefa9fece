"""A measure of the network as it is, quantized, and with noise as large as the rounding, over training."""

from typing import Literal

import numpy as np
import pandas as pd

from miscope.analyzers.quantization_sensitivity import QuantizationSensitivity
from miscope.core import Artifact
from miscope.renderers import theme
from miscope.views.shared import nulls
from miscope.views.shared.tidy import long, once

TONES = {
    "float32": theme.INK,
    "INT8": theme.PALETTE[0],
    "INT4": theme.PALETTE[1],
    "noise as large as INT4's": theme.GREY,
}
LEAST_LOSS = 1e-12  # in nats: what is below is drawn there

Split = Literal["train", "test"]


def over_training(sensitivity: Artifact[QuantizationSensitivity], measure: str) -> pd.DataFrame:
    """One row per (split, weights, step) of `loss` or `accuracy`; a split that the probe lacks has no row."""
    values = {split: _curves(sensitivity, f"{split}_{measure}") for split in ("train", "test")}
    shown = {split: curves for split, curves in values.items() if not np.isnan(curves).all()}
    found = long(
        measure, np.stack(list(shown.values())), split=tuple(shown), weights=tuple(TONES), step=sensitivity.steps
    )
    found.attrs["tones"] = TONES
    return found


def _curves(sensitivity: Artifact[QuantizationSensitivity], field: str) -> np.ndarray:
    """[weights step]; NaN where the split is absent."""
    rows = []
    for output in sensitivity.values():
        quantized, noise = getattr(output, field), getattr(output, f"noise_{field}")
        if quantized is None or noise is None:
            return np.full((len(TONES), len(sensitivity)), np.nan)
        rows.append([getattr(output, f"plain_{field}"), *quantized[-1], noise[-1]])
    return np.array(rows).T


def judged_split(sensitivity: Artifact[QuantizationSensitivity]) -> Split:
    """The test inputs, if the probe has any."""
    return "train" if sensitivity[sensitivity.steps[0]].test_loss is None else "test"


@once
def costs(sensitivity: Artifact[QuantizationSensitivity], split: Split, name: str) -> np.ndarray:
    """[step ... bits]: the loss of `name` (`loss` for rounding, or `noise`) as a multiple of the loss without."""
    fields = {"rounding": f"{split}_loss", "noise": f"noise_{split}_loss", "plain": f"plain_{split}_loss"}
    loss, plain = (np.maximum(sensitivity.stack(fields[key]), LEAST_LOSS) for key in (name, "plain"))
    return loss / plain.reshape(-1, *[1] * (loss.ndim - 1))


def against_noise(what: str, cost: float, sensitivity: Artifact[QuantizationSensitivity], split: Split, at: int) -> str:
    """The verdict on a multiple of the loss: more than what noise as large as the rounding costs at any step?

    `at` numbers the bits. One draw of noise at one step may be lucky, so it is the worst of all steps.
    """
    worst = float(costs(sensitivity, split, "noise")[:, at].max())
    source = f"noise as large (worst step, with a margin of {nulls.MARGIN:g})"
    return nulls.against(what, cost, nulls.MARGIN * worst, source)
