"""The checkpoints of a model that was trained elsewhere, written as those of a variant: every instrument reads them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from miscope.adapters.huggingface import HuggingFaceAdapter
from miscope.adapters.imported import ImportedText, checkpoint_folders
from miscope.adapters.registry import load
from miscope.core import MiscopeError, Variant
from miscope.model.transformer import Transformer
from miscope.training import imported
from miscope.workspace import files


def import_checkpoints(root: Path, name: str, folder: Path) -> tuple[int, ...]:
    """Write `artifacts/<name>/checkpoints` from a folder of checkpoints; what comes back are their steps.

    Checkpoints of steps that the folder lacks are removed.

    Raises:
        MiscopeError: a checkpoint is of an architecture that our transformer does not compute, of another shape than
            the first, or its weights do not fit.
    """
    files, steps = files.folder_of(root, name), []
    for step, network in networks(folder):
        imported.save(files, step, network)
        steps.append(step)
    files.sweep(files.checkpoints, keep=set(map(files.checkpoint, steps)))
    return tuple(steps)


def import_variant(variant: Variant, root: Path) -> dict[str, Any]:
    """Bring checkpoints, curve, metrics and record of an imported variant up to date; what comes back is the record.

    Raises:
        MiscopeError: the variant asks for training or for another shape, which an imported model cannot have.
    """
    family = variant.family
    assert isinstance(family, ImportedText), variant.family_name
    if variant.recipe != family.recipe() or variant.model != family.model() or variant.branch or variant.adaptive:
        raise MiscopeError(f"`{variant.name}` is imported: its model and its training are what they are; set neither.")
    folder = Path(family.folder)
    source = {"files": {str(step): path.name for step, path in checkpoint_folders(folder).items()}}
    return imported.written(variant, files.folder_of(root, variant.name), networks(folder), source)


def networks(folder: Path) -> Iterator[tuple[int, Transformer]]:
    """Each checkpoint of a folder as our own transformer, in order of steps.

    Raises:
        MiscopeError: as for `import_checkpoints`.
    """
    shape = None
    for step, path in checkpoint_folders(folder).items():
        core = _core(path)
        if core.config != (shape := shape or core.config):
            raise MiscopeError(f"{path} is of another shape than the first checkpoint: {core.config}, not {shape}.")
        yield step, core


def _core(path: Path) -> Transformer:
    adapter = load(path)
    if not isinstance(adapter, HuggingFaceAdapter):
        raise MiscopeError(
            f"{path} holds a `{adapter.get_architecture_type()}`; only Hugging Face models are imported."
        )
    return adapter.core()
