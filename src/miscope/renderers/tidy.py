"""Arrays to tidy tables, and what views must not compute twice."""

import weakref
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from miscope.core import Context
from miscope.instrument import Artifact, Output

R = TypeVar("R")


def long(name: str, values: np.ndarray, /, **axes: Sequence[Any] | np.ndarray) -> pd.DataFrame:
    """One row per cell of `values` that was measured (is not NaN), in C order; a column per axis, then `name`.

    `axes` gives the labels along each axis of `values`, in order; texts become categories.
    """
    values = np.asarray(values)
    values = values if values.dtype.kind in "biu" else values.astype(np.promote_types(values.dtype, np.float32))
    columns = {axis: _column(values.shape, i, labels) for i, (axis, labels) in enumerate(axes.items())}
    table = pd.DataFrame({**columns, name: values.ravel()}, copy=False)
    return table[~np.isnan(values.ravel())].reset_index(drop=True) if np.isnan(values).any() else table


def _column(shape: tuple[int, ...], axis: int, labels: Sequence[Any] | np.ndarray) -> Any:
    """The labels of one axis, repeated over all cells of `shape` in C order."""
    if len(labels) != shape[axis]:
        raise ValueError(f"axis {axis} has {shape[axis]} cells and {len(labels)} labels")
    inner, outer = int(np.prod(shape[axis + 1 :])), int(np.prod(shape[:axis]))
    codes = np.tile(np.repeat(np.arange(shape[axis]), inner), outer)
    array = np.asarray(labels)
    if array.dtype.kind in "UO":
        return pd.Categorical.from_codes(codes, categories=pd.Index([str(label) for label in labels], dtype=object))
    return array[codes]


def over_steps(artifact: Artifact[Any], *names: str) -> np.ndarray:
    """Number fields of every Output as [step, name]; NaN where a field is None."""
    return np.array([[getattr(o, name) for name in names] for o in artifact.values()], dtype=np.float64)


def joined(tables: Sequence[pd.DataFrame], names: Sequence[str], column: str) -> pd.DataFrame:
    """Tables under one another, each row told apart by `column`."""
    parts = [t.assign(**{column: name}) for t, name in zip(tables, names, strict=True)]
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(**{column: pd.Categorical(whole[column], categories=list(names))})


def probe_axes(context: Context) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Columns `a` and `b` that lay the probe out on a plane, and the titles of the two axes.

    A grid of more than two axes has all but its last along `a`; a probe that is no grid lies along `b`.
    """
    grid = context.grid or (1, len(context.probe.targets))
    height, width = int(np.prod(grid[:-1])), grid[-1]
    names = context.grid_axes if context.grid else ("", "probe input")
    titles = {"a": ", ".join(names[:-1]) or " ", "b": names[-1] if names else "input"}
    a, b = np.divmod(np.arange(height * width, dtype=np.int32), np.int32(width))
    return {"a": a, "b": b}, titles


def names_of_positions(context: Context) -> tuple[str, ...]:
    """One name per position; a number where the family names none."""
    n = context.probe.tokens.shape[1]
    return context.position_names or tuple(str(i) for i in range(n))


def once(function: Callable[..., R]) -> Callable[..., R]:
    """Remembers `function(artifact, *hashable)` for as long as that artifact lives."""
    memory: dict[int, dict[Any, R]] = {}

    @wraps(function)
    def remembered(artifact: Any, *args: Any) -> R:
        key = id(artifact)
        if key not in memory:
            memory[key] = {}
            weakref.finalize(artifact, memory.pop, key, None)
        if args not in memory[key]:
            memory[key][args] = function(artifact, *args)
        return memory[key][args]

    return remembered


@once
def highest(artifact: Artifact[Output], name: str) -> float:
    """The largest value that a field reaches over training: an axis limit that does not jump."""
    return max(float(np.nanmax(np.asarray(getattr(output, name), dtype=np.float64))) for output in artifact.values())
