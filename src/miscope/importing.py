"""Weights that were trained elsewhere, as a variant that every instrument can analyse.

    variants:
      published:
        family: modulo_addition      # the task: its settings decide the probe
        modulus: 113
        imported: weights/grokked.safetensors

Such a variant is never trained: its `train` stage reads the files, checks every name and shape, and writes checkpoints.
Losses are measured here, at the imported steps alone; what its training cost is not known and absent. DVC does not
watch files outside of the workspace: when they change, `dvc repro -f train@NAME`.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from miscope.core import MiscopeError, ModelConfig, Variant
from miscope.weight_files import Found, read
from miscope.workspace import configuration, store

if TYPE_CHECKING:
    from miscope.model.transformer import Transformer

FROM_FILE = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "normalization", "has_biases")


def declare(root: Path, path: str, name: str, settings: Sequence[str]) -> Iterator[str]:
    """Add a variant with these weights to params.yaml and write its checkpoints; what comes back are lines that say so.

    `settings` are of the form `key=value`, with values as in params.yaml and a dot before what belongs to `model` or
    `imported`: `family=modulo_addition`, `modulus=113`, `model.is_causal=false`, `imported.step=40000`.

    Raises:
        MiscopeError: a setting is wrong, or the weights are not those of a model for the task; nothing is written then.
    """
    entry = _entry(settings)
    said = entry.pop("imported", {})
    entry["imported"] = path if not said else {"path": path, **said}
    variant = configuration.variant(name, entry, root)
    files = weight_files(root, variant)
    found = {step: _read(file, variant) for step, file in files.items()}
    model = next(iter(found.values())).model
    own = {key: value for key in FROM_FILE if (value := getattr(model, key)) != getattr(variant.family.model(), key)}
    if chosen := {**entry.get("model", {}), **own}:
        entry["model"] = chosen
    entry.setdefault("steps", max(*files, 1))
    configuration.add(root, name, entry)
    yield from (f"note: {note}" for note in next(iter(found.values())).notes)
    metrics = bring_in(root, configuration.load(root).variant(name))["metrics"]
    yield f"{name}: {len(files)} checkpoints; test loss {metrics['test_loss']:.6g} nats at step {metrics['steps']:,}"
    yield f"Run `dvc repro report@{name}` to analyse and draw it."


def _entry(settings: Sequence[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        section, dot, leaf = key.partition(".")
        if not equals or (dot and section not in ("model", "imported")):
            raise MiscopeError(
                f"{setting!r} is no setting; write key=value, such as modulus=113 or model.is_causal=false."
            )
        try:
            value = YAML(typ="safe", pure=True).load(io.StringIO(text))
        except YAMLError:
            raise MiscopeError(f"The value of {setting!r} is not valid YAML.") from None
        (entry.setdefault(section, {}) if dot else entry)[leaf if dot else key] = value
    return entry


def weight_files(root: Path, variant: Variant) -> dict[int, Path]:
    """Step -> file, in order of steps.

    Raises:
        MiscopeError: there is none, or a single file does not say its step.
    """
    assert variant.imported is not None, variant.name
    path = root / variant.imported.path
    if path.is_dir():
        found = {int(f.stem): f for f in path.glob("*.safetensors") if f.stem.isdigit()}
        if not found:
            raise MiscopeError(f"{path} has no file that is named by its step, such as 1000.safetensors.")
        return dict(sorted(found.items()))
    if not path.is_file():
        raise MiscopeError(f"{path}, which `{variant.name}` imports, does not exist.")
    step = variant.imported.step
    if step is None and not path.stem.isdigit():
        raise MiscopeError(f"{path.name} does not say after how many steps it was written; say `imported.step=40000`.")
    return {int(path.stem) if step is None else step: path}


def _read(file: Path, variant: Variant) -> Found:
    assert variant.imported is not None, variant.name
    if store.is_checkpoint(file):  # one of ours, such as a point of a scaling study keeps
        ours = store.load_checkpoint(file)
        return Found(ours.weights, ours.model, ())
    return read(file, variant.model, variant.imported.attention_rate)


def bring_in(root: Path, variant: Variant) -> dict[str, Any]:
    """Bring checkpoints, curve, metrics and record of an imported variant up to date; what comes back is the record.

    Raises:
        MiscopeError: a file is not there, cannot be read, or holds weights of another shape than params.yaml says; or
            the variant asks for what only a training has.
    """
    from miscope.training import imported

    if variant.branch or variant.adaptive:
        raise MiscopeError(
            f"`{variant.name}` is imported: it is not trained, so it has no `branch` and nothing adaptive."
        )
    files = weight_files(root, variant)
    found = {step: _read(file, variant) for step, file in files.items()}
    for step, one in found.items():
        _check(one.model, variant.model, files[step], variant.name)
    notes = sorted({note for one in found.values() for note in one.notes})
    source = {"notes": notes, "files": {str(step): file.name for step, file in files.items()}}
    return imported.written(variant, files.folder_of(root, variant.name), _networks(variant, found), source)


def _networks(variant: Variant, found: Mapping[int, Found]) -> Iterator[tuple[int, "Transformer"]]:
    from miscope.model.transformer import Transformer
    from miscope.model.weights import load_weights

    for step, one in found.items():
        yield step, load_weights(Transformer(variant.model), one.weights)


def _check(found: ModelConfig, declared: ModelConfig, file: Path, name: str) -> None:
    ours: Mapping[str, Any] = asdict(declared)
    for key, value in asdict(found).items():
        if value != ours[key]:
            raise MiscopeError(
                f"{file} holds a model of `{key}` = {value}; params.yaml says {ours[key]} in variants.{name}.model."
            )
