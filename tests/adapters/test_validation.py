"""`validate_adapter` passes our adapters, and names each fault that is built into one of them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from miscope.adapters import BaseAdapter, CharacterTokenizer, CustomTransformerAdapter, QwenAdapter
from miscope.adapters.validation import METHODS, validate_adapter
from miscope.core import ModelConfig
from miscope.model import Transformer

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


def forward(change: Callable[[CustomTransformerAdapter, Tensor], Tensor]) -> dict[str, Any]:
    """A forward pass whose logits are changed."""
    whole = CustomTransformerAdapter.forward
    return {"forward": lambda self, input_ids, attention_mask=None: change(self, whole(self, input_ids))}


def no_space(self: CustomTransformerAdapter, path: Path) -> None:
    raise OSError("no space left")


class Garbling:
    def encode(self, text: str) -> list[int]:
        return [0]

    def decode(self, token_ids: list[int]) -> str:
        return "?"


FAULTY: dict[str, tuple[dict[str, Any], str, str]] = {  # what -> methods, the check that fails, what it says
    "shorter": (forward(lambda self, y: y[:, -1]), "shape", r"shape \(2, 12\), not \(2, 6, 12\)"),
    "not a number": (forward(lambda self, y: y * float("nan")), "finite", "144 logits are NaN"),
    "foreseeing": (
        forward(lambda self, y: y + y.mean(dim=1, keepdim=True)),
        "causal",
        "another last token changes earlier logits",
    ),
    "detached": (
        forward(lambda self, y: y.detach() + 0 * self.model.unembed.weight.sum()),
        "gradients",
        "parameters get no gradient: model.W_E",
    ),
    "miscounted": ({"get_num_parameters": lambda self: 1}, "parameter count", "it says 1 .* shared ones counted once"),
    "forgetful": (
        {"load_checkpoint": classmethod(lambda cls, path: cls(Transformer(CONFIG, 2)))},
        "round trip",
        "differ by up to .* after saving and loading",
    ),
    "stumbling": ({"save_checkpoint": no_space}, "round trip", "OSError: no space left"),
    "garbling": ({"get_tokenizer": lambda self: Garbling()}, "tokenizer", "comes back as '\\?'"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_each_fault_fails_the_check_of_its_name(name: str) -> None:
    methods, check, says = FAULTY[name]
    adapter = type("Faulty", (CustomTransformerAdapter,), methods)(Transformer(CONFIG, 1))
    faults = {fault.check: fault for fault in validate_adapter(adapter)}
    assert check in faults
    assert name in ("shorter", "not a number") or set(faults) == {check}  # those two fail other checks too
    assert re.search(says, str(faults[check])), faults[check]
