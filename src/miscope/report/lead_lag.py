"""Which measure changed first? Onsets of all measures in the variants of a family, and for every pair which one leads.

A measure is a number that an instrument takes at each checkpoint and that it names (`measures`). Losses are compared on
a logarithmic scale. An onset is the interval between two checkpoints in which the measure reaches half of its total
change and does not fall back.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from miscope.core import MiscopeError
from miscope.instrument import Instrument, Output, OverTraining
from miscope.maths.events import (
    Cost,
    Onset,
    change_points,
    elbow,
    lead,
    onset,
    order_of,
    sharpness,
    sign_test,
    usual_penalty,
)
from miscope.workspace import Workspace
from miscope.workspace.loaded import LoadedVariant
from miscope.workspace.status import command

MOST_ENTRIES = 32  # the entries of a longer list are not measures
LEAST_LOSS = 1e-12  # nats
LEAST_POINTS = 3  # a curve with fewer has no onset
PART = " of "  # in the name of a measure that is one of many: `participation_ratio of W_E`
Curve = tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]
Read = Callable[[LoadedVariant], Mapping[str, Curve]]
KINDS: dict[Cost, str] = {"l2": "level", "linear": "slope"}
LEAST_R2 = 0.9  # the width of a worse logistic fit is not reported


def variants_of(workspace: Workspace, family: str) -> tuple[LoadedVariant, ...]:
    """The variants of one family, by the family's name in params.yaml, without control runs, which must fail.

    Raises:
        MiscopeError: params.yaml declares none.
    """
    declared = workspace.variants
    controls = {v.control for v in declared.values()}
    names = [name for name, v in declared.items() if v.family_name == family and name not in controls]
    if not names:
        known = ", ".join(sorted({v.family_name for v in declared.values()}))
        raise MiscopeError(f"params.yaml declares no variant of `{family}`; it declares variants of: {known}.")
    return tuple(workspace.load(name) for name in names)


def onsets(variants: Sequence[LoadedVariant], *, has_sharpness: bool = False, read: Read | None = None) -> pd.DataFrame:
    """One row per variant and measure with an onset: `before` < onset <= `by` in steps, width and levels of the change.

    With `has_sharpness` also `sharpness`, the fitted width of the change in ln step (see `maths.events.sharpness`; a
    few milliseconds a measure). It is NaN where a logistic curve explains less than nine tenths of the variance, and
    for parts (`x of y`), which are not fitted. `read`, here and below, replaces `measures` for a caller that caches.

    Raises:
        MiscopeError: no artifact of any variant is fresh.
    """
    rows = [
        {"variant": variant.name, "measure": measure, **interval._asdict()}
        | ({"sharpness": np.nan if PART in measure else _width(steps, values)} if has_sharpness else {})
        for variant in variants
        for measure, (steps, values) in (read or measures)(variant).items()
        if (interval := onset(steps, values))
    ]
    if not rows:
        raise _nothing(variants)
    return pd.DataFrame(rows)


def changes(
    variants: Sequence[LoadedVariant], measure: str, penalty: Literal["usual", "elbow"] = "usual",
    *, read: Read | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Change points of one measure: `before` < change <= `by` in steps, the `kind` of change, and the penalty used.

    `kind` is `level` or `slope`. The penalty at the `elbow` is the middle of the widest range with as many changes.

    Raises:
        MiscopeError: no fresh artifact of any variant has this measure.
    """
    curves = {variant.name: (read or measures)(variant) for variant in variants}
    if not any(measure in known for known in curves.values()):
        raise MiscopeError(f"No fresh artifact of {', '.join(curves)} has the measure `{measure}`.")
    rows: list[dict[str, object]] = []
    for name, known in curves.items():
        steps, values = known.get(measure, (np.empty(0, dtype=np.int64), np.empty(0)))
        for cost, kind in KINDS.items() if len(steps) else ():
            at = elbow(steps, values, cost) if penalty == "elbow" else None
            price = at or usual_penalty(values)
            points = change_points(steps, values, price, cost)
            rows += [{"variant": name, "kind": kind, **point._asdict(), "penalty": price} for point in points]
    return pd.DataFrame(rows, columns=["variant", "kind", "before", "by", "penalty"])


def _width(steps: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> float:
    fitted = sharpness(steps, values)
    return fitted.width if fitted and fitted.r2 >= LEAST_R2 else float("nan")


def lead_lag(variants: Sequence[LoadedVariant], *, read: Read | None = None) -> pd.DataFrame:
    """For every pair of measures with an onset: which was first, in how many variants, and by how many steps.

    `first` is the one that leads more often. `leads`, `lags` and `undecided` count variants. `lead` is the median over
    all of them, in steps; `p` the probability of counts at least this uneven if neither led (sign test).

    Raises:
        MiscopeError: no artifact of any variant is fresh.
    """
    onsets = [_onsets_of((read or measures)(variant)) for variant in variants]
    if not any(onsets):
        raise _nothing(variants)
    names = sorted({measure for each in onsets for measure in each})
    rows = (_pair(a, b, [each for each in onsets if a in each and b in each]) for a, b in combinations(names, 2))
    table = pd.DataFrame([row for row in rows if row])
    if not len(table):
        return table
    return table.sort_values(["p", "undecided", "lead"], ascending=[True, True, False], ignore_index=True)


def _nothing(variants: Sequence[LoadedVariant]) -> MiscopeError:
    names = [variant.name for variant in variants]
    return MiscopeError(f"No fresh artifact of {', '.join(names)}. Run `{command(names[0])}`.")


def _pair(a: str, b: str, onsets: list[dict[str, Onset]]) -> dict[str, object] | None:
    if not onsets:
        return None
    orders = [order_of(each[a], each[b]) for each in onsets]
    leads, lags = orders.count(-1), orders.count(1)
    median = float(np.median([lead(each[a], each[b]) for each in onsets]))
    if (lags, -median) > (leads, median):
        a, b, leads, lags, median = b, a, lags, leads, -median
    return {
        "first": a, "then": b, "leads": leads, "lags": lags, "undecided": orders.count(0), "variants": len(onsets),
        "lead": median, "p": sign_test(leads, lags),
    }  # fmt: skip


def _onsets_of(curves: Mapping[str, Curve]) -> dict[str, Onset]:
    return {name: interval for name, (steps, values) in curves.items() if (interval := onset(steps, values))}


def measures(variant: LoadedVariant) -> dict[str, Curve]:
    """Every measure of the instruments with fresh artifacts: its steps and values, the decimal logarithm of losses."""
    curves = {}
    catalog = variant.workspace.catalog
    for name in catalog.stored:
        try:
            artifact = variant.artifact(name)
        except MiscopeError:
            continue  # missing, stale or not applicable; the page Variants says which
        for measure, (steps, values) in _curves(catalog.instrument(name), artifact):
            is_loss = measure.partition(PART)[0].endswith("loss")
            scaled = np.log10(np.maximum(values, LEAST_LOSS)) if is_loss else values
            is_there = np.isfinite(scaled)
            if is_there.sum() >= LEAST_POINTS:
                curves[f"{name}.{measure}"] = steps[is_there], scaled[is_there]
    return curves


def _curves(instrument: Instrument, artifact: Any) -> Iterator[tuple[str, Curve]]:
    """The measures that the instrument names; else every number, and every entry of a named list of numbers."""
    if isinstance(instrument, OverTraining):
        for name, values in (instrument.measures(artifact) if instrument.measures else {}).items():
            yield name, (np.asarray(artifact.steps), np.asarray(values, dtype=np.float64))
        return
    steps, named = np.array(artifact.steps), instrument.measures or _numbers
    measured = [named(output) for output in artifact.values()]
    for name in measured[-1]:
        yield name, (steps, np.array([numbers.get(name, np.nan) for numbers in measured], dtype=np.float64))


def _numbers(output: Output) -> dict[str, float]:
    """Every number of an Output, and every entry of a list of numbers that another field names."""
    fields = vars(output)
    names = {len(v): v for v in fields.values() if isinstance(v, tuple) and 0 < len(v) <= MOST_ENTRIES}
    numbers = {field: value for field, value in fields.items() if isinstance(value, float)}
    for field, value in fields.items():
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f" and len(value) in names:
            numbers |= {f"{field} of {name}": float(x) for name, x in zip(names[len(value)], value, strict=True)}
    return numbers
