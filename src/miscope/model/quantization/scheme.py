"""What one asks for when quantizing: bits, how activations are scaled, and how many inputs share a multiplier."""

from dataclasses import dataclass

from miscope.core import MiscopeError
from miscope.model.quantization.grid import check_scheme

MODES = ("dynamic", "static")


@dataclass(frozen=True)
class Scheme:
    """`dynamic`: a scale per row of activations, as they come; `static`: one range, found by calibration.

    Raises:
        MiscopeError: a setting that there is not.
    """

    bits: int = 8
    mode: str = "dynamic"
    group_size: int | None = None  # at 4 bits; None: 32

    def __post_init__(self) -> None:
        check_scheme(self.bits, self.group_size)
        if self.mode not in MODES:
            raise MiscopeError(f"`mode` = {self.mode!r}; allowed: {', '.join(MODES)}.")
