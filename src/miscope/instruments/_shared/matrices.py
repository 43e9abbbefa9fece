"""Weight matrices as curves over training: heads averaged, or one matrix kind head by head."""

import numpy as np
import pandas as pd

from miscope.analyzers.singular_values import SingularValues
from miscope.core import Artifact, MiscopeError
from miscope.views.shared.tidy import long


def kinds(names: tuple[str, ...]) -> tuple[str, ...]:
    """The kind of each matrix: `W_E`, `W_Q`; in a network of several layers `layer 1 W_Q`. Heads share a kind."""
    n_layers = len({name.split(".")[1] for name in names if name.startswith("blocks.")})
    return tuple(_kind(name, n_layers) for name in names)


def _kind(name: str, n_layers: int) -> str:
    parts = name.split(".")
    leaf = next(part for part in reversed(parts) if not part.isdigit())
    return f"layer {parts[1]} {leaf}" if parts[0] == "blocks" and n_layers > 1 else leaf


def over_training(artifact: Artifact[SingularValues], field: str, heads_of: str) -> pd.DataFrame:
    """One row per (matrix, step) of a number per matrix; heads averaged, or the heads of the kind `heads_of` alone."""
    names = artifact[artifact.steps[0]].matrix
    labels = labels_of(names, heads_of)
    shown = list(dict.fromkeys(label for label in labels if label))
    values = artifact.stack(field)  # [step matrix]
    means = np.stack([values[:, [i for i, label in enumerate(labels) if label == s]].mean(axis=1) for s in shown])
    return long(field, means, matrix=shown, step=artifact.steps)


def labels_of(names: tuple[str, ...], heads_of: str) -> tuple[str, ...]:
    """What each matrix is shown as: its kind, shared by heads; or with `heads_of` the heads of that kind alone."""
    return _head_labels(names, kinds(names), heads_of) if heads_of else kinds(names)


def _head_labels(names: tuple[str, ...], of: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """`W_Q head 2` for the matrices of one kind, an empty text for the others."""
    if kind not in of:
        raise MiscopeError(f"There is no matrix `{kind}`; known: {', '.join(dict.fromkeys(of))}.")
    return tuple(
        (f"{kind} head {n.rpartition('.')[2]}" if n.rpartition(".")[2].isdigit() else kind) if k == kind else ""
        for n, k in zip(names, of, strict=True)
    )
