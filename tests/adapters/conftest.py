"""Tiny Qwen2 and Qwen3 models with random weights and a byte-level tokenizer, made here; the network is shut."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from miscope.adapters.huggingface import _quiet
from miscope.adapters.qwen import QwenAdapter

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CONFIGS: dict[str, Any] = {"qwen2": Qwen2Config, "qwen3": Qwen3Config, "llama": LlamaConfig}


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


def tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    bpe.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 2, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=SPECIAL[2], pad_token=SPECIAL[0])


def random_model(kind: str, seed: int = 0, **settings: Any) -> Any:
    """A model of two layers, four heads of which two share keys and values, and every parameter away from 0 and 1."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}, "max_position_embeddings": 64}
    heads = {"num_key_value_heads": 2} | ({"head_dim": 12} if kind == "qwen3" else {})
    config = CONFIGS[kind](vocab_size=len(tokenizer()), **{**shape, **rope, **heads, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
    return model


def write(folder: Path, kind: str, seed: int = 0, **settings: Any) -> Path:
    with _quiet():
        random_model(kind, seed, **settings).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make() -> Callable[..., Path]:
    """`make(folder, kind, seed, **settings)` writes a model in Hugging Face's layout."""
    return write


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
