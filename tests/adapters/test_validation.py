"""`validate_adapter` passes our adapters, and names each fault that is built into one of them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from miscope.adapters.base import BaseAdapter
from miscope.adapters.characters import CharacterTokenizer
from miscope.adapters.custom_transformer import CustomTransformerAdapter
from miscope.adapters.qwen import QwenAdapter
from miscope.adapters.validation import METHODS, validate_adapter
from miscope.core import ModelConfig
from miscope.model.transformer import Transformer

CONFIG = ModelConfig(
    n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=32, n_ctx=8, d_vocab=12, d_vocab_out=12, normalization="LN"
)


def custom() -> CustomTransformerAdapter:
    return CustomTransformerAdapter(Transformer(CONFIG, 1), CharacterTokenizer("\nabcdefghijk"))


def test_ours_pass(qwen: QwenAdapter) -> None:
    assert validate_adapter(qwen) == ()
    assert validate_adapter(custom()) == ()
    assert validate_adapter(CustomTransformerAdapter(qwen.core())) == ()


def test_nothing_of_the_adapter_is_changed() -> None:
    adapter = custom().train()
    before = {name: value.clone() for name, value in adapter.state_dict().items()}
    adapter(torch.zeros(1, 3, dtype=torch.int64)).sum().backward()
    gradients = {name: p.grad for name, p in adapter.named_parameters()}
    validate_adapter(adapter)
    assert adapter.training
    assert all(torch.equal(value, before[name]) for name, value in adapter.state_dict().items())
    assert all(p.grad is gradients[name] for name, p in adapter.named_parameters())


@pytest.mark.parametrize("method", [m for m in METHODS if m != "get_num_parameters"])
def test_a_class_that_lacks_a_method_cannot_be_made_and_says_which(method: str) -> None:
    body = {m: getattr(CustomTransformerAdapter, m) for m in METHODS if m not in (method, "get_num_parameters")}
    with pytest.raises(TypeError, match=f"abstract method.*{method}"):
        type("Partial", (BaseAdapter,), body)()


def test_a_module_that_lacks_methods_fails_and_they_are_named() -> None:
    (fault,) = validate_adapter(nn.Linear(2, 2))
    assert fault.check == "methods"
    assert all(name in fault.detail for name in METHODS if name != "forward")


class Shorter(CustomTransformerAdapter):
    def forward(self, input_ids: Tensor, attention_mask: Any = None) -> Tensor:
        return super().forward(input_ids)[:, -1]


class NotANumber(CustomTransformerAdapter):
    def forward(self, input_ids: Tensor, attention_mask: Any = None) -> Tensor:
        return super().forward(input_ids) * float("nan")


class Foreseeing(CustomTransformerAdapter):
    def forward(self, input_ids: Tensor, attention_mask: Any = None) -> Tensor:
        logits = super().forward(input_ids)
        return logits + logits.mean(dim=1, keepdim=True)


class Detached(CustomTransformerAdapter):
    def forward(self, input_ids: Tensor, attention_mask: Any = None) -> Tensor:
        logits = super().forward(input_ids)
        return logits.detach() + 0 * self.model.unembed.weight.sum()


class Miscounted(CustomTransformerAdapter):
    def get_num_parameters(self) -> int:
        return super().get_num_parameters() + 1


class Forgetful(CustomTransformerAdapter):
    @classmethod
    def load_checkpoint(cls, path: Path) -> "CustomTransformerAdapter":
        return cls(Transformer(CONFIG, 2))


class Stumbling(CustomTransformerAdapter):
    def save_checkpoint(self, path: Path) -> None:
        raise OSError("no space left")


class Garbling(CustomTransformerAdapter):
    def get_tokenizer(self) -> Any:
        class Swapped:
            def encode(self, text: str) -> list[int]:
                return [0]

            def decode(self, token_ids: list[int]) -> str:
                return "?"

        return Swapped()


@pytest.mark.parametrize(
    ("cls", "check", "says"),
    [
        (Shorter, "shape", r"shape \(2, 12\), not \(2, 6, 12\)"),
        (NotANumber, "finite", "144 logits are NaN"),
        (Foreseeing, "causal", "another last token changes earlier logits"),
        (Detached, "gradients", "parameters get no gradient: model.W_E"),
        (Miscounted, "parameter count", "it says .* shared ones counted once"),
        (Forgetful, "round trip", "differ by up to .* after saving and loading"),
        (Stumbling, "round trip", "OSError: no space left"),
        (Garbling, "tokenizer", "comes back as '\\?'"),
    ],
)
def test_each_fault_fails_the_check_of_its_name(cls: Callable, check: str, says: str) -> None:
    faults = {fault.check: fault for fault in validate_adapter(cls(Transformer(CONFIG, 1)))}
    assert check in faults
    assert cls is Shorter or cls is NotANumber or set(faults) == {check}  # what is NaN is so in other checks too
    assert re.search(says, str(faults[check])), faults[check]
