"""Qwen2 and Qwen3, made here; the network is shut."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hugging_face import write

from miscope.adapters import QwenAdapter


@pytest.fixture(scope="module", autouse=True)
def no_network() -> Iterator[None]:
    """A socket to anywhere is an error, whoever opens it."""

    def refuse(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"a socket was opened to {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


@pytest.fixture(scope="session", params=["qwen2", "qwen2 tied", "qwen3", "qwen3 tied"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, _, tied = request.param.partition(" ")
    return write(tmp_path_factory.mktemp("models") / kind, kind, tie_word_embeddings=bool(tied))


@pytest.fixture
def qwen(folder: Path) -> QwenAdapter:
    return QwenAdapter.load_checkpoint(folder)


@pytest.fixture
def tokens(qwen: QwenAdapter) -> torch.Tensor:
    size = qwen.get_config()["vocab_size"]
    return torch.randint(size, (3, 9), generator=torch.Generator().manual_seed(1))
