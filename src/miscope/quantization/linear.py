"""What stands in a Linear's place: codes that are multiplied as integers; before that, what watches and may train.

`QuantLinear` holds its codes once, in one form. `ObservedLinear` is the Linear itself with the range of its inputs;
`GridLinear` trains on the grid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from miscope.core import MiscopeError
from miscope.model.layers import Linear, SharesInput
from miscope.quantization import kernels
from miscope.quantization.grid import GROUP, Grid, Scheme, nearest_grid, pack_nibbles
from miscope.quantization.kernels import Affine, Kernel, unpack_nibbles


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
        """The codes for what was seen; nothing seen, or something that is not finite, has none and is refused."""
        low, high = float(self.low), float(self.high)
        if low > high:
            raise MiscopeError("`mode` = 'static' needs ranges, and the model has seen no input; run it on some first.")
        if not (np.isfinite(low) and np.isfinite(high)):
            raise MiscopeError(f"The inputs seen run from {low} to {high}; only finite ones have a range.")
        return kernels.affine(low, high)

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
            return straight_through(x, kernels.fake_quantize_rows(x.detach()))
        to = self.range()
        within = x.clamp(to.scale * (-128 - to.zero), to.scale * (127 - to.zero))  # no gradient from what is cut off
        return straight_through(within, kernels.fake_quantize_range(x.detach(), to))


def grid_of(own: Linear, scheme: Scheme) -> Grid:
    """The grid on which the layer's weight runs on this machine."""
    values = own.weight.detach().float().cpu().numpy()
    return nearest_grid(values, scheme.bits, scheme.group_size, kernels.code_limit())


def straight_through(x: Tensor, value: Tensor) -> Tensor:
    """The value, exactly, with x's gradient."""
    return value + (x - x.detach())


@dataclass(frozen=True)
class _Ready:
    """What the first forward pass finds out, at hand without a module's look-ups."""

    kernel: Kernel
    weight: Callable[[], Tensor]  # in the kernel's form
    prepacked: Tensor | None  # the codes in the kernel's order, in place of the buffer `codes`
    alpha: Float[Tensor, " d_out"]
    bias: Float[Tensor, " d_out"] | None  # with the zero point of a fixed range folded in
    affine: Affine | None  # the range of the input where it is fixed

    def __call__(self, rows: Float[Tensor, "row d_in"], n_layers: int) -> Float[Tensor, "row d_out"]:
        dtype, weight = kernels.TAKES[self.kernel], self.weight()
        if self.affine is None:
            codes, scale = kernels.quantize_rows(rows, dtype)
            return kernels.product(codes, weight, self.alpha, self.bias, self.kernel, scale=scale, n_layers=n_layers)
        assert self.bias is not None
        bias = torch.add(self.bias, rows.sum(), alpha=0)  # a code cannot be NaN: what is not finite passes here
        codes = kernels.quantize_range(rows, self.affine, dtype)
        return kernels.product(codes, weight, self.alpha, bias, self.kernel, n_layers=n_layers)


@dataclass(frozen=True)
class _Share:
    """A layer's outputs in the product of all layers that read the same input, fused into one."""

    fused: "QuantLinear"
    columns: slice


class QuantLinear(nn.Module, SharesInput):
    """x W + b in integers, W [d_in d_out]. Gradients are refused: `dequantize_model` gives a model that has them.

    Buffers: `codes` (8 bits) or `nibbles` and `multipliers` (4 bits), `scale` per output, `bias`, and for `static`
    `input_range` (scale and zero point of the input).
    """

    codes: Tensor | None
    nibbles: Tensor | None
    multipliers: Tensor | None
    scale: Tensor
    bias: Tensor | None
    input_range: Tensor | None

    def __init__(self, scheme: Scheme, d_in: int, buffers: Mapping[str, Tensor | None], was_tied: bool = False) -> None:
        super().__init__()
        self.scheme, self.d_in, self.was_tied = scheme, d_in, was_tied
        for name in BUFFERS:
            self.register_buffer(name, buffers.get(name))
        self.is_transposed = False
        self._ready: _Ready | None = None
        self._share: _Share | None = None

    @classmethod
    def of(cls, own: Linear, grid: Grid, scheme: Scheme, affine: Affine | None) -> "QuantLinear":
        """The Linear on a grid; `affine` is the range of its input where the scheme is static."""
        buffers = {"scale": torch.from_numpy(grid.scale)}
        if grid.nibbles is None or grid.multipliers is None:
            buffers["codes"] = torch.from_numpy(grid.codes)
        else:
            buffers["nibbles"] = torch.from_numpy(pack_nibbles(grid.nibbles))
            buffers["multipliers"] = torch.from_numpy(grid.multipliers)
        if own.bias is not None:
            buffers["bias"] = own.bias.detach().float().clone()
        if affine is not None:
            buffers["input_range"] = torch.tensor([affine.scale, affine.zero], dtype=torch.float64)
        held = {name: buffer.to(own.weight.device) for name, buffer in buffers.items()}
        return cls(scheme, own.weight.shape[0], held, was_tied=own.was_tied)

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        share = self._share
        return self._output(x, 1) if share is None else share.fused._output(x, 1)[..., share.columns]

    def outputs_with(self, others: Sequence[nn.Module], x: Float[Tensor, "... d_in"]) -> tuple[Tensor, ...]:
        """In one product, from one set of codes of the input: what a call costs is paid once."""
        layers = [layer for layer in (self, *others) if isinstance(layer, QuantLinear)]
        # a call that somebody watches must be made
        layers = [layer for layer in layers if not (layer._forward_hooks or layer._forward_pre_hooks)]
        shares = _shares(layers) if len(layers) > len(others) else None
        if shares is None:
            return tuple(layer(x) for layer in (self, *others))
        out = shares[0].fused._output(x, len(shares))
        return tuple(out[..., share.columns] for share in shares)

    def _output(self, x: Float[Tensor, "... d_in"], n_layers: int) -> Float[Tensor, "... d_out"]:
        if torch.is_grad_enabled() and x.requires_grad:
            raise MiscopeError("A quantized layer passes no gradient; use `dequantize_model`, or torch.no_grad().")
        rows = x.reshape(-1, self.d_in)
        rows = rows if rows.dtype == torch.float32 else rows.float()
        out = (self._ready or self._get_ready())(rows, n_layers).view(*x.shape[:-1], len(self.scale))
        return out if out.dtype == x.dtype else out.to(x.dtype)

    @property
    def weight(self) -> Float[Tensor, "rows columns"]:
        """The dequantized weight, [d_in d_out] as in Linear; once transposed, [d_out d_in]."""
        weight = self._codes() * self.scale
        return weight.T if self.is_transposed else weight

    def transposed(self) -> "QuantLinear":
        """The layer itself, from now on showing its weight as torch's own Linear does."""
        self.is_transposed = True
        return self

    @property
    def kernel(self) -> Kernel:
        """Which kernel multiplies here."""
        return (self if self._share is None else self._share.fused)._get_ready().kernel

    def _codes(self) -> Int8[Tensor, "d_in d_out"]:
        if self._share is not None:
            return self._share.fused._codes()[:, self._share.columns]
        if self.nibbles is not None and self.multipliers is not None:
            return unpack_nibbles(self.nibbles, self.multipliers, self.d_in)
        if self._ready is not None and self._ready.prepacked is not None:
            return self._ready.prepacked.to_dense()
        assert self.codes is not None
        return self.codes

    @torch.inference_mode(False)  # what is kept must serve outside of it too
    def _get_ready(self) -> _Ready:
        if self._ready is None:
            codes, affine, alpha, bias = self._codes(), None, self.scale, self.bias
            kernel: Kernel = "float"
            if codes.device.type == "cpu" and codes.numel():
                largest = int(codes.to(torch.int16).abs().max())
                kernel = kernels.kernel_for(largest, ("onednn", "int_mm") if self.scheme.bits == 8 else ("int_mm",))
            packed = kernels.prepacked(codes) if kernel == "onednn" else None
            if self.input_range is not None:  # a fixed range: its scale and zero point are folded in
                scale, zero = self.input_range.tolist()
                affine, of_sums = Affine(scale, int(zero)), self.scale.double() * scale
                added = -affine.zero * of_sums * codes.sum(dim=0, dtype=torch.float64)
                alpha, bias = of_sums.float(), (added if bias is None else added + bias).float()
            self._ready = _Ready(kernel, self._weight(packed), packed, alpha, bias, affine)
            if packed is not None:
                self.codes = None
        return self._ready

    def _weight(self, packed: Tensor | None) -> Callable[[], Tensor]:
        """What gives the kernel its weight at each call."""
        if self.nibbles is not None and self.multipliers is not None:
            return partial(unpack_nibbles, self.nibbles, self.multipliers, self.d_in, is_kept=False)
        held = self.codes if packed is None else packed
        assert held is not None
        return lambda: held

    @torch.inference_mode(False)
    def _as_plain(self) -> None:
        """Back to buffers alone; the next forward pass packs anew."""
        if self._share is not None:
            share, self._share = self._share, None
            share.fused._as_plain()
            for name in CODES:
                held = getattr(share.fused, name)
                setattr(self, name, held if held is None else held[:, share.columns].contiguous())
        if self._ready is not None and self._ready.prepacked is not None:
            self.codes = self._codes()
        self._ready = None

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._as_plain()
        return super()._apply(fn, recurse)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self._as_plain()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._as_plain()
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        self._as_plain()  # what is prepacked can be neither copied nor pickled
        return self.__dict__.copy()

    def extra_repr(self) -> str:
        s = self.scheme
        group = f", groups of {s.group_size or GROUP}" if s.bits == 4 else ""
        return f"{self.d_in} -> {len(self.scale)}, {s.bits} bits, {s.mode}{group}"


CODES = ("codes", "nibbles", "multipliers")
BUFFERS = (*CODES, "scale", "bias", "input_range")


def _shares(layers: Sequence[QuantLinear]) -> list[_Share] | None:
    """Each layer's share in one product of them all; None where they differ in more than their outputs."""
    shares = [layer._share for layer in layers if layer._share is not None]
    if len(shares) == len(layers) and all(share.fused is shares[0].fused for share in shares):
        return shares
    return _fuse(layers) if all(_is_alike(layer, layers[0]) for layer in layers) else None


def _is_alike(one: QuantLinear, other: QuantLinear) -> bool:
    if (one.scheme, one.d_in, one.bias is None) != (other.scheme, other.d_in, other.bias is None):
        return False
    return one.input_range is None or other.input_range is None or torch.equal(one.input_range, other.input_range)


@torch.inference_mode(False)
def _fuse(layers: Sequence[QuantLinear]) -> list[_Share]:
    """Make one layer of all their outputs, which from now on holds their codes."""
    for layer in layers:
        layer._as_plain()
    parts = {name: [getattr(layer, name) for layer in layers] for name in BUFFERS}
    joined = {name: None if of[0] is None else torch.cat(of, dim=-1) for name, of in parts.items()}
    fused = QuantLinear(layers[0].scheme, layers[0].d_in, joined | {"input_range": layers[0].input_range})
    ends = list(accumulate(len(layer.scale) for layer in layers))
    shares = [_Share(fused, slice(start, end)) for start, end in zip([0, *ends], ends, strict=False)]
    for layer, share in zip(layers, shares, strict=True):
        layer._share = share
        for name in CODES:
            setattr(layer, name, None)
    return shares
