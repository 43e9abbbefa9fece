"""The checkpoints of a model that was trained elsewhere, written as those of a variant: every instrument reads them."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from miscope import store
from miscope.adapters.huggingface import HuggingFaceAdapter
from miscope.adapters.imported import ImportedText, checkpoint_folders
from miscope.adapters.registry import load
from miscope.core import MiscopeError, Variant
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.batches import Batches
from miscope.training.device import device_for, versions
from miscope.training.run import evaluation


def import_checkpoints(root: Path, name: str, folder: Path) -> tuple[int, ...]:
    """Write `artifacts/<name>/checkpoints` from a folder of checkpoints; what comes back are their steps.

    Checkpoints of steps that the folder lacks are removed.

    Raises:
        MiscopeError: a checkpoint is of an architecture that our transformer does not compute, of another shape than
            the first, or its weights do not fit.
    """
    return tuple(step for step, _ in _imported(root, name, folder))


def _imported(root: Path, name: str, folder: Path) -> Iterator[tuple[int, Transformer]]:
    """Each checkpoint, once it is written."""
    files, shape = store.folder(root, name), None
    folders = checkpoint_folders(folder)
    for step, path in folders.items():
        core = _core(path)
        if core.config != (shape := shape or core.config):
            raise MiscopeError(f"{path} is of another shape than the first checkpoint: {core.config}, not {shape}.")
        named = weights(core)
        key = store.digest("imported", store.digest_of_arrays(named))
        store.save_checkpoint(files.checkpoint(step), step, core.config, named, key)
        yield step, core
    store.sweep(files.checkpoints, keep={files.checkpoint(step) for step in folders})


def import_variant(variant: Variant, root: Path) -> dict[str, Any]:
    """Bring checkpoints, curve, metrics and record of an imported variant up to date; what comes back is the record.

    Losses are measured here, on the variant's own text. What only its training knew (tokens, FLOPs, seconds) is absent.

    Raises:
        MiscopeError: the variant asks for training or for another shape, which an imported model cannot have.
    """
    family, files, device = variant.family, store.folder(root, variant.name), device_for(variant.recipe)
    assert isinstance(family, ImportedText), variant.family_name
    if variant.recipe != family.recipe() or variant.model != family.model() or variant.branch or variant.adaptive:
        raise MiscopeError(f"`{variant.name}` is imported: its model and its training are what they are; set neither.")
    batches = Batches(family, variant.data_seed, variant.recipe, variant.model, device)
    curve, n_parameters = [], 0
    for step, core in _imported(root, variant.name, Path(family.folder)):
        n_parameters = sum(parameter.numel() for parameter in core.parameters())
        curve.append(evaluation(step, batches, core.to(device.torch), variant))
    last = {name: value for name, value in asdict(curve[-1]).items() if name != "step"}
    record = {
        "variant": variant.name,
        "label": variant.label,
        "trained_as": variant.declaration(),
        "imported": {"files": {str(step): path.name for step, path in checkpoint_folders(Path(family.folder)).items()}},
        "family": variant.family_name,
        "settings": asdict(family),
        "seeds": {"seed": variant.seed, "data_seed": variant.data_seed},
        "model": variant.model.declaration(),
        "device": device.describe(),
        "versions": versions(),
        "checkpoints": len(curve),
        "parameters": n_parameters,
        "metrics": last | {"steps": curve[-1].step},
    }
    store.write(files.curves, pd.DataFrame(map(asdict, curve)).to_csv(index=False, lineterminator="\n"))
    store.write(files.metrics, store.pretty_json(record["metrics"]))
    store.write(files.record, store.pretty_json(record))
    return record


def _core(path: Path) -> Transformer:
    adapter = load(path)
    if not isinstance(adapter, HuggingFaceAdapter):
        raise MiscopeError(
            f"{path} holds a `{adapter.get_architecture_type()}`; only Hugging Face models are imported."
        )
    return adapter.core()
