"""The door of a package whose parts take seconds to import: it passes their names on, and imports a part when asked."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def door(package: str, parts: Sequence[str], names: Sequence[str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562): each of the names is looked for in the parts, in their order."""

    def attribute(name: str) -> Any:
        for part in parts if name in names else ():
            if hasattr(module := import_module(f"{package}.{part}"), name):
                return getattr(module, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return attribute
