"""A Hugging Face causal language model from a local folder. Nothing is fetched, and no code but the library's runs."""

from collections.abc import Iterator
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
from miscope.adapters.mapping import check_names, to_core
from miscope.adapters.settings import core_config, read_config
from miscope.core import MiscopeError
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
        kind = _model_type(path)
        if kind not in cls.model_types:
            allowed = ", ".join(cls.model_types)
            raise MiscopeError(f"{path} holds a model of type {kind!r}; `{cls.architecture}` takes {allowed}.")
        _check_weights(path)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with _quiet():
            try:
                model = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, dtype=torch.float32, **local)
            except RuntimeError as error:  # weights of another shape
                raise MiscopeError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from None
            has_tokenizer = (path / "tokenizer.json").is_file()
            tokenizer = AutoTokenizer.from_pretrained(path, **local) if has_tokenizer else None
        return cls(model.eval(), tokenizer)

    @classmethod
    def get_architecture_type(cls) -> str:
        return cls.architecture

    def get_tokenizer(self) -> Tokenizer | None:
        return self._tokenizer

    @classmethod
    def claims(cls, path: Path) -> bool:
        return _model_type(path) in cls.model_types

    def core(self) -> Transformer:
        """Our own transformer with copies of these weights, so that taps and instruments see every activation.

        Raises:
            MiscopeError: the model uses what ours does not compute.
        """
        state = self.model.state_dict()
        config = core_config(self.get_config())
        if config.has_tied_embeddings:
            state.pop("lm_head.weight", None)
        return to_core(state, config)


def _model_type(path: Path) -> str | None:
    return read_config(path).get("model_type")


def _check_weights(path: Path) -> None:
    """The library draws missing weights at random with a remark, and skips unknown ones; here either is an error."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path, local_files_only=True))
    wanted = set(model.state_dict())
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise MiscopeError(f"{path} has no *.safetensors; weights of another format are not read.")
    found: set[str] = set()
    for file in files:
        with safe_open(file, framework="numpy") as tensors:
            found |= set(tensors.keys())
    if model.config.tie_word_embeddings:
        wanted -= {"lm_head.weight"} - found
    check_names(wanted, found, f"The weights in {path}")


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
