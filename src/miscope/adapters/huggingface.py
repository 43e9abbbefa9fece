"""A Hugging Face causal language model from a local folder. Nothing is fetched, and no code but the library's runs.

Its weights go under the names of our own transformer and back by one table, read both ways. A name that one side has
and the other lacks is an error.

Source: Qwen Team 2024, arXiv:2407.10671 (Qwen2); 2025, arXiv:2505.09388 (Qwen3).
"""

import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from miscope.adapters.base import BaseAdapter, Tokenizer, whole_folder
from miscope.adapters.settings import core_config, read_config
from miscope.catalog import reason
from miscope.core import MiscopeError, ModelConfig
from miscope.model.transformer import Transformer


class HuggingFaceAdapter(BaseAdapter):
    """A subclass names its architecture and the `model_type`s of config.json that it takes."""

    architecture: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]

    def __init__(self, model: Any, tokenizer: Any | None = None) -> None:
        super().__init__()
        self.model, self._tokenizer = model, tokenizer

    def forward(
        self, input_ids: Int[Tensor, "batch pos"], attention_mask: Int[Tensor, "batch pos"] | None = None
    ) -> Float[Tensor, "batch pos vocab"]:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits

    def get_config(self) -> dict[str, Any]:
        """What config.json says."""
        return self.model.config.to_dict()

    def save_checkpoint(self, path: Path) -> None:
        """In Hugging Face's layout, which other programs read too."""
        with whole_folder(path, self.get_architecture_type()) as folder, _quiet():
            self.model.save_pretrained(folder)
            if self._tokenizer is not None:
                self._tokenizer.save_pretrained(folder)

    @classmethod
    def load_checkpoint(cls, path: Path) -> "HuggingFaceAdapter":
        """From a folder with config.json, safetensors and, if there is one, tokenizer.json; float32, to evaluate."""
        kind = read_config(path).get("model_type")
        if kind not in cls.model_types:
            allowed = ", ".join(cls.model_types)
            raise MiscopeError(f"{path} holds a model of type {kind!r}; `{cls.architecture}` takes {allowed}.")
        _check_weights(path)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with _quiet():
            try:
                model = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, dtype=torch.float32, **local)
            except RuntimeError as error:  # weights of another shape
                raise MiscopeError(f"{path} cannot be loaded: {reason(error)}") from None
            has_tokenizer = (path / "tokenizer.json").is_file()
            tokenizer = AutoTokenizer.from_pretrained(path, **local) if has_tokenizer else None
        return cls(model, tokenizer).eval()

    @classmethod
    def get_architecture_type(cls) -> str:
        return cls.architecture

    def get_tokenizer(self) -> Tokenizer | None:
        return self._tokenizer

    @classmethod
    def claims(cls, path: Path) -> bool:
        return read_config(path).get("model_type") in cls.model_types

    def core(self) -> Transformer:
        """Our own transformer with copies of these weights, so that hooks and instruments see every activation.

        Raises:
            MiscopeError: the model uses what ours does not compute.
        """
        state = self.model.state_dict()
        config = core_config(self.get_config())
        if config.has_tied_embeddings:
            state.pop("lm_head.weight", None)
        return to_core(state, config)


class QwenAdapter(HuggingFaceAdapter):
    """Rotary positions, shared keys and values, gated MLPs; Qwen2 with biases on q, k, v, Qwen3 with norms on q, k."""

    architecture: ClassVar[str] = "qwen"
    model_types: ClassVar[tuple[str, ...]] = ("qwen2", "qwen3")


def _check_weights(path: Path) -> None:
    """The library draws missing weights at random with a remark, and skips unknown ones; here either is an error."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path, local_files_only=True))
    wanted, stored = set(model.state_dict()), set[str]()
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise MiscopeError(f"{path} has no *.safetensors; weights of another format are not read.")
    for file in files:
        with safe_open(file, framework="numpy") as tensors:
            stored |= set(tensors.keys())
    if model.config.tie_word_embeddings:
        wanted -= {"lm_head.weight"} - stored
    _check_names(wanted, stored, f"The weights in {path}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars."""
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


# Hugging Face's name -> ours, in `Transformer.state_dict`; matrices are [d_out d_in] there and [d_in d_out] here
TABLE = {
    "model.embed_tokens.weight": "W_E",
    "model.layers.#.input_layernorm.weight": "blocks.#.ln1.w",
    **{f"model.layers.#.self_attn.{x}_proj.weight": f"blocks.#.attn.{x}.weight" for x in "qkvo"},
    **{f"model.layers.#.self_attn.{x}_proj.bias": f"blocks.#.attn.{x}.bias" for x in "qkv"},
    **{f"model.layers.#.self_attn.{x}_norm.weight": f"blocks.#.attn.{x}_norm.w" for x in "qk"},
    "model.layers.#.post_attention_layernorm.weight": "blocks.#.ln2.w",
    "model.layers.#.mlp.up_proj.weight": "blocks.#.mlp.fc_in.weight",
    "model.layers.#.mlp.gate_proj.weight": "blocks.#.mlp.fc_gate.weight",
    "model.layers.#.mlp.down_proj.weight": "blocks.#.mlp.fc_out.weight",
    "model.norm.weight": "ln_final.w",
    "lm_head.weight": "unembed.weight",
}
BACK = {ours: theirs for theirs, ours in TABLE.items()}


def to_core(weights: Mapping[str, Tensor], config: ModelConfig) -> Transformer:
    """Our transformer with copies of the weights. One that is missing, unknown or of another shape is refused."""
    model = Transformer(config, seed=None)
    wanted = {_renamed(name, BACK): value.shape for name, value in model.state_dict().items()}
    _check_names(wanted.keys(), weights.keys(), "The weights")
    ours = {_renamed(name, TABLE): _transposed(name, value) for name, value in weights.items()}
    for name, value in model.state_dict().items():
        if ours[name].shape != value.shape:
            theirs = _renamed(name, BACK)
            raise MiscopeError(
                f"The weight {theirs} has shape {tuple(weights[theirs].shape)}; the settings say another."
            )
    model.load_state_dict({name: value.detach().float() for name, value in ours.items()})
    return model


def from_core(model: Transformer) -> dict[str, Tensor]:
    """Copies of the weights under Hugging Face's names and in its shapes."""
    state = {_renamed(name, BACK): value for name, value in model.state_dict().items()}
    return {name: _transposed(name, value).contiguous().clone() for name, value in state.items()}


def _check_names(wanted: Set[str], stored: Set[str], what: str) -> None:
    faults = {"missing": sorted(wanted - stored), "unknown": sorted(stored - wanted)}
    said = [f"{len(names)} {fault}: {', '.join(names[:4])}" for fault, names in faults.items() if names]
    if said:
        raise MiscopeError(f"{what} do not fit the settings; {'; '.join(said)}.")


def _renamed(name: str, table: Mapping[str, str]) -> str:
    """The name by the table; one that it does not know stays, for `_check_names` to refuse."""
    layer = re.search(r"\.(\d+)\.", name)
    pattern = name.replace(layer[0], ".#.", 1) if layer else name
    return table.get(pattern, name).replace("#", layer[1]) if layer else table.get(pattern, name)


def _transposed(name: str, x: Tensor) -> Tensor:
    """Matrices are stored the other way round; the table of embeddings is not."""
    return x.T if x.ndim == 2 and name != "model.embed_tokens.weight" else x
