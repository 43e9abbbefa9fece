"""Runs instruments where artifacts are missing or stale; opens what they wrote, with proof of its origin.

Work is keyed by (weights, probe, instrument, settings) per checkpoint: what is fresh stays as it lies, what is not is
computed, what no checkpoint asks for is removed. Filling gaps and computing from nothing give the same bytes.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from miscope import catalog, config, store
from miscope.core import (
    CHECKPOINTS,
    Analyzer,
    Artifact,
    Checkpoint,
    Context,
    MiscopeError,
    NotApplicable,
    Output,
    OverTraining,
    PerCheckpoint,
    Variant,
    looked_at,
)
from miscope.observation import observed
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


@dataclass(frozen=True)
class Reason(Output):
    """Why an instrument has nothing to measure on a model or task; it holds for all checkpoints of the variant."""

    sentence: str


@dataclass(frozen=True)
class Status:
    """Whether an instrument's artifact can be drawn, and if not, why and which command makes it so."""

    state: Literal["fresh", "stale", "missing", "not applicable"]
    detail: str = ""
    command: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.detail} Run `{self.command}`." if self.command else self.detail


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
    steps = looked_at(_checkpoint_steps(folder), settings)
    try:
        _check_applies(analyzer, folder, steps)
    except NotApplicable as reason:
        return _Plan(analyzer, settings, {}, (), reason)
    expected = {step: _provenance(folder, analyzer, settings, _weights(folder, step)) for step in steps}
    stale = tuple(step for step in steps if not _is_fresh(folder.output(analyzer.name, step), expected[step]))
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
                output = plan.analyzer.compute(view, context, **_of_compute(plan.settings))
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
    store.save_output(path, Reason(str(reason)), _provenance(folder, analyzer, settings, _model_digest(folder)))
    return Summary(0, 0, store.sweep(path.parent, keep={path}), str(reason))


def compute(checkpoint: Checkpoint, analyzer: PerCheckpoint, context: Context, settings: Mapping[str, Any]) -> Output:
    """One Output, from one forward pass over the probe if the instrument asks for activations."""
    (seen,) = observed(checkpoint, context, [analyzer])
    return analyzer.compute(seen, context, **_of_compute(settings))


def _of_compute(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide an Output: at which other checkpoints the instrument looks does not."""
    return {name: value for name, value in settings.items() if name != CHECKPOINTS}


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
        inputs = _inputs(root, folder, analyzer)
        expected = _provenance(folder, analyzer, settings, _digest_of_inputs(folder, analyzer))
        if is_stale := not _is_fresh(path, expected):
            store.save_output(path, analyzer.compute(*inputs, context, **settings), expected)
    except NotApplicable as reason:
        return _not_applicable(folder, analyzer, settings, reason)
    return Summary(int(is_stale), int(not is_stale), store.sweep(path.parent, keep={path}))


def _inputs(root: Path, folder: Folder, analyzer: OverTraining) -> list[Mapping[int, Any]]:
    weights = [_checkpoints(folder)] if analyzer.reads_weights else []
    return [*weights, *(_fresh_artifact(root, folder, needed) for needed in analyzer.needs)]


def _fresh_artifact(root: Path, folder: Folder, analyzer: PerCheckpoint) -> Mapping[int, Output]:
    found = artifact(root, folder.name, analyzer.name)
    assert isinstance(found, Artifact), analyzer.name
    return found


def _checkpoints(folder: Folder) -> Artifact[Checkpoint]:
    return Artifact(_checkpoint_steps(folder), lambda step: store.load_checkpoint(folder.checkpoint(step)))


def _digest_of_inputs(folder: Folder, analyzer: OverTraining) -> str:
    """Of the values that a tracker reads, not of the code that made them: the same numbers leave it fresh."""
    steps = _checkpoint_steps(folder) if analyzer.reads_weights else ()
    weights = (f"{step} {_weights(folder, step)}" for step in steps)
    read = ((needed.name, step) for needed in analyzer.needs for step in folder.output_steps(needed.name))
    outputs = (f"{name} {step} {store.values_digest(folder.output(name, step))}" for name, step in read)
    return store.digest(*weights, *outputs)


def _model_digest(folder: Folder) -> str:
    model = store.model_config(folder.checkpoint(_checkpoint_steps(folder)[0]))
    return store.digest(store.canonical_json(model.declaration()))


def _check_applies(analyzer: PerCheckpoint, folder: Folder, steps: tuple[int, ...]) -> None:
    model = store.model_config(folder.checkpoint(steps[0]))
    lacking = [hook for hook in analyzer.needs if hook.startswith("mlp.") and not model.d_mlp]
    if lacking and len(lacking) == len(analyzer.needs):  # one that has other sites looks at those
        raise NotApplicable(f"The model is attention-only (`d_mlp` is 0), so it has no `{lacking[0]}`.")


# ---------------------------------------------------------------- freshness


def _provenance(folder: Folder, analyzer: Analyzer, settings: Mapping[str, Any], inputs: str) -> Provenance:
    return Provenance(
        instrument=analyzer.name,
        inputs=inputs,
        probe=store.probe_digest(folder.probe),
        code=_code_digest(analyzer.name),
        settings=store.canonical_json(_of_compute(settings)),
    )


def _code_digest(instrument: str) -> str:
    files = catalog.sources(instrument)
    return _digest_of_stamped(files, tuple(f.stat().st_mtime_ns for f in files))


@lru_cache(maxsize=1024)
def _digest_of_stamped(files: tuple[Path, ...], stamps: tuple[int, ...]) -> str:
    return store.digest_of_files(files)


def _weights(folder: Folder, step: int) -> str:
    return store.weights_digest(folder.checkpoint(step))


def _is_fresh(path: Path, expected: Provenance) -> bool:
    """A damaged file is not fresh: it is computed again."""
    try:
        return path.is_file() and store.load_provenance(path) == expected
    except MiscopeError:
        return False


def _checkpoint_steps(folder: Folder) -> tuple[int, ...]:
    steps = folder.checkpoint_steps()
    if not steps:
        raise MiscopeError(f"`{folder.name}` has no checkpoints. Run `dvc repro train@{folder.name}`.")
    return steps


def _existing(path: Path, folder: Folder) -> Path:
    if not path.is_file():
        raise MiscopeError(f"`{folder.name}` has no {path.name}. Run `{command(folder.name)}`.")
    return path


# ---------------------------------------------------------------- opening


def command(variant: str) -> str:
    """What brings a variant up to date."""
    return f"dvc repro report@{variant}"


def status(root: Path, variant: str, instrument: str) -> Status:
    """Whether the artifact is fresh; if it is not, the first difference found, in words."""
    folder, analyzer = store.folder(root, variant), catalog.instrument(instrument)
    make = command(variant)
    if not folder.checkpoint_steps():
        return Status("missing", f"`{variant}` is not trained.", make)
    if not folder.probe.is_file():
        return Status("missing", f"`{variant}` has no probe.", make)
    if not folder.record.is_file():
        return Status("missing", f"The training of `{variant}` has not ended.", make)
    if difference := _other_training(config.load(root).variant(variant), folder):
        return Status("stale", f"`{variant}` was trained with {difference}.", make)
    try:
        return _status(root, folder, analyzer)
    except MiscopeError as damaged:  # its text says what to do
        return Status("stale", str(damaged))


def _other_training(variant: Variant, folder: Folder) -> str:
    """What params.yaml now says of the variant that its training was not told, in words; nothing if all is the same."""
    record = json.loads(folder.record.read_text(encoding="utf-8"))
    trained, declared = record.get("trained_as", {}), json.loads(store.canonical_json(variant.declaration()))
    for section, now in declared.items():
        before = trained.get(section)
        if before != now and section == "code":
            return (
                f"other code of `{variant.family_name}`, which DVC does not watch (`dvc repro -f train@{variant.name}`)"
            )
        if before != now:
            pairs = (
                [(section, before, now)]
                if not (isinstance(before, dict) and isinstance(now, dict))
                else [(key, before.get(key), now.get(key)) for key in sorted(before.keys() | now.keys())]
            )
            return next(f"{key} = {old}, and params.yaml now says {new}" for key, old, new in pairs if old != new)
    return ""


def _status(root: Path, folder: Folder, analyzer: Analyzer) -> Status:
    settings, make = config.load(root).settings(analyzer.name), command(folder.name)
    found = f"`{analyzer.name}` of `{folder.name}`"
    if folder.not_applicable(analyzer.name).is_file():
        return _status_of_reason(folder, analyzer, settings)
    if isinstance(analyzer, OverTraining):
        for upstream in (status(root, folder.name, needed.name) for needed in analyzer.needs):
            if upstream.state != "fresh":
                return upstream
    inputs = _expected_inputs(folder, analyzer, settings)
    missing = [path for path in inputs if not path.is_file()]
    if inputs and len(missing) == len(inputs):
        return Status("missing", f"`{folder.name}` has no `{analyzer.name}`.", make)
    if missing:
        return Status("stale", f"{found} lacks {len(missing)} of {len(inputs)} checkpoints.", make)
    for path, digest in inputs.items():
        if difference := _difference(path, _provenance(folder, analyzer, settings, digest)):
            at = f" at step {int(path.stem)}" if path.stem.isdigit() else ""
            return Status("stale", f"{found} is stale: {difference}{at}.", make)
    return Status("fresh")


def _status_of_reason(folder: Folder, analyzer: Analyzer, settings: Mapping[str, Any]) -> Status:
    path = folder.not_applicable(analyzer.name)
    difference = _difference(path, _provenance(folder, analyzer, settings, _model_digest(folder)))
    if difference:
        return Status("stale", f"`{analyzer.name}` of `{folder.name}` is stale: {difference}.", command(folder.name))
    return Status("not applicable", store.load_output(path, Reason).sentence)


def _expected_inputs(folder: Folder, analyzer: Analyzer, settings: Mapping[str, Any]) -> dict[Path, str]:
    """Every file that the instrument should have written, and the digest of what it should be made from."""
    if isinstance(analyzer, OverTraining):
        return {folder.over_training(analyzer.name): _digest_of_inputs(folder, analyzer)}
    steps = looked_at(folder.checkpoint_steps(), settings) if analyzer.is_stored else ()
    return {folder.output(analyzer.name, step): _weights(folder, step) for step in steps}


def _difference(path: Path, expected: Provenance) -> str:
    """What a file was made from that is not so now, in words; nothing if all is the same."""
    found = store.load_provenance(path)
    if found.probe != expected.probe:
        return f"it was made with another probe ({found.probe[:8]}, now {expected.probe[:8]})"
    if found.settings != expected.settings:
        return f"it was made with the settings {found.settings}, now {expected.settings}"
    if found.code != expected.code:
        return f"the instrument's code has changed since ({found.code[:8]}, now {expected.code[:8]})"
    if found.inputs != expected.inputs:
        return f"what it was made from has changed since ({found.inputs[:8]}, now {expected.inputs[:8]})"
    return ""


def artifact(root: Path, variant: str, instrument: str, compute: Compute = compute_at) -> Artifact[Any] | Output:
    """What the instrument wrote: an Artifact, or the one Output of a tracker. Outputs are read when asked for.

    Raises:
        MiscopeError: it is missing or stale; which of its digests disagrees, and the command that makes it.
        NotApplicable: the instrument has nothing to measure here.
    """
    state = status(root, variant, instrument)
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
