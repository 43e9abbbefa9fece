"""Weights that were trained elsewhere, as the checkpoints, curve, metrics and record of a variant.

Losses are measured here, at the imported steps alone, on the variant's own data. What only its training knew (tokens,
FLOPs, seconds) is absent. DVC watches no file outside of the workspace: when one changes, `dvc repro -f train@NAME`.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from miscope.core import MiscopeError, Variant
from miscope.imports.tasks import ImportedText, checkpoint_folders
from miscope.imports.weight_files import Weights, read
from miscope.keys import digest, digest_of_arrays
from miscope.workspace import Workspace, configuration, store
from miscope.workspace.files import sweep

if TYPE_CHECKING:
    from miscope.model.transformer import Transformer

FROM_FILE = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "normalization", "has_biases")
Networks = Iterable[tuple[int, "Transformer"]]  # in order of steps


def declare(workspace: Workspace, path: str, name: str, settings: Sequence[str]) -> Iterator[str]:
    """Add a variant with these weights to params.yaml and write its checkpoints; what comes back are lines that say so.

    `settings` are of the form `key=value`, with values as in params.yaml and a dot before what belongs to `model` or
    `imported`: `family=modulo_addition`, `modulus=113`, `model.is_causal=false`, `imported.step=40000`.

    Raises:
        MiscopeError: a setting is wrong, or the weights are not those of a model for the task; nothing is written then.
    """
    entry = _entry(settings)
    imported = entry.pop("imported", {})
    entry["imported"] = {"path": path, **imported} if imported else path
    variant = configuration.variant(name, entry, workspace.root)
    held = _held(workspace.root, variant)
    first, task = next(iter(held.values())), variant.family.model()
    own = {key: value for key in FROM_FILE if (value := getattr(first.model, key)) != getattr(task, key)}
    if chosen := {**entry.get("model", {}), **own}:
        entry["model"] = chosen
    configuration.add(workspace.root, name, {**entry, "steps": entry.get("steps", max(*held, 1))})
    yield from (f"note: {note}" for note in first.notes)
    metrics = bring_in(workspace, workspace.config.variant(name))["metrics"]
    yield f"{name}: {len(held)} checkpoints; test loss {metrics['test_loss']:.6g} nats at step {metrics['steps']:,}"
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


def is_imported(variant: Variant) -> bool:
    """Whether its weights were trained elsewhere, so that `bring_in` takes the place of a training."""
    return variant.imported is not None or isinstance(variant.family, ImportedText)


def bring_in(workspace: Workspace, variant: Variant) -> dict[str, Any]:
    """Bring checkpoints, curve, metrics and record of an imported variant up to date; what comes back is the record.

    Checkpoints of other steps are removed.

    Raises:
        MiscopeError: a file is not there, cannot be read, or holds weights of another shape or architecture; or the
            variant asks for what only a training has.
    """
    from miscope.model.weights import weights
    from miscope.training.batches import Batches
    from miscope.training.device import device_for
    from miscope.training.record import write_record
    from miscope.training.trainer import evaluation

    is_text = isinstance(variant.family, ImportedText)
    networks, source = _of_folders(variant) if is_text else _of_files(workspace.root, variant)
    folder, device = workspace.folder(variant.name), device_for(variant.recipe)
    batches = Batches(variant.family, variant.data_seed, variant.recipe, variant.model, device)
    curve, n_parameters = [], 0
    for step, network in networks:
        named = weights(network)
        key = digest("imported", digest_of_arrays(named))  # says that it was not trained here
        store.save_checkpoint(folder.checkpoint(step), step, network.config, named, key)
        n_parameters = sum(parameter.numel() for parameter in network.parameters())
        curve.append(evaluation(step, batches, network.to(device.torch), variant))
    sweep(folder.checkpoints, keep={folder.checkpoint(e.step) for e in curve})
    seeds, n = {"data_seed": variant.data_seed}, len(curve)
    told = {"imported": source, "seeds": seeds, "checkpoints": n, "parameters": n_parameters}
    return write_record(variant, folder, curve, device, told, {"steps": curve[-1].step})


def _of_files(root: Path, variant: Variant) -> tuple[Networks, dict[str, Any]]:
    from miscope.model.transformer import Transformer
    from miscope.model.weights import load_weights

    name, model = variant.name, variant.model
    if variant.branch or variant.adaptive:
        raise MiscopeError(f"`{name}` is imported: it is not trained, so it has no `branch` and nothing adaptive.")
    files, held = _files(root, variant), _held(root, variant)
    ours = {key: value for key, value in asdict(model).items() if key != "initialisation"}  # of what is not drawn here
    for step, one in held.items():
        for key, value in ours.items():
            if (theirs := getattr(one.model, key)) != value:
                said = f"`{key}` = {theirs}; params.yaml says {value} in variants.{name}.model"
                raise MiscopeError(f"{files[step]} holds a model of {said}.")
    networks = ((step, load_weights(Transformer(model, seed=None), one.weights)) for step, one in held.items())
    notes = sorted({note for one in held.values() for note in one.notes})
    return networks, {"notes": notes, "files": {str(step): file.name for step, file in files.items()}}


def _files(root: Path, variant: Variant) -> dict[int, Path]:
    """Step -> file, in order of steps; a single file must say its step."""
    assert variant.imported is not None, variant.name
    path, step = root / variant.imported.path, variant.imported.step
    if path.is_dir():
        files = {int(f.stem): f for f in path.glob("*.safetensors") if f.stem.isdigit()}
        if not files:
            raise MiscopeError(f"{path} has no file that is named by its step, such as 1000.safetensors.")
        return dict(sorted(files.items()))
    if not path.is_file():
        raise MiscopeError(f"{path}, which `{variant.name}` imports, does not exist.")
    if step is None and not path.stem.isdigit():
        raise MiscopeError(f"{path.name} does not say after how many steps it was written; say `imported.step=40000`.")
    return {int(path.stem) if step is None else step: path}


def _held(root: Path, variant: Variant) -> dict[int, Weights]:
    """Step -> what the file holds, in order of steps."""

    def read_one(file: Path) -> Weights:
        assert variant.imported is not None, variant.name
        if not store.is_checkpoint(file):
            return read(file, variant.model, variant.imported.attention_rate)
        ours = store.load_checkpoint(file)  # such as a point of a scaling study keeps
        return Weights(ours.weights, ours.model, ())

    return {step: read_one(file) for step, file in _files(root, variant).items()}


def _of_folders(variant: Variant) -> tuple[Networks, dict[str, Any]]:
    family = variant.family
    assert isinstance(family, ImportedText), variant.name
    if variant.recipe != family.recipe() or variant.model != family.model() or variant.branch or variant.adaptive:
        raise MiscopeError(f"`{variant.name}` is imported: its model and its training are what they are; set neither.")
    folders = checkpoint_folders(Path(family.folder))
    return _networks(folders), {"files": {str(step): path.name for step, path in folders.items()}}


def _networks(folders: Mapping[int, Path]) -> Iterator[tuple[int, "Transformer"]]:
    from miscope.adapters import HuggingFaceAdapter, load

    shape = None
    for step, path in folders.items():
        adapter = load(path)
        if not isinstance(adapter, HuggingFaceAdapter):
            kind = adapter.get_architecture_type()
            raise MiscopeError(f"{path} holds a `{kind}`; only Hugging Face models are imported.")
        core = adapter.core()
        if core.config != (shape := shape or core.config):
            raise MiscopeError(f"{path} is of another shape than the first checkpoint: {core.config}, not {shape}.")
        yield step, core
