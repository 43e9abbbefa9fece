"""Whether what an instrument wrote is made from what lies there now, and if not, from what else, in words.

An Output carries its Provenance: digests of the weights (of a tracker: of the values it reads), the probe, the code and
the settings. It is fresh if all of them are as they would be now.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from miscope import catalog, config, store
from miscope.core import CHECKPOINTS, Analyzer, MiscopeError, Output, OverTraining, Variant, looked_at
from miscope.store import Folder, Provenance


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
        if difference := _difference(path, provenance(folder, analyzer, settings, digest)):
            at = f" at step {int(path.stem)}" if path.stem.isdigit() else ""
            return Status("stale", f"{found} is stale: {difference}{at}.", make)
    return Status("fresh")


def _status_of_reason(folder: Folder, analyzer: Analyzer, settings: Mapping[str, Any]) -> Status:
    path = folder.not_applicable(analyzer.name)
    difference = _difference(path, provenance(folder, analyzer, settings, model_digest(folder)))
    if difference:
        return Status("stale", f"`{analyzer.name}` of `{folder.name}` is stale: {difference}.", command(folder.name))
    return Status("not applicable", store.load_output(path, Reason).sentence)


def _expected_inputs(folder: Folder, analyzer: Analyzer, settings: Mapping[str, Any]) -> dict[Path, str]:
    """Every file that the instrument should have written, and the digest of what it should be made from."""
    if isinstance(analyzer, OverTraining):
        return {folder.over_training(analyzer.name): digest_of_inputs(folder, analyzer)}
    steps = looked_at(folder.checkpoint_steps(), settings) if analyzer.is_stored else ()
    return {folder.output(analyzer.name, step): weights_at(folder, step) for step in steps}


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


# ---------------------------------------------------------------- what an Output is made from


def provenance(folder: Folder, analyzer: Analyzer, settings: Mapping[str, Any], inputs: str) -> Provenance:
    """What an Output is made from now; `inputs` is the digest of the weights, or of what a tracker reads."""
    return Provenance(
        instrument=analyzer.name,
        inputs=inputs,
        probe=store.probe_digest(folder.probe),
        code=_code_digest(analyzer.name),
        settings=store.canonical_json(of_compute(settings)),
    )


def of_compute(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide an Output: at which other checkpoints the instrument looks does not."""
    return {name: value for name, value in settings.items() if name != CHECKPOINTS}


def _code_digest(instrument: str) -> str:
    files = catalog.sources(instrument)
    return _digest_of_stamped(files, tuple(f.stat().st_mtime_ns for f in files))


@lru_cache(maxsize=1024)
def _digest_of_stamped(files: tuple[Path, ...], stamps: tuple[int, ...]) -> str:
    return store.digest_of_files(files)


def digest_of_inputs(folder: Folder, analyzer: OverTraining) -> str:
    """Of the values that a tracker reads, not of the code that made them: the same numbers leave it fresh."""
    steps = checkpoint_steps(folder) if analyzer.sees_checkpoints else ()
    weights = (f"{step} {weights_at(folder, step)}" for step in steps)
    read = ((needed.name, step) for needed in analyzer.needs for step in folder.output_steps(needed.name))
    outputs = (f"{name} {step} {store.values_digest(folder.output(name, step))}" for name, step in read)
    return store.digest(*weights, *outputs)


def model_digest(folder: Folder) -> str:
    """Of the model's shape: what does not apply to one checkpoint applies to none."""
    model = store.model_config(folder.checkpoint(checkpoint_steps(folder)[0]))
    return store.digest(store.canonical_json(model.declaration()))


def weights_at(folder: Folder, step: int) -> str:
    """The digest of a checkpoint's weights."""
    return store.weights_digest(folder.checkpoint(step))


def is_fresh(path: Path, expected: Provenance) -> bool:
    """A damaged file is not fresh: it is computed again."""
    try:
        return path.is_file() and store.load_provenance(path) == expected
    except MiscopeError:
        return False


def checkpoint_steps(folder: Folder) -> tuple[int, ...]:
    """
    Raises:
        MiscopeError: the variant has no checkpoints; the command that trains it.
    """
    steps = folder.checkpoint_steps()
    if not steps:
        raise MiscopeError(f"`{folder.name}` has no checkpoints. Run `dvc repro train@{folder.name}`.")
    return steps
