"""Runs instruments where artifacts are missing or stale; opens what they wrote, with proof of its origin.

Work is keyed by (weights, probe, instrument, settings) per checkpoint: what is fresh stays as it lies, what is not is
computed, what no checkpoint asks for is removed. Filling gaps and computing from nothing give the same bytes.
"""

import json
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from miscope import catalog, config, store
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
    Variant,
)
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
    config.load(root).variant(variant)
    folder, analyzer = store.folder(root, variant), catalog.instrument(instrument)
    settings = config.load(root).settings(instrument)
    context = store.load_context(_existing(folder.probe, folder))
    (folder.path / instrument).mkdir(parents=True, exist_ok=True)
    try:
        if isinstance(analyzer, OverTraining):
            return _track(root, folder, analyzer, context, settings)
        return _analyze(folder, analyzer, context, settings, progress)
    except NotApplicable as reason:
        path = folder.not_applicable(instrument)
        store.save_output(path, Reason(str(reason)), _provenance(folder, analyzer, settings, _model_digest(folder)))
        return Summary(0, 0, store.sweep(path.parent, keep={path}), str(reason))


def _analyze(
    folder: Folder, analyzer: PerCheckpoint, context: Context, settings: Mapping[str, Any], progress: Progress
) -> Summary:
    steps = _checkpoint_steps(folder)
    _check_applies(analyzer, folder, steps)
    expected = {step: _provenance(folder, analyzer, settings, _weights(folder, step)) for step in steps}
    stale = [step for step in steps if not _is_fresh(folder.output(analyzer.name, step), expected[step])]
    for step in progress(stale):
        output = compute(store.load_checkpoint(folder.checkpoint(step)), analyzer, context, settings)
        store.save_output(folder.output(analyzer.name, step), output, expected[step])
    removed = store.sweep(folder.path / analyzer.name, keep={folder.output(analyzer.name, step) for step in steps})
    return Summary(len(stale), len(steps) - len(stale), removed)


def compute(checkpoint: Checkpoint, analyzer: PerCheckpoint, context: Context, settings: Mapping[str, Any]) -> Output:
    """One Output, from one forward pass over the probe if the instrument asks for activations."""
    if analyzer.needs:
        from miscope.model.inspection import activations  # torch, only where it is used

        seen = activations(checkpoint, context, analyzer.needs, analyzer.positions)
        checkpoint = Checkpoint(checkpoint.step, checkpoint.model, checkpoint.weights, types.MappingProxyType(seen))
    return analyzer.compute(checkpoint, context, **settings)


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
    inputs = _inputs(root, folder, analyzer)
    expected = _provenance(folder, analyzer, settings, _digest_of_inputs(folder, analyzer))
    if is_stale := not _is_fresh(path, expected):
        store.save_output(path, analyzer.compute(*inputs, context, **settings), expected)
    return Summary(int(is_stale), int(not is_stale), store.sweep(path.parent, keep={path}))


def _inputs(root: Path, folder: Folder, analyzer: OverTraining) -> list[Mapping[int, Any]]:
    if analyzer.reads_weights:
        return [_checkpoints(folder)]
    return [_fresh_artifact(root, folder, needed) for needed in analyzer.needs]


def _fresh_artifact(root: Path, folder: Folder, analyzer: PerCheckpoint) -> Mapping[int, Output]:
    found = artifact(root, folder.name, analyzer.name)
    assert isinstance(found, Artifact), analyzer.name
    return found


def _checkpoints(folder: Folder) -> Artifact[Checkpoint]:
    return Artifact(_checkpoint_steps(folder), lambda step: store.load_checkpoint(folder.checkpoint(step)))


def _digest_of_inputs(folder: Folder, analyzer: OverTraining) -> str:
    """Of the values that a tracker reads, not of the code that made them: the same numbers leave it fresh."""
    if analyzer.reads_weights:
        return store.digest(*(f"{step} {_weights(folder, step)}" for step in _checkpoint_steps(folder)))
    read = ((needed.name, step) for needed in analyzer.needs for step in folder.output_steps(needed.name))
    return store.digest(*(f"{name} {step} {store.values_digest(folder.output(name, step))}" for name, step in read))


def _model_digest(folder: Folder) -> str:
    model = store.model_config(folder.checkpoint(_checkpoint_steps(folder)[0]))
    return store.digest(store.canonical_json(asdict(model)))


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
        settings=store.canonical_json(dict(settings)),
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
    inputs = _expected_inputs(folder, analyzer)
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


def _expected_inputs(folder: Folder, analyzer: Analyzer) -> dict[Path, str]:
    """Every file that the instrument should have written, and the digest of what it should be made from."""
    if isinstance(analyzer, OverTraining):
        return {folder.over_training(analyzer.name): _digest_of_inputs(folder, analyzer)}
    steps = folder.checkpoint_steps() if analyzer.is_stored else ()
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
    return Artifact(folder.checkpoint_steps(), lru_cache(maxsize=128)(load))
