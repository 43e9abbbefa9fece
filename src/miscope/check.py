"""The checks that every instrument must pass, for authors of instruments in this package or elsewhere."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from miscope.calibration.toys import Toy, toys
from miscope.catalog import Plugin
from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import Artifact, Case, Instrument, Null, Output, Table, View, null_of
from miscope.keys import digest_of_arrays
from miscope.renderers import Frame
from miscope.workspace.store import faults_of


def check_instrument(plugin: Plugin, **settings: Any) -> list[str]:
    """The faults of an instrument, its views and its known answers, as sentences; an empty list if there are none.

    The instrument measures small runs (`calibration.toys`). It must be pure and deterministic, and return what its
    annotations say. Every view must have a null, a drawing and a table of finite numbers, and must stay within its null
    on networks that learned nothing. The known answers must be reproduced. `settings` can make an expensive one cheap.
    """
    try:
        instrument, views = plugin.instrument, plugin.views
    except MiscopeError as wrong:
        return [str(wrong)]
    faults = [f"{case.words}: {fault}" for case in plugin.cases for fault in _wrong_answers(case)]
    n_applied = 0
    for toy in toys().values():
        try:
            with warnings.catch_warnings(action="error", category=RuntimeWarning):  # a division by zero is a fault
                faults_here = list(_faults_on(toy, instrument, views.values(), settings))
            faults += [f"on `{toy.name}`: {fault}" for fault in faults_here]
            n_applied += 1
        except NotApplicable as reason:
            faults += [] if str(reason).endswith(".") else [f"its reason is no sentence: {reason}"]
        except Exception as error:  # a plugin may raise anything
            faults.append(f"on `{toy.name}`: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return faults if n_applied or faults else ["it applies to none of the small runs, so nothing was checked"]


def _wrong_answers(case: Case) -> Iterator[str]:
    for answer in case.answers():
        if not answer.is_right:
            yield f"{answer.quantity} is {answer.measured}; the known answer is {answer.expected} ± {answer.tolerance}"


def _faults_on(toy: Toy, instrument: Instrument, views: Iterable[View], settings: Mapping[str, Any]) -> Iterator[str]:
    before = _digest(toy)
    artifact = toy.artifact(instrument, **settings)
    outputs = list(artifact.values()) if isinstance(artifact, Artifact) else [artifact]
    for output in outputs:
        yield from faults_of(output)
    if not toy.is_blank:
        again = toy.artifact(instrument, **settings)
        repeated = list(again.values()) if isinstance(again, Artifact) else [again]
        if [_digest_of(output) for output in outputs] != [_digest_of(output) for output in repeated]:
            yield "it gives different numbers when it is called twice"
    nulls = toy.nulls(instrument, artifact)
    for view in views:
        yield from _faults_of_view(view, toy, artifact, nulls)
    if _digest(toy) != before:
        yield "it modifies the weights or the probe"


def _faults_of_view(view: View, toy: Toy, artifact: Any, nulls: Sequence[Null]) -> Iterator[str]:
    """Checks the table of the last step; of an instrument that is never stored, whose tables hold its nulls, all."""
    steps = tuple(artifact) if view.is_per_step else (None,)
    measured = {step: null_of(nulls, view.null or view.leaf, step, view.options) for step in steps}
    try:
        tables = {
            step: view.tabulate(artifact, toy.context, nulls, step) for step in (steps if not nulls else steps[-1:])
        }
    except NotApplicable:
        return
    measured |= {step: table.null for step, table in tables.items() if table.null is not None}
    for step, null in measured.items():
        if "measures none" in null.sentence:
            yield f"`{view.leaf}` has no null{'' if step is None else f' at step {step}'}"
        if null.is_beyond and toy.is_blank:
            yield f"`{view.leaf}` of networks that learned nothing: {null.sentence}"
    if not toy.is_blank:
        yield from _faults_of_drawing(view, tables[steps[-1]], steps[-1])


def _faults_of_drawing(view: View, table: Table, step: int | None) -> Iterator[str]:
    data = table.data
    if not len(data):
        yield f"the table of `{view.leaf}` is empty"
        return
    for column in data:
        if not str(column).replace("_", "").isalnum() or str(column) != str(column).lower():
            yield f"the column `{column}` of `{view.leaf}` is not a name in lower case"
        if data[column].isna().any() or (data[column].dtype.kind == "f" and not np.isfinite(data[column]).all()):
            yield f"the column `{column}` of `{view.leaf}` has values that are missing or not finite"
    before, frame = data.copy(deep=True), Frame(view.question, "label", step)
    if view.draw(table, frame).to_json() != view.draw(table, frame).to_json():
        yield f"drawing `{view.leaf}` twice gives different figures"
    if not before.equals(data):
        yield f"drawing `{view.leaf}` changes its table"


def _digest_of(output: Output) -> str:
    return digest_of_arrays(
        {f.name: np.asarray(v) for f in fields(output) if (v := getattr(output, f.name)) is not None}
    )


def _digest(toy: Toy) -> str:
    """A digest of everything that an instrument could modify by mistake."""
    probe = {f.name: v for f in fields(toy.context.probe) if (v := getattr(toy.context.probe, f.name)) is not None}
    weights = {f"{step} {name}": w for step, one in toy.checkpoints.items() for name, w in one.weights.items()}
    return digest_of_arrays(probe | weights)
