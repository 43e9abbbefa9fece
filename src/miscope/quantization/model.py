"""Quantize a model, ask whether it is, undo it, store it. Every function returns a copy and leaves its argument alone.

    quantize(model)                                       # 8 bits, a scale per row of activations as they come
    quantize(model, bits=4)
    prepared = prepare_model_for_quantization(model)      # watches ranges: run it on some data, then
    quantize(prepared, mode="static")
    prepare_model_for_quantization(model, qat=Scheme(4))  # trains on the grid: train it, then quantize(..., bits=4)
    save_quantized(path, model), load_quantized(path)     # one safetensors file, shape and scheme in its header

All Linears are quantized, the unembedding too; embeddings and norms stay float32. A tied unembedding gets weights of
its own first. Queries, keys and values stay three layers, each with its own hook and its own place in a checkpoint;
what reads one input is multiplied side by side (`linear`).
"""

import copy
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from miscope import keys
from miscope.core import MiscopeError, ModelConfig
from miscope.model.layers import Linear
from miscope.model.transformer import Transformer
from miscope.quantization.grid import Scheme
from miscope.quantization.linear import BUFFERS, GridLinear, ObservedLinear, QuantLinear, grid_of
from miscope.workspace import files, store

M = TypeVar("M", bound=nn.Module)
L = TypeVar("L", bound=nn.Module)
ROUNDS = 7


@dataclass(frozen=True)
class Quantization:
    """How a model is quantized, or will be."""

    scheme: Scheme
    layers: tuple[str, ...]
    untied: tuple[str, ...]  # layers that shared their weight with an embedding, and no longer do
    is_qat: bool  # trains on the grid; not quantized yet


def prepare_model_for_quantization(model: M, qat: Scheme | None = None) -> M:
    """A copy whose Linears watch the range of their inputs; with `qat`, they also compute on that scheme's grid.

    Raises:
        MiscopeError: the model is prepared or quantized already, or has no Linear.
    """
    _refuse(model, (ObservedLinear, QuantLinear), "is prepared or quantized already")
    made = ObservedLinear if qat is None else partial(GridLinear, scheme=qat)
    return replace_layers(_untied(model), Linear, lambda _, own: made(own))


def quantize(
    model: M, bits: int = 8, mode: str = "dynamic", group_size: int | None = None, *,
    require_speedup: float | None = None, sample: Tensor | None = None,
) -> M:  # fmt: skip
    """A copy whose Linears multiply integers; for inference alone, without gradients.

    With `require_speedup` it is measured against the model on `sample` (token ids; by default one row as long as the
    context). Small models are slower than float32, above all on few rows.

    Raises:
        MiscopeError: a setting that there is not; the model is quantized already, was trained on another grid, has seen
            no input for `static`, holds weights that are not finite, or is not as fast as required.
    """
    scheme = Scheme(bits, mode, group_size)
    _refuse(model, (QuantLinear,), "is quantized already")

    def quantized(name: str, own: Linear) -> QuantLinear:
        if isinstance(own, GridLinear) and own.scheme != scheme:
            raise MiscopeError(f"The model was trained for {own.scheme}; asked: {scheme}.")
        if mode == "dynamic":
            return QuantLinear.of(own, grid_of(own, scheme), scheme, None)
        if not isinstance(own, ObservedLinear):
            raise MiscopeError(
                "`mode` = 'static' needs ranges: run `prepare_model_for_quantization(model)` on some inputs, "
                "then quantize what it gave."
            )
        return QuantLinear.of(own, grid_of(own, scheme), scheme, own.range())

    made = replace_layers(_untied(model), Linear, quantized).eval().requires_grad_(False)
    if require_speedup is not None:
        _require(require_speedup, dequantize_model(made), made, sample)
    return made


def dequantize_model(model: M) -> M:
    """A plain float32 copy that trains, and computes with the weights that the codes stand for.

    Raises:
        MiscopeError: the model is not quantized.
    """
    if not is_model_quantized(model):
        raise MiscopeError("The model is not quantized; nothing to undo.")
    return replace_layers(copy.deepcopy(model), QuantLinear, lambda _, own: _plain(own)).requires_grad_(True)


def is_model_quantized(model: nn.Module) -> bool:
    """Whether its Linears multiply integers; one that is prepared does not yet. Details: `quantization_of`."""
    return any(isinstance(layer, QuantLinear) for layer in model.modules())


def quantization_of(model: nn.Module) -> Quantization | None:
    """How the model is quantized, or trains to be; None for one that is neither."""
    layers = {n: layer for n, layer in model.named_modules() if isinstance(layer, QuantLinear | GridLinear)}
    if not layers:
        return None
    first = next(iter(layers.values()))
    untied = tuple(name for name, layer in layers.items() if layer.was_tied)
    return Quantization(first.scheme, tuple(layers), untied, isinstance(first, GridLinear))


def stored_bytes(model: nn.Module) -> int:
    """Of all tensors of the model, quantized or not; a shared one counts once."""
    return sum(tensor.nbytes for tensor in {id(t): t for t in model.state_dict(keep_vars=True).values()}.values())


def _plain(own: QuantLinear) -> Linear:
    weight = own.weight
    linear = Linear(*weight.shape, has_bias=own.bias is not None)
    linear.weight = nn.Parameter(weight)
    if own.bias is not None:
        linear.bias = nn.Parameter(own.bias.clone())
    return linear


def _refuse(model: nn.Module, kinds: tuple[type[nn.Module], ...], what: str) -> None:
    if any(isinstance(layer, kinds) for layer in model.modules()):
        raise MiscopeError(f"The model {what}; start from the one that it was made from.")


def _untied(model: M) -> M:
    """A copy in which every unembedding has weights of its own."""
    own = copy.deepcopy(model)
    for part in own.modules():
        if isinstance(part, Transformer):
            part.untie()
    return own


def replace_layers(model: M, kind: type[L], by: Callable[[str, L], nn.Module]) -> M:
    """The model itself, with `by(name, layer)` in the place of every layer of the kind; there must be one."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kind)]
    if not layers:
        raise MiscopeError(f"The model has no {kind.__name__} to replace.")
    for name, layer in layers:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, by(name, layer))
    return model


def save_quantized(path: Path, model: Transformer) -> None:
    """Write the model, byte-stably: the same model gives the same file.

    Raises:
        MiscopeError: the model is not quantized.
    """
    quantization = quantization_of(model)
    if quantization is None or not is_model_quantized(model):
        raise MiscopeError("The model is not quantized; `store.save_checkpoint` stores one that is not.")
    tensors = {name: tensor.contiguous() for name, tensor in sorted(model.state_dict().items())}
    meta = {
        "model": asdict(model.config),
        "scheme": asdict(quantization.scheme),
        "untied": quantization.untied,
        "tensors": _digest(tensors),
    }
    files.write(path, save_tensors(tensors, metadata={"miscope": keys.canonical_json(meta)}))


def load_quantized(path: Path) -> Transformer:
    """The model in the file, for inference; its logits are bit-equal to those of the model that was saved.

    Raises:
        MiscopeError: the file is damaged, or holds no quantized model.
    """
    try:
        content = path.read_bytes()
        tensors, header = load_tensors(content), store.metadata_of(content)
    except (OSError, SafetensorError, ValueError) as error:
        raise MiscopeError(f"The quantized model {path} cannot be read ({error}).") from None
    meta = json.loads(header or "{}")
    if "scheme" not in meta:
        raise MiscopeError(f"{path} holds no quantized model: its header names no scheme.")
    if meta["tensors"] != _digest(tensors):
        raise MiscopeError(f"The quantized model {path} is damaged: its tensors differ from their digest.")
    scheme, untied = Scheme(**meta["scheme"]), meta["untied"]

    def quantized(name: str, own: Linear) -> QuantLinear:
        buffers = {buffer: tensors.get(f"{name}.{buffer}") for buffer in BUFFERS}
        return QuantLinear(scheme, own.weight.shape[0], buffers, was_tied=name in untied)

    model = replace_layers(Transformer(ModelConfig(**meta["model"]), seed=None), Linear, quantized)
    model.load_state_dict(tensors, strict=True)
    return model.eval().requires_grad_(False)


def _digest(tensors: dict[str, Tensor]) -> str:
    return keys.digest_of_arrays({name: tensor.detach().numpy() for name, tensor in tensors.items()})


def least_seconds(runs: Mapping[str, Callable[[], object]], rounds: int = ROUNDS, repeats: int = 3) -> dict[str, float]:
    """The least CPU seconds of one call of each; they take turns, so that a noisy machine disturbs all alike."""
    least = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run()  # the first call finds kernels and fills caches
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.process_time()
            for _ in range(repeats):
                run()
            least[name] = min(least[name], (time.process_time() - began) / repeats)
    return least


def _require(wanted: float, floats: nn.Module, quantized: nn.Module, sample: Tensor | None) -> None:
    """Refuse a quantized model that is not so many times as fast, or that there is nothing to measure on."""
    if sample is None:
        if not isinstance(quantized, Transformer):
            raise MiscopeError("`require_speedup` needs a `sample` to measure a model that is no Transformer on.")
        sample = torch.arange(quantized.config.n_ctx)[None] % quantized.config.d_vocab
    with torch.inference_mode():
        least = least_seconds({"float": lambda: floats(sample), "quantized": lambda: quantized(sample)})
    if (speedup := least["float"] / least["quantized"]) < wanted:
        shape = " x ".join(map(str, sample.shape))
        raise MiscopeError(
            f"The quantized model is {speedup:.2f} times as fast as float32 on {shape} tokens; "
            f"`require_speedup` = {wanted}. Small models gain little; on few rows, or at d_model 64, they are slower."
        )
