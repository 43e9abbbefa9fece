"""A hook sees, and may replace, every named activation of a forward pass. The names are TransformerLens' hook names."""

from collections.abc import Callable

from torch import Tensor

Hook = Callable[[str, Tensor], Tensor]  # (name, x) -> x


def untouched(name: str, x: Tensor) -> Tensor:
    return x


def within(hook: Hook, prefix: str) -> Hook:
    """The hook as a part of the model meets it: names get the part's prefix."""
    if hook is untouched:
        return untouched
    return lambda name, x: hook(f"{prefix}.{name}", x)
