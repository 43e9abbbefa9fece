"""Whether the artifacts of an instrument are fresh, and if not, why, as a sentence.

Every Output and every file of nulls carries its Key (`keys`): the weights or the Outputs that it read, the probe, the
code and the settings. It is fresh if it would get the same Key now.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from miscope.catalog import Plugin
from miscope.core import MiscopeError, Variant
from miscope.instrument import CHECKPOINTS, Instrument, Output, OverTraining, sampled_steps
from miscope.keys import SOURCE, Key, canonical_json, digest, digest_of_code, digest_of_file
from miscope.workspace import store
from miscope.workspace.configuration import Config
from miscope.workspace.files import Folder

READS = SOURCE / "workspace" / "store.py"  # reads the inputs of every instrument
OBSERVES = SOURCE / "workspace" / "observation.py"  # computes activations and gradients for instruments that need them


@dataclass(frozen=True)
class Reason(Output):
    """Why an instrument does not apply to a model or task, at any checkpoint of the variant."""

    sentence: str


@dataclass(frozen=True)
class Status:
    """Whether an instrument's artifact can be drawn, and if not, why, and which command updates it."""

    state: Literal["fresh", "stale", "missing", "not applicable"]
    detail: str = ""
    command: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.detail} Run `{self.command}`." if self.command else self.detail


def command(variant: str, plugin: Plugin | None = None) -> str:
    """The command that brings a variant up to date; for a plugin from outside, whose code DVC does not watch, ours."""
    if plugin is not None and plugin.is_outside:
        return f"python -m miscope run report@{variant}"
    return f"dvc repro report@{variant}"


def status(config: Config, folder: Folder, instrument: str) -> Status:
    """Whether the artifact is fresh; if it is not, the first difference, as a sentence."""
    make, name = command(folder.name), folder.name
    if not folder.checkpoint_steps():
        return Status("missing", f"`{name}` is not trained.", make)
    if not folder.probe.is_file():
        return Status("missing", f"`{name}` has no probe.", make)
    if not folder.record.is_file():
        return Status("missing", f"The training of `{name}` has not ended.", make)
    if difference := _other_training(config.variant(name), folder):
        return Status("stale", f"`{name}` was trained with {difference}.", make)
    try:
        return _status(config, folder, instrument)
    except MiscopeError as damaged:  # the error says what to do
        return Status("stale", str(damaged))


def _other_training(variant: Variant, folder: Folder) -> str:
    """The first setting in params.yaml that differs from the training's record, in words; empty if none does."""
    record = json.loads(folder.record.read_text(encoding="utf-8"))
    trained, declared = record.get("trained_as", {}), json.loads(canonical_json(variant.declaration()))
    for section, now in declared.items():
        before = trained.get(section)
        if before != now and section == "code":
            make = f"python -m miscope run train@{variant.name}"
            return f"other code of `{variant.family_name}`, which DVC does not watch (`{make}`)"
        if before != now:
            pairs = (
                [(section, before, now)]
                if not (isinstance(before, dict) and isinstance(now, dict))
                else [(key, before.get(key), now.get(key)) for key in sorted(before.keys() | now.keys())]
            )
            return next(f"{key} = {old}, and params.yaml now says {new}" for key, old, new in pairs if old != new)
    return ""


def _status(config: Config, folder: Folder, name: str) -> Status:
    plugin, settings = config.catalog.plugin(name), config.settings(name)
    instrument, artifact, make = plugin.instrument, f"`{name}` of `{folder.name}`", command(folder.name, plugin)
    if folder.not_applicable(name).is_file():
        return _status_of_reason(folder, plugin, settings)
    if isinstance(instrument, OverTraining):
        for upstream in (status(config, folder, needed.name) for needed in instrument.needs):
            if upstream.state != "fresh":
                return upstream
    expected = expected_keys(folder, plugin, settings)
    missing = [path for path in expected if not path.is_file()]
    if expected and len(missing) == len(expected):
        return Status("missing", f"`{folder.name}` has no `{name}`.", make)
    if missing:
        return Status("stale", f"{artifact} lacks {len(missing)} of {len(expected)} checkpoints.", make)
    for path, key in expected.items():
        if difference := store.output_key(path).difference(key):
            at = f" at step {int(path.stem)}" if path.stem.isdigit() else ""
            return Status("stale", f"{artifact} is stale: {difference}{at}.", make)
    return _status_of_nulls(folder, plugin)


def _status_of_nulls(folder: Folder, plugin: Plugin) -> Status:
    if plugin.instrument.nulls is None or not getattr(plugin.instrument, "is_stored", True):
        return Status("fresh")
    path, make = folder.nulls(plugin.name), command(folder.name, plugin)
    if not path.is_file():
        return Status("stale", f"`{plugin.name}` of `{folder.name}` lacks its nulls.", make)
    if difference := store.nulls_key(path).difference(nulls_key(folder, plugin)):
        return Status("stale", f"The nulls of `{plugin.name}` of `{folder.name}` are stale: {difference}.", make)
    return Status("fresh")


def _status_of_reason(folder: Folder, plugin: Plugin, settings: Mapping[str, Any]) -> Status:
    path = folder.not_applicable(plugin.name)
    if difference := store.output_key(path).difference(reason_key(folder, plugin, settings)):
        make = command(folder.name, plugin)
        return Status("stale", f"`{plugin.name}` of `{folder.name}` is stale: {difference}.", make)
    return Status("not applicable", store.load_output(path, Reason).sentence)


# ---------------------------------------------------------------- keys


def expected_keys(folder: Folder, plugin: Plugin, settings: Mapping[str, Any]) -> dict[Path, Key]:
    """Every file that the instrument should have written, with its key."""
    instrument = plugin.instrument
    if isinstance(instrument, OverTraining):
        return {folder.over_training(plugin.name): over_training_key(folder, plugin, settings)}
    steps = sampled_steps(folder.checkpoint_steps(), settings) if instrument.is_stored else ()
    return {folder.output(plugin.name, step): output_key(folder, plugin, settings, step) for step in steps}


def output_key(folder: Folder, plugin: Plugin, settings: Mapping[str, Any], step: int) -> Key:
    """The key of the Output of one checkpoint."""
    return _key(folder, plugin, settings, weights=store.weights_digest(folder.checkpoint(step)))


def over_training_key(folder: Folder, plugin: Plugin, settings: Mapping[str, Any]) -> Key:
    """The key of the one Output over training.

    It holds the values that other instruments stored, not their code: while the numbers are the same, it stays fresh.
    """
    instrument = plugin.instrument
    assert isinstance(instrument, OverTraining), plugin.name
    inputs = {"outputs": outputs_digest(folder, *(needed.name for needed in instrument.needs))}
    if instrument.sees_checkpoints:
        steps = checkpoint_steps(folder)
        inputs["weights"] = digest(*(f"{step} {store.weights_digest(folder.checkpoint(step))}" for step in steps))
    if instrument.reads_curve:
        inputs["curve"] = digest_of_file(folder.curves)
    return _key(folder, plugin, settings, **inputs)


def reason_key(folder: Folder, plugin: Plugin, settings: Mapping[str, Any]) -> Key:
    """The key of the reason why an instrument does not apply: the shape of the model, and the probe."""
    model = store.model_config(folder.checkpoint(checkpoint_steps(folder)[0]))
    return _key(folder, plugin, settings, model=digest(canonical_json(model.declaration())))


def nulls_key(folder: Folder, plugin: Plugin) -> Key:
    """The key of an instrument's nulls."""
    return _key(folder, plugin, {}, outputs=outputs_digest(folder, plugin.name))


def outputs_digest(folder: Folder, *instruments: str) -> str:
    """A digest of all values that these instruments stored."""
    files = (path for name in instruments for path in sorted(folder.instrument(name).glob("*.npz")))
    return digest(*(f"{path.parent.name} {path.stem} {store.values_digest(path)}" for path in files))


def _key(folder: Folder, plugin: Plugin, settings: Mapping[str, Any], **inputs: str) -> Key:
    chosen = canonical_json(of_compute(settings))
    return Key(inputs | {"probe": digest_of_file(folder.probe)}, code_digest(plugin), chosen)


def of_compute(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide an Output: all but the number of checkpoints to measure."""
    return {name: value for name, value in settings.items() if name != CHECKPOINTS}


def code_digest(plugin: Plugin) -> str:
    """A digest of all code that decides what an instrument measures."""
    return digest_of_code(*code_of(plugin.instrument, plugin.source()))


def code_of(instrument: Instrument, measure: Path) -> tuple[Path, ...]:
    """The files at which that code starts; `keys.closure` follows their imports."""
    observes = (OBSERVES,) if instrument.hooks or "gradients" in instrument.needs else ()
    return measure, READS, *observes


def is_fresh(path: Path, expected: Key) -> bool:
    """Whether the file carries this key; a damaged file does not."""
    read = store.nulls_key if path.suffix == ".json" else store.output_key
    try:
        return path.is_file() and read(path) == expected
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
