"""A quantized model as one safetensors file: all its tensors, with its shape and scheme in the header."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from miscope import keys
from miscope.core import MiscopeError, ModelConfig
from miscope.model.layers import Linear
from miscope.model.transformer import Transformer
from miscope.quantization.grid import Scheme
from miscope.quantization.linear import BUFFERS, QuantLinear
from miscope.quantization.model import is_model_quantized, quantization_of, replace_layers
from miscope.workspace import files, store


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
    tensors, meta = _read(path)
    scheme, untied = Scheme(**meta["scheme"]), meta["untied"]

    def quantized(name: str, own: Linear) -> QuantLinear:
        buffers = {buffer: tensors.get(f"{name}.{buffer}") for buffer in BUFFERS}
        return QuantLinear(scheme, own.weight.shape[0], buffers, was_tied=name in untied)

    model = replace_layers(Transformer(ModelConfig(**meta["model"]), seed=None), Linear, quantized)
    model.load_state_dict(tensors, strict=True)
    return model.eval().requires_grad_(False)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
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
    return tensors, meta


def _digest(tensors: dict[str, Tensor]) -> str:
    return keys.digest_of_arrays({name: tensor.detach().numpy() for name, tensor in tensors.items()})
