"""Adapters by architecture type. Ours are imported when asked for; others register theirs."""

import importlib
from pathlib import Path

from miscope.adapters.base import BaseAdapter, architecture_of
from miscope.core import MiscopeError

_OURS = {
    "custom-transformer": ("miscope.adapters.custom_transformer", "CustomTransformerAdapter"),
    "qwen": ("miscope.adapters.qwen", "QwenAdapter"),
}
_theirs: dict[str, type[BaseAdapter]] = {}


def architectures() -> tuple[str, ...]:
    """Every architecture type that an adapter is known for."""
    return (*_OURS, *sorted(_theirs))


def register(adapter: type[BaseAdapter]) -> type[BaseAdapter]:
    """Make an adapter known by its architecture type; it may stand above the class as a decorator.

    Raises:
        MiscopeError: the type has an adapter already.
    """
    name = adapter.get_architecture_type()
    if name in architectures():
        raise MiscopeError(f"The architecture `{name}` has an adapter already, {adapter_class(name).__name__}.")
    _theirs[name] = adapter
    return adapter


def unregister(name: str) -> None:
    """Forget an adapter that was registered."""
    _theirs.pop(name, None)


def adapter_class(name: str) -> type[BaseAdapter]:
    """The adapter of an architecture type.

    Raises:
        MiscopeError: there is none; it names those known.
    """
    if name in _theirs:
        return _theirs[name]
    if name not in _OURS:
        raise MiscopeError(f"There is no adapter for the architecture `{name}`. Known: {', '.join(architectures())}.")
    module, attribute = _OURS[name]
    return getattr(importlib.import_module(module), attribute)


def load(path: Path) -> BaseAdapter:
    """The model in a folder that an adapter wrote, or that holds a model in a layout which one of them knows.

    Raises:
        MiscopeError: no adapter knows what the folder holds, or the one that does refuses it.
    """
    if not path.is_dir():
        raise MiscopeError(f"{path} is no folder; a checkpoint is a folder.")
    if name := architecture_of(path):
        return adapter_class(name).load_checkpoint(path)
    for name in architectures():
        if adapter_class(name).claims(path):
            return adapter_class(name).load_checkpoint(path)
    raise MiscopeError(f"No adapter knows what {path} holds. Known: {', '.join(architectures())}.")
