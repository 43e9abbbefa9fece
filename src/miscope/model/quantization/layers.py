"""Exchange the layers of a model for others under the same names."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from miscope.core import MiscopeError

M = TypeVar("M", bound=nn.Module)
L = TypeVar("L", bound=nn.Module)


def replaced(model: M, kind: type[L], by: Callable[[str, L], nn.Module]) -> M:
    """The model itself, with `by(name, layer)` in the place of every layer of the kind.

    Raises:
        MiscopeError: there is none.
    """
    found = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kind)]
    if not found:
        raise MiscopeError(f"The model has no {kind.__name__} to replace.")
    for name, layer in found:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, by(name, layer))
    return model
