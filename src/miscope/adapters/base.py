"""One interface over architectures: what generates and checks knows a model by these methods alone."""

import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor, nn

from miscope import catalog
from miscope.core import MiscopeError
from miscope.workspace import files

HEADER = "adapter.json"  # the file of a checkpoint's folder that says which architecture it is of
KNOWN: dict[str, "type[BaseAdapter] | str"] = {  # architecture type -> its adapter, or the dotted path of one of ours
    "custom-transformer": "miscope.adapters.custom_transformer.CustomTransformerAdapter",
    "qwen": "miscope.adapters.huggingface.QwenAdapter",
}


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back; `decode(encode(text))` is the text."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, token_ids: list[int]) -> str: ...


class BaseAdapter(nn.Module, ABC):
    """A language model of some architecture. Python refuses to make one that lacks a method, and names the method.

    It is an `nn.Module`: optimizers, hooks, `.to` and DistributedDataParallel take it as it is.
    """

    @abstractmethod
    def forward(
        self, input_ids: Int[Tensor, "batch pos"], attention_mask: Int[Tensor, "batch pos"] | None = None
    ) -> Float[Tensor, "batch pos vocab"]:
        """Logits. The mask is 1 at tokens and 0 at padding, which may stand at the left."""

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The architecture's own settings as plain data; `vocab_size` is among them."""

    @abstractmethod
    def save_checkpoint(self, path: Path) -> None:
        """Write weights, settings and tokenizer to the folder `path`, whole or not at all."""

    @classmethod
    @abstractmethod
    def load_checkpoint(cls, path: Path) -> "BaseAdapter":
        """The model that the folder `path` holds; nothing else needs to be known of it.

        Raises:
            MiscopeError: it is of another architecture, or a weight is missing, unknown or of another shape.
        """

    @classmethod
    @abstractmethod
    def get_architecture_type(cls) -> str:
        """The name that the architecture is registered by, such as `qwen`."""

    @abstractmethod
    def get_tokenizer(self) -> Tokenizer | None:
        """What the model reads and writes text by; None where its tokens are no text."""

    def get_num_parameters(self) -> int:
        """Numbers to train or keep; a weight that two places share counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Whether a folder that MIScope did not write holds a model of this architecture."""
        return False


@contextmanager
def whole_folder(path: Path, architecture: str) -> Iterator[Path]:
    """A folder to write a checkpoint to, which takes the place of `path` once all is written.

    Raises:
        MiscopeError: `path` is there and is no checkpoint of an adapter; it stays as it is.
    """
    if path.exists() and not (path / HEADER).is_file():
        raise MiscopeError(f"{path} exists and holds no adapter's checkpoint; give a new folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=path.parent, prefix=".unfinished-"))
    try:
        yield unfinished
        files.write(unfinished / HEADER, files.pretty_json({"architecture": architecture}))
        if path.exists():
            shutil.rmtree(path)
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def register(adapter: type[BaseAdapter]) -> type[BaseAdapter]:
    """Make an adapter known by its architecture type; it may stand above the class as a decorator.

    Raises:
        MiscopeError: the type has an adapter already.
    """
    name = adapter.get_architecture_type()
    if name in KNOWN:
        raise MiscopeError(f"The architecture `{name}` has an adapter already, {adapter_class(name).__name__}.")
    KNOWN[name] = adapter
    return adapter


def adapter_class(name: str) -> type[BaseAdapter]:
    """The adapter of an architecture type.

    Raises:
        MiscopeError: there is none; it names those known.
    """
    adapter = KNOWN[catalog.known("adapter for the architecture", name, tuple(KNOWN))]
    if not isinstance(adapter, str):
        return adapter
    module, _, cls = adapter.rpartition(".")
    return getattr(catalog.imported(module, f"The adapter `{name}`"), cls)


def load(path: Path | str) -> BaseAdapter:
    """The model in a folder that an adapter wrote, or that holds a model in a layout which one of them knows.

    Raises:
        MiscopeError: no adapter knows what the folder holds, or the one that does refuses it.
    """
    path = Path(path)
    if not path.is_dir():
        raise MiscopeError(f"{path} is no folder; a checkpoint is a folder.")
    header = path / HEADER
    if header.is_file():
        return adapter_class(json.loads(header.read_text(encoding="utf-8"))["architecture"]).load_checkpoint(path)
    for cls in map(adapter_class, KNOWN):
        if cls.claims(path):
            return cls.load_checkpoint(path)
    raise MiscopeError(f"No adapter knows what {path} holds. Known: {', '.join(KNOWN)}.")
