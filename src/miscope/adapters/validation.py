"""Whether an adapter keeps what the interface promises: each check has a name, and says what it found."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from miscope.adapters.base import BaseAdapter
from miscope.core import MiscopeError

METHODS = (
    *("forward", "get_config", "save_checkpoint", "load_checkpoint"),
    *("get_architecture_type", "get_num_parameters", "get_tokenizer"),
)
TEXT = "the quick brown fox\n"


@dataclass(frozen=True)
class Fault:
    """A check that an adapter fails, and why, in a sentence."""

    check: str
    detail: str

    def __str__(self) -> str:
        return f"{self.check}: {self.detail}"


def validate_adapter(adapter: Any) -> tuple[Fault, ...]:
    """What is wrong with an adapter; empty if nothing is. Its weights, gradients and mode are left as they were.

    The checks: `methods`, `shape`, `finite`, `causal`, `gradients`, `parameter count`, `round trip`, `tokenizer`.
    """
    lacking = [name for name in METHODS if not _has(adapter, name)]
    if lacking:
        return (Fault("methods", f"{type(adapter).__name__} lacks {', '.join(lacking)}."),)
    was_training = adapter.training
    adapter.eval()
    try:
        return tuple(fault for name, check in CHECKS.items() for fault in _run(name, check, adapter))
    finally:
        adapter.train(was_training)


def _has(adapter: Any, name: str) -> bool:
    method = getattr(type(adapter), name, None)
    return callable(method) and method is not nn.Module.forward and not getattr(method, "__isabstractmethod__", False)


def _run(name: str, check: Callable[[BaseAdapter], Iterator[str]], adapter: BaseAdapter) -> Iterator[Fault]:
    try:
        with torch.set_grad_enabled(check is _gradients):
            yield from [Fault(name, detail) for detail in check(adapter)]
    except Exception as error:  # whatever the adapter raises
        yield Fault(name, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _tokens(adapter: BaseAdapter, n_pos: int = 6) -> Tensor:
    config = adapter.get_config()
    n_pos = min(n_pos, config.get("n_ctx", n_pos))
    return torch.randint(config["vocab_size"], (2, n_pos), generator=torch.Generator().manual_seed(0))


def _shape(adapter: BaseAdapter) -> Iterator[str]:
    config, tokens = adapter.get_config(), _tokens(adapter)
    wanted = (*tokens.shape, config.get("d_vocab_out", config["vocab_size"]))
    found = tuple(adapter(tokens).shape)
    if found != wanted:
        yield f"the logits of {tuple(tokens.shape)} tokens have shape {found}, not {wanted}."


def _finite(adapter: BaseAdapter) -> Iterator[str]:
    odd = int((~torch.isfinite(adapter(_tokens(adapter)))).sum())
    if odd:
        yield f"{odd} logits are NaN or infinite."


def _causal(adapter: BaseAdapter) -> Iterator[str]:
    """Another last token must change nothing before it. A model that says `is_causal: false` need not."""
    config, tokens = adapter.get_config(), _tokens(adapter)
    if not config.get("is_causal", True):
        return
    other = tokens.clone()
    other[:, -1] = (tokens[:, -1] + 1) % config["vocab_size"]
    before, after = adapter(tokens)[:, :-1], adapter(other)[:, :-1]
    difference = (before - after).abs().max().item() if before.numel() else 0.0
    if difference > 1e-5 * max(1.0, before.abs().max().item()):
        yield f"another last token changes earlier logits by up to {difference:.2g}."


def _gradients(adapter: BaseAdapter) -> Iterator[str]:
    kept = {name: parameter.grad for name, parameter in adapter.named_parameters()}
    adapter.zero_grad(set_to_none=True)
    try:
        adapter(_tokens(adapter)).square().mean().backward()
        lacking = [n for n, p in adapter.named_parameters() if p.requires_grad and p.grad is None]
        odd = [n for n, p in adapter.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
        if lacking:
            yield f"{len(lacking)} parameters get no gradient: {', '.join(lacking[:4])}."
        if odd:
            yield f"{len(odd)} gradients are NaN or infinite: {', '.join(odd[:4])}."
    finally:
        for name, parameter in adapter.named_parameters():
            parameter.grad = kept[name]


def _parameter_count(adapter: BaseAdapter) -> Iterator[str]:
    wanted = sum(parameter.numel() for parameter in {id(p): p for p in adapter.parameters()}.values())
    if (found := adapter.get_num_parameters()) != wanted:
        yield f"it says {found:,} parameters and has {wanted:,}, shared ones counted once."


def _round_trip(adapter: BaseAdapter) -> Iterator[str]:
    tokens = _tokens(adapter)
    with tempfile.TemporaryDirectory() as folder:
        adapter.save_checkpoint(Path(folder) / "checkpoint")
        again = type(adapter).load_checkpoint(Path(folder) / "checkpoint").eval()
    if again.get_architecture_type() != adapter.get_architecture_type():
        yield f"it is loaded as `{again.get_architecture_type()}`."
    difference = (again(tokens) - adapter(tokens)).abs().max().item()
    if difference != 0:
        yield f"the logits differ by up to {difference:.2g} after saving and loading."


def _tokenizer(adapter: BaseAdapter) -> Iterator[str]:
    tokenizer = adapter.get_tokenizer()
    if tokenizer is None:
        return
    try:
        ids = tokenizer.encode(TEXT)
    except MiscopeError:  # the model reads other characters
        return
    if (text := tokenizer.decode(ids)) != TEXT:
        yield f"{TEXT!r} comes back as {text!r}."
    if (largest := max(ids)) >= adapter.get_config()["vocab_size"]:
        yield f"it gives the token {largest}, and the model has {adapter.get_config()['vocab_size']}."


CHECKS: dict[str, Callable[[BaseAdapter], Iterator[str]]] = {
    "shape": _shape,
    "finite": _finite,
    "causal": _causal,
    "gradients": _gradients,
    "parameter count": _parameter_count,
    "round trip": _round_trip,
    "tokenizer": _tokenizer,
}
