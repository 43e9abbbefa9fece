"""Tiny Qwen2, Qwen3 and Llama models in Hugging Face's layout, with random weights and a byte-level tokenizer."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from miscope.adapters.huggingface import _quiet

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=list(SPECIAL), show_progress=False
    )
    bpe.train_from_iterator(["the quick brown fox jumps over the lazy dog"] * 2, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=SPECIAL[2], pad_token=SPECIAL[0])


def random_model(kind: str, seed: int = 0, **settings: Any) -> Any:
    """A model of two layers, four heads of which two share keys and values, and every parameter away from 0 and 1."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}, "max_position_embeddings": 64}
    heads = {"num_key_value_heads": 2} | ({"head_dim": 12} if kind == "qwen3" else {})
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer()), **{**shape, **rope, **heads, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
    return model


def write(folder: Path, kind: str, seed: int = 0, **settings: Any) -> Path:
    """The folder, with a model in it."""
    with _quiet():
        random_model(kind, seed, **settings).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    return folder
