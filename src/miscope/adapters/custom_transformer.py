"""The product's own transformer behind the interface of all adapters; it is held as it is, its weights' names too."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from miscope.adapters.base import BaseAdapter, Tokenizer, whole_folder
from miscope.core import MiscopeError
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights, weights
from miscope.workspace import files, store


@dataclass(frozen=True)
class CharacterTokenizer:
    """Token n is the n-th of `characters`, each of which stands there once, as in `families.text.Text.characters`."""

    characters: str

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.characters)}

    def encode(self, text: str) -> list[int]:
        """Token ids; a character that no token stands for is refused by a MiscopeError."""
        if unknown := sorted(set(text) - self._ids.keys()):
            raise MiscopeError(f"The text has {unknown[0]!r}, which none of the {len(self._ids)} tokens stands for.")
        return [self._ids[character] for character in text]

    def decode(self, token_ids: list[int]) -> str:
        return "".join(self.characters[i] for i in token_ids)


class CustomTransformerAdapter(BaseAdapter):
    """`model` may be hooked, trained and stored as if there were no adapter."""

    def __init__(self, model: Transformer, tokenizer: CharacterTokenizer | None = None) -> None:
        super().__init__()
        self.model, self._tokenizer = model, tokenizer

    def forward(
        self, input_ids: Int[Tensor, "batch pos"], attention_mask: Int[Tensor, "batch pos"] | None = None
    ) -> Float[Tensor, "batch pos vocab"]:
        return self.model(input_ids, attention_mask=None if attention_mask is None else attention_mask.bool())

    def get_config(self) -> dict[str, Any]:
        return asdict(self.model.config) | {"vocab_size": self.model.config.d_vocab}

    def save_checkpoint(self, path: Path) -> None:
        with whole_folder(path, self.get_architecture_type()) as folder:
            store.save_checkpoint(folder / "model.safetensors", 0, self.model.config, weights(self.model))
            if self._tokenizer is not None:
                text = json.dumps({"characters": self._tokenizer.characters}, ensure_ascii=False)
                files.write(folder / "tokenizer.json", text)

    @classmethod
    def load_checkpoint(cls, path: Path) -> "CustomTransformerAdapter":
        """From a folder that `save_checkpoint` wrote, or from one checkpoint of a variant, a file."""
        file, tokenizer = path if path.is_file() else path / "model.safetensors", path / "tokenizer.json"
        if not file.is_file():
            raise MiscopeError(f"{path} holds no model of ours: it has no model.safetensors.")
        checkpoint = store.load_checkpoint(file)
        model = load_weights(Transformer(checkpoint.model, seed=None), checkpoint.weights)
        characters = json.loads(tokenizer.read_text(encoding="utf-8")) if tokenizer.is_file() else None
        return cls(model, characters and CharacterTokenizer(**characters))

    @classmethod
    def get_architecture_type(cls) -> str:
        return "custom-transformer"

    def get_tokenizer(self) -> Tokenizer | None:
        return self._tokenizer
