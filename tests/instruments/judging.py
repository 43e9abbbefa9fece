"""What an instrument says about chance, of a source that a test has made."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from miscope.catalog import builtin
from miscope.core import Context, Probe
from miscope.instrument import Artifact, Null, null_of
from miscope.maths.spectra import Basis

P = 13


def _addition() -> Context:
    """Addition modulo 13, trained on a third of all pairs."""
    a, b = np.divmod(np.arange(P * P), P)
    probe = Probe(np.stack([a, b, np.full(P * P, P)], axis=1), (a + b) % P, np.arange(P * P) % 3 == 0)
    names = {"grid_axes": ("a", "b"), "position_names": ("a", "b", "=")}
    return Context(probe, 2, Basis("fourier", P), grid=(P, P), **names)


CONTEXT = _addition()


def judged(view: str, source: Any, context: Context = CONTEXT, step: int | None = None, **options: Any) -> Null:
    """The null of a view; of one that shows a single step, at the last unless a step is given."""
    shown = builtin().view(view)
    assert shown.needs.nulls is not None
    if shown.is_per_step and step is None:
        step = source.steps[-1]
    nulls = tuple(shown.needs.nulls(source, context))
    return null_of(nulls, shown.null or shown.leaf, step, {**shown.options, **options})


def assert_told_apart(view: str, beyond: Any, within: Any, context: Context = CONTEXT, **options: Any) -> None:
    """One source is beyond the null of a view, and the other, of which chance may make as much, is not."""
    assert judged(view, beyond, context, **options).is_beyond
    assert judged(view, within, context, **options).verdict == "Within its null"


def path(*outputs: Any, first: int = 0) -> Artifact[Any]:
    """Outputs at steps 0, 100, ... or from `first` on."""
    return over({first + 100 * i: output for i, output in enumerate(outputs)})


def over(outputs: Mapping[int, Any]) -> Artifact[Any]:
    """Outputs by step, as an instrument's artifact."""
    return Artifact(tuple(outputs), outputs.__getitem__)
