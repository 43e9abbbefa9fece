"""Runs instruments where artifacts are missing or stale; opens what they wrote, with proof of its origin.

Work is keyed by (weights, probe, instrument, settings) per checkpoint: what is fresh stays as it lies, what is not is
computed, what no checkpoint asks for is removed. Filling gaps and computing from nothing give the same bytes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from miscope import catalog, config, freshness, store
from miscope.core import (
    Analyzer,
    Artifact,
    Checkpoint,
    Context,
    MiscopeError,
    NotApplicable,
    Output,
    OverTraining,
    PerCheckpoint,
    looked_at,
)
from miscope.observation import observed, observed_over_training
from miscope.store import Folder, Provenance

Progress = Callable[[Iterable[int]], Iterable[int]]
Compute = Callable[[Path, str, str, int], Output]  # (root, variant, instrument, step)


@dataclass(frozen=True)
class Summary:
    """What one stage did, in numbers of Outputs."""

    computed: int
    kept: int
    removed: int
    reason: str = ""  # why the instrument does not apply, if it does not

    def __str__(self) -> str:
        if self.reason:
            return f"not applicable: {self.reason}"
        return f"{self.computed} computed, {self.kept} fresh, {self.removed} removed"


# ---------------------------------------------------------------- computing


def write_probe(root: Path, name: str) -> int:
    """Write the variant's probe and context; what comes back is the number of inputs."""
    variant = config.load(root).variant(name)
    context = variant.family.context(variant.data_seed)
    store.save_context(store.folder(root, name).probe, context)
    return len(context.probe.tokens)


def bring_up_to_date(root: Path, variant: str, instrument: str, progress: Progress = lambda steps: steps) -> Summary:
    """Compute the Outputs of one instrument that are missing or stale, and remove those that nothing asks for.

    Raises:
        MiscopeError: the checkpoints or the probe are missing or damaged, or an artifact that a tracker needs is stale.
    """
    return bring_all_up_to_date(root, variant, (instrument,), progress)[instrument]


def bring_all_up_to_date(
    root: Path, variant: str, instruments: Sequence[str], progress: Progress = lambda steps: steps
) -> dict[str, Summary]:
    """The same for several; those that look at one checkpoint share its forward pass, trackers come after them.

    Raises:
        MiscopeError: as for one.
    """
    config.load(root).variant(variant)
    folder = store.folder(root, variant)
    found = {name: catalog.instrument(name) for name in instruments}
    context = store.load_context(_existing(folder.probe, folder))
    for name in instruments:
        folder.instrument(name).mkdir(parents=True, exist_ok=True)
    settings = {name: config.load(root).settings(name) for name in instruments}
    plans = [_plan(folder, a, settings[name]) for name, a in found.items() if isinstance(a, PerCheckpoint)]
    _analyze(folder, plans, context, progress)
    summaries = {plan.analyzer.name: _swept(folder, plan) for plan in plans}
    for name, analyzer in found.items():
        if isinstance(analyzer, OverTraining):
            summaries[name] = _track(root, folder, analyzer, context, settings[name])
    return {name: summaries[name] for name in instruments}


@dataclass
class _Plan:
    """What one analyzer is to look at, and in the end what kept it from doing so."""

    analyzer: PerCheckpoint
    settings: Mapping[str, Any]
    expected: dict[int, Provenance]
    stale: tuple[int, ...]
    reason: NotApplicable | None = None


def _plan(folder: Folder, analyzer: PerCheckpoint, settings: Mapping[str, Any]) -> _Plan:
    steps = looked_at(freshness.checkpoint_steps(folder), settings)
    try:
        _check_applies(analyzer, folder, steps)
    except NotApplicable as reason:
        return _Plan(analyzer, settings, {}, (), reason)
    expected = {
        step: freshness.provenance(folder, analyzer, settings, freshness.weights_at(folder, step)) for step in steps
    }
    stale = tuple(step for step in steps if not freshness.is_fresh(folder.output(analyzer.name, step), expected[step]))
    return _Plan(analyzer, settings, expected, stale)


def _analyze(folder: Folder, plans: Sequence[_Plan], context: Context, progress: Progress) -> None:
    """Look at every checkpoint once, with all analyzers whose Outputs of it are stale."""
    for step in progress(sorted({step for plan in plans for step in plan.stale})):
        looking = [plan for plan in plans if step in plan.stale and plan.reason is None]
        if not looking:
            continue
        checkpoint = store.load_checkpoint(folder.checkpoint(step))
        seen = observed(checkpoint, context, [plan.analyzer for plan in looking])
        for plan, view in zip(looking, seen, strict=True):
            try:
                output = plan.analyzer.compute(view, context, **freshness.of_compute(plan.settings))
            except NotApplicable as reason:
                plan.reason = reason
                continue
            store.save_output(folder.output(plan.analyzer.name, step), output, plan.expected[step])


def _swept(folder: Folder, plan: _Plan) -> Summary:
    """Remove what nothing asks for; where the analyzer does not apply, that is all but the reason."""
    name = plan.analyzer.name
    if plan.reason is not None:
        return _not_applicable(folder, plan.analyzer, plan.settings, plan.reason)
    removed = store.sweep(folder.instrument(name), keep={folder.output(name, step) for step in plan.expected})
    return Summary(len(plan.stale), len(plan.expected) - len(plan.stale), removed)


def _not_applicable(folder: Folder, analyzer: Analyzer, settings: Mapping[str, Any], reason: NotApplicable) -> Summary:
    path = folder.not_applicable(analyzer.name)
    store.save_output(
        path,
        freshness.Reason(str(reason)),
        freshness.provenance(folder, analyzer, settings, freshness.model_digest(folder)),
    )
    return Summary(0, 0, store.sweep(path.parent, keep={path}), str(reason))


def compute(checkpoint: Checkpoint, analyzer: PerCheckpoint, context: Context, settings: Mapping[str, Any]) -> Output:
    """One Output, from one forward pass over the probe if the instrument asks for activations."""
    (seen,) = observed(checkpoint, context, [analyzer])
    return analyzer.compute(seen, context, **freshness.of_compute(settings))


def compute_at(root: Path, variant: str, instrument: str, step: int) -> Output:
    """The Output of an instrument that is never stored, at one checkpoint."""
    folder, analyzer = store.folder(root, variant), catalog.instrument(instrument)
    assert isinstance(analyzer, PerCheckpoint), instrument
    context = store.load_context(_existing(folder.probe, folder))
    checkpoint = store.load_checkpoint(_existing(folder.checkpoint(step), folder))
    return compute(checkpoint, analyzer, context, config.load(root).settings(instrument))


def _track(
    root: Path, folder: Folder, analyzer: OverTraining, context: Context, settings: Mapping[str, Any]
) -> Summary:
    path = folder.over_training(analyzer.name)
    try:
        inputs = _inputs(root, folder, analyzer, context)
        expected = freshness.provenance(folder, analyzer, settings, freshness.digest_of_inputs(folder, analyzer))
        if is_stale := not freshness.is_fresh(path, expected):
            store.save_output(path, analyzer.compute(*inputs, context, **settings), expected)
    except NotApplicable as reason:
        return _not_applicable(folder, analyzer, settings, reason)
    return Summary(int(is_stale), int(not is_stale), store.sweep(path.parent, keep={path}))


def _inputs(root: Path, folder: Folder, analyzer: OverTraining, context: Context) -> list[Mapping[int, Any]]:
    seen = [_checkpoints(folder, analyzer, context)] if analyzer.sees_checkpoints else []
    return [*seen, *(_fresh_artifact(root, folder, needed) for needed in analyzer.needs)]


def _fresh_artifact(root: Path, folder: Folder, analyzer: PerCheckpoint) -> Mapping[int, Output]:
    found = artifact(root, folder.name, analyzer.name)
    assert isinstance(found, Artifact), analyzer.name
    return found


def _checkpoints(folder: Folder, analyzer: OverTraining, context: Context) -> Artifact[Checkpoint]:
    """As the tracker sees them, each made anew whenever it is asked for."""

    def seen(step: int) -> Checkpoint:
        return observed_over_training(store.load_checkpoint(folder.checkpoint(step)), context, analyzer)

    return Artifact(freshness.checkpoint_steps(folder), seen)


def _check_applies(analyzer: PerCheckpoint, folder: Folder, steps: tuple[int, ...]) -> None:
    model = store.model_config(folder.checkpoint(steps[0]))
    lacking = [hook for hook in analyzer.needs if hook.startswith("mlp.") and not model.d_mlp]
    if lacking and len(lacking) == len(analyzer.needs):  # one that has other sites looks at those
        raise NotApplicable(f"The model is attention-only (`d_mlp` is 0), so it has no `{lacking[0]}`.")


def _existing(path: Path, folder: Folder) -> Path:
    if not path.is_file():
        raise MiscopeError(f"`{folder.name}` has no {path.name}. Run `{freshness.command(folder.name)}`.")
    return path


# ---------------------------------------------------------------- opening


def artifact(root: Path, variant: str, instrument: str, compute: Compute = compute_at) -> Artifact[Any] | Output:
    """What the instrument wrote: an Artifact, or the one Output of a tracker. Outputs are read when asked for.

    Raises:
        MiscopeError: it is missing or stale; which of its digests disagrees, and the command that makes it.
        NotApplicable: the instrument has nothing to measure here.
    """
    state = freshness.status(root, variant, instrument)
    if state.state == "not applicable":
        raise NotApplicable(state.detail)
    if state.state != "fresh":
        raise MiscopeError(state.sentence)
    folder, analyzer = store.folder(root, variant), catalog.instrument(instrument)
    if isinstance(analyzer, OverTraining):
        return store.load_output(folder.over_training(instrument), analyzer.output_type)
    if analyzer.is_stored:
        load = lambda step: store.load_output(folder.output(instrument, step), analyzer.output_type)  # noqa: E731
    else:
        load = lambda step: compute(root, variant, instrument, step)  # noqa: E731
    steps = looked_at(folder.checkpoint_steps(), config.load(root).settings(instrument))
    return Artifact(steps, lru_cache(maxsize=128)(load))
