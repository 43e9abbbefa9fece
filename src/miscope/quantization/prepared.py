"""What stands in a Linear's place before it is quantized: it watches its input, and may train on the grid."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from miscope.core import MiscopeError
from miscope.model.layers import Linear
from miscope.quantization.activations import Affine, affine, fake_quantize_range, fake_quantize_rows
from miscope.quantization.grid import Grid, Scheme, nearest_grid
from miscope.quantization.kernels import code_limit


class ObservedLinear(Linear):
    """The Linear itself, its parameters shared, and an observer: the range of all inputs that it has seen."""

    low: Tensor
    high: Tensor

    def __init__(self, own: Linear) -> None:
        nn.Module.__init__(self)
        self.weight, self.bias, self.was_tied = own.weight, own.bias, own.was_tied
        self.register_buffer("low", torch.full((), torch.inf, device=own.weight.device))
        self.register_buffer("high", torch.full((), -torch.inf, device=own.weight.device))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        low, high = torch.aminmax(x)
        self.low.copy_(torch.minimum(self.low, low))
        self.high.copy_(torch.maximum(self.high, high))

    def range(self) -> Affine:
        """The codes for what was seen.

        Raises:
            MiscopeError: nothing was, or something that is not finite.
        """
        low, high = float(self.low), float(self.high)
        if low > high:
            raise MiscopeError("`mode` = 'static' needs ranges, and the model has seen no input; run it on some first.")
        if not (np.isfinite(low) and np.isfinite(high)):
            raise MiscopeError(f"The inputs seen run from {low} to {high}; only finite ones have a range.")
        return affine(low, high)

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        self.observe(x)
        return super().forward(x)


class GridLinear(ObservedLinear):
    """Computes with the nearest weights and inputs on the grid; gradients pass straight through the rounding.

    In training it widens its range; in evaluation it keeps it.

    Source: Bengio et al. 2013, arXiv:1308.3432, section 3 (the straight-through estimator); Jacob et al. 2018,
    arXiv:1712.05877, section 3 (training with simulated quantization).
    """

    def __init__(self, own: Linear, scheme: Scheme) -> None:
        super().__init__(own)
        self.scheme = scheme

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        if self.training:
            self.observe(x)
        nearest = torch.from_numpy(grid_of(self, self.scheme).weight).to(self.weight)
        out = self._input(x) @ straight_through(self.weight, nearest)
        return out if self.bias is None else out + self.bias

    def _input(self, x: Tensor) -> Tensor:
        if self.scheme.mode == "dynamic":
            return straight_through(x, fake_quantize_rows(x.detach()))
        to = self.range()
        within = x.clamp(to.scale * (-128 - to.zero), to.scale * (127 - to.zero))  # no gradient from what is cut off
        return straight_through(within, fake_quantize_range(x.detach(), to))


def grid_of(own: Linear, scheme: Scheme) -> Grid:
    """The grid on which the layer's weight runs on this machine."""
    values = own.weight.detach().float().cpu().numpy()
    return nearest_grid(values, scheme.bits, scheme.group_size, code_limit())


def straight_through(x: Tensor, value: Tensor) -> Tensor:
    """The value, exactly, with x's gradient."""
    return value + (x - x.detach())
