"""Which neurons to show, and the scale to show them on: chosen once, at the last checkpoint, so that nothing jumps."""

from typing import Any

import numpy as np

from miscope.core import Artifact, Context, Output
from miscope.maths.null_distributions import gain
from miscope.maths.spectra import Basis, variance_fractions
from miscope.views.shared import nulls
from miscope.views.shared.tidy import once


@once
def representative(
    artifact: Artifact[Output], basis: Basis, grid: tuple[int, ...] | None, layer: int, n: int
) -> tuple[int, ...]:
    """`n` neurons of the last checkpoint: of each peak frequency that of most variance, the largest groups first.

    Groups are gone round until `n` are found. Where the probe is no square grid over the basis: those of most variance.
    """
    last = artifact[artifact.steps[-1]].activation[layer]  # type: ignore[attr-defined]
    variance = last.var(axis=1)
    by_variance = np.argsort(-variance, kind="stable")
    if grid != (basis.size, basis.size):
        return tuple(int(i) for i in by_variance[:n])
    peak = variance_fractions(basis, last.reshape(-1, *grid).astype(np.float32)).argmax(axis=1)
    groups = [[i for i in by_variance if peak[i] == k] for k in np.unique(peak)]
    groups.sort(key=len, reverse=True)
    rounds = [group[r] for r in range(n) for group in groups if r < len(group)]
    return tuple(int(i) for i in rounds[:n])


@once
def activation_range(
    artifact: Artifact[Output], layer: int, neurons: tuple[int, ...]
) -> tuple[tuple[float, float], ...]:
    """The range of each neuron over five checkpoints spread over training, its top at the 99.5 % quantile."""
    steps = artifact.steps
    seen = {steps[round(i * (len(steps) - 1) / 4)] for i in range(5)}
    found = [artifact[s].activation[layer][list(neurons)] for s in sorted(seen)]  # type: ignore[attr-defined]
    low = np.min([x.min(axis=1) for x in found], axis=0)
    high = np.max([np.quantile(x, 0.995, axis=1) for x in found], axis=0)
    return tuple((float(a), float(b) if b > a else float(a) + 1.0) for a, b in zip(low, high, strict=True))


def peak(basis: Basis, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Peak frequency k and its variance fraction of each map over the basis' square grid."""
    fractions = variance_fractions(basis, maps.astype(np.float32))
    return fractions.argmax(axis=1) + 1, fractions.max(axis=1)


def of_answer(artifact: Artifact[Any], context: Context, layer: int, maps: np.ndarray) -> str:
    """The verdict on the neuron of `maps` [neuron batch] whose variance the right answer explains best.

    The null is the larger of two: answers in random order, and the highest of the layer's untrained neurons.
    """
    labels = context.probe.targets
    n_kinds = len(np.unique(labels))
    null, source = gain(len(labels), n_kinds - 1, n_kinds, len(maps)), "99 % of random orders of the answers"
    if artifact.steps[0] == 0 and (start := nulls.MARGIN * _untrained(artifact, layer, tuple(labels.tolist()))) > null:
        null, source = start, f"untrained neurons with a margin of {nulls.MARGIN:g}"
    what = "largest share of a neuron's variance that the right answer explains"
    return nulls.against(what, float(_explained(maps, labels).max()), null, source, text=nulls.percent)


@once
def _untrained(artifact: Artifact[Output], layer: int, labels: tuple[int, ...]) -> float:
    return float(_explained(artifact[0].activation[layer], np.array(labels)).max())  # type: ignore[attr-defined]


def _explained(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each row's variance that lies between the means at each label; 0 where nothing varies."""
    centred = values.astype(np.float64) - values.mean(axis=1, keepdims=True, dtype=np.float64)
    is_of = (labels[:, None] == np.unique(labels)).astype(np.float64)
    between, total = ((centred @ is_of) ** 2 / is_of.sum(axis=0)).sum(axis=1), (centred**2).sum(axis=1)
    return np.divide(between, total, out=np.zeros_like(total), where=total > 0)
