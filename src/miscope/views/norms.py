"""One number per weight matrix as curves over training."""

import pandas as pd

from miscope.core import MiscopeError
from miscope.trackers.weight_norms import WeightNorms
from miscope.views.matrices import kinds
from miscope.views.tidy import long


def of_matrices(norms: WeightNorms, field: str) -> pd.DataFrame:
    """One row per (matrix, step) of a field of the tracker; biases and the scales of norms are left out."""
    shown = [i for i, name in enumerate(norms.matrix) if name.rpartition(".")[2].startswith("W_")]
    if not shown:
        raise MiscopeError(f"There is no weight matrix among {', '.join(norms.matrix)}.")
    names = kinds(tuple(norms.matrix[i] for i in shown))
    return long(field, getattr(norms, field)[shown], matrix=names, step=norms.steps)
