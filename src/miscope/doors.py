"""Lazy imports for packages whose modules take seconds to import: a module is imported when a name of it is used."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def door(package: str, parts: Sequence[str], names: Sequence[str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562), which looks up each of the names in the parts, in their order."""

    def attribute(name: str) -> Any:
        for part in parts if name in names else ():
            if hasattr(module := import_module(f"{package}.{part}"), name):
                return getattr(module, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return attribute
