"""A Linear whose weight is codes: the forward pass multiplies integers. It holds the codes once, in one form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from miscope.core import MiscopeError
from miscope.model.layers import Linear, SharesInput
from miscope.quantization.activations import Affine, quantize_range, quantize_rows
from miscope.quantization.grid import GROUP, Grid, Scheme, pack_nibbles
from miscope.quantization.kernels import TAKES, Kernel, kernel_for, prepacked, product, unpack_nibbles


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
        dtype, weight = TAKES[self.kernel], self.weight()
        if self.affine is None:
            codes, scale = quantize_rows(rows, dtype)
            return product(codes, weight, self.alpha, self.bias, self.kernel, scale=scale, n_layers=n_layers)
        assert self.bias is not None
        bias = torch.add(self.bias, rows.sum(), alpha=0)  # a code cannot be NaN: what is not finite passes here
        codes = quantize_range(rows, self.affine, dtype)
        return product(codes, weight, self.alpha, bias, self.kernel, n_layers=n_layers)


@dataclass(frozen=True)
class _Share:
    """A layer's outputs in the product of all layers that read the same input, fused into one."""

    fused: "QuantLinear"
    columns: slice


class QuantLinear(nn.Module, SharesInput):
    """x W + b in integers, W [d_in d_out]. It passes no gradient: `dequantize_model` gives a model that does.

    Buffers: `codes` (8 bits) or `nibbles` and `multipliers` (4 bits), `scale` per output, `bias`, and for `static`
    `input_range` (scale and zero point of the input).
    """

    codes: Tensor | None
    nibbles: Tensor | None
    multipliers: Tensor | None
    scale: Tensor
    bias: Tensor | None
    input_range: Tensor | None

    def __init__(self, scheme: Scheme, d_in: int, buffers: dict[str, Tensor | None], *, was_tied: bool = False) -> None:
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
        is_four = grid.nibbles is not None and grid.multipliers is not None
        buffers: dict[str, Tensor | None] = {
            "codes": None if is_four else torch.from_numpy(grid.codes),
            "nibbles": torch.from_numpy(pack_nibbles(grid.nibbles)) if grid.nibbles is not None else None,
            "multipliers": torch.from_numpy(grid.multipliers) if grid.multipliers is not None else None,
            "scale": torch.from_numpy(grid.scale),
            "bias": None if own.bias is None else own.bias.detach().float().clone(),
            "input_range": None if affine is None else torch.tensor([affine.scale, affine.zero], dtype=torch.float64),
        }
        device = own.weight.device
        held = {name: b if b is None else b.to(device) for name, b in buffers.items()}
        return cls(scheme, own.weight.shape[0], held, was_tied=own.was_tied)

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """
        Raises:
            MiscopeError: a gradient is asked for.
        """
        share = self._share
        return self._output(x, 1) if share is None else share.fused._output(x, 1)[..., share.columns]

    def outputs_with(self, others: Sequence[nn.Module], x: Float[Tensor, "... d_in"]) -> tuple[Tensor, ...]:
        """In one product, from one set of codes of the input: what a call costs is paid once."""
        layers = [layer for layer in (self, *others) if isinstance(layer, QuantLinear) and not _is_hooked(layer)]
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

    # ------------------------------------------------------------ the weight, in its forms

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
            codes = self._codes()
            kernel = _kernel(codes, self.scheme.bits)
            packed = prepacked(codes) if kernel == "onednn" else None
            affine = None
            alpha, bias = self.scale, self.bias
            if self.input_range is not None:
                scale, zero = self.input_range.tolist()
                affine = Affine(scale, int(zero))
                alpha, bias = self._folded(codes, affine)
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

    def _folded(self, codes: Tensor, affine: Affine) -> tuple[Tensor, Tensor]:
        """What sums of products are multiplied by, and what is added, where the input has one range."""
        alpha = self.scale.double() * affine.scale
        zero = -affine.zero * alpha * codes.sum(dim=0, dtype=torch.float64)
        return alpha.float(), (zero if self.bias is None else zero + self.bias).float()

    # ------------------------------------------------------------ torch's own ways with a module

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


def _kernel(codes: Int8[Tensor, "d_in d_out"], bits: int) -> Kernel:
    if codes.device.type != "cpu" or not codes.numel():
        return "float"
    largest = int(codes.to(torch.int16).abs().max())
    return kernel_for(largest) if bits == 8 else kernel_for(largest, ("int_mm",))


# ---------------------------------------------------------------- layers that read one input


def _is_hooked(layer: nn.Module) -> bool:
    """Whether somebody watches calls of the layer, which must then be made."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks)


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
