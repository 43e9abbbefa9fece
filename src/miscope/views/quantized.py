"""A measure of the network as it is, quantized, and with noise as large as the rounding, over training."""

import numpy as np
import pandas as pd

from miscope.analyzers.quantization_sensitivity import QuantizationSensitivity
from miscope.core import Artifact
from miscope.renderers import theme
from miscope.views.tidy import long

TONES = {
    "float32": theme.INK,
    "INT8": theme.PALETTE[0],
    "INT4": theme.PALETTE[1],
    "noise as large as INT4's": theme.GREY,
}


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
