"""A tap sees, and may replace, every named activation of a forward pass. The names are TransformerLens' hook names."""

from collections.abc import Callable

from torch import Tensor

Tap = Callable[[str, Tensor], Tensor]  # (name, x) -> x


def untouched(name: str, x: Tensor) -> Tensor:
    return x


def within(tap: Tap, prefix: str) -> Tap:
    """The tap as a part of the model meets it: names get the part's prefix."""
    if tap is untouched:
        return untouched
    return lambda name, x: tap(f"{prefix}.{name}", x)
