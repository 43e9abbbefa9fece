"""Whether an adapter keeps what the interface promises: each check has a name, and says what is wrong."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from miscope.adapters.base import BaseAdapter
from miscope.catalog import reason
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
    methods = {name: getattr(type(adapter), name, None) for name in METHODS}
    is_abstract = {n: getattr(m, "__isabstractmethod__", m is nn.Module.forward) for n, m in methods.items()}
    if lacking := [name for name, method in methods.items() if not callable(method) or is_abstract[name]]:
        return (Fault("methods", f"{type(adapter).__name__} lacks {', '.join(lacking)}."),)
    was_training = adapter.training
    adapter.eval()
    try:
        return tuple(fault for name, check in CHECKS.items() for fault in _run(name, check, adapter))
    finally:
        adapter.train(was_training)


def _run(name: str, check: Callable[[BaseAdapter], Iterator[str]], adapter: BaseAdapter) -> Iterator[Fault]:
    try:
        with torch.set_grad_enabled(check is _gradients):
            yield from [Fault(name, detail) for detail in check(adapter)]
    except Exception as error:  # whatever the adapter raises
        yield Fault(name, reason(error))


def _tokens(adapter: BaseAdapter) -> Tensor:
    """Two rows of six, or of as many as the model has positions."""
    config = adapter.get_config()
    shape = (2, min(6, config.get("n_ctx", 6)))
    return torch.randint(config["vocab_size"], shape, generator=torch.Generator().manual_seed(0))


def _shape(adapter: BaseAdapter) -> Iterator[str]:
    config, tokens = adapter.get_config(), _tokens(adapter)
    wanted = (*tokens.shape, config.get("d_vocab_out", config["vocab_size"]))
    if (shape := tuple(adapter(tokens).shape)) != wanted:
        yield f"the logits of {tuple(tokens.shape)} tokens have shape {shape}, not {wanted}."


def _finite(adapter: BaseAdapter) -> Iterator[str]:
    if odd := int((~torch.isfinite(adapter(_tokens(adapter)))).sum()):
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
    parameters = dict(adapter.named_parameters())
    kept = {name: parameter.grad for name, parameter in parameters.items()}
    adapter.zero_grad(set_to_none=True)
    try:
        adapter(_tokens(adapter)).square().mean().backward()
        if lacking := [n for n, p in parameters.items() if p.requires_grad and p.grad is None]:
            yield f"{len(lacking)} parameters get no gradient: {', '.join(lacking[:4])}."
        if odd := [n for n, p in parameters.items() if p.grad is not None and not p.grad.isfinite().all()]:
            yield f"{len(odd)} gradients are NaN or infinite: {', '.join(odd[:4])}."
    finally:
        for name, parameter in parameters.items():
            parameter.grad = kept[name]


def _parameter_count(adapter: BaseAdapter) -> Iterator[str]:
    wanted = sum(parameter.numel() for parameter in {id(p): p for p in adapter.parameters()}.values())
    if (said := adapter.get_num_parameters()) != wanted:
        yield f"it says {said:,} parameters and has {wanted:,}, shared ones counted once."


def _round_trip(adapter: BaseAdapter) -> Iterator[str]:
    tokens = _tokens(adapter)
    with tempfile.TemporaryDirectory() as folder:
        adapter.save_checkpoint(Path(folder) / "checkpoint")
        again = type(adapter).load_checkpoint(Path(folder) / "checkpoint").eval()
    if again.get_architecture_type() != adapter.get_architecture_type():
        yield f"it is loaded as `{again.get_architecture_type()}`."
    if difference := (again(tokens) - adapter(tokens)).abs().max().item():
        yield f"the logits differ by up to {difference:.2g} after saving and loading."


def _tokenizer(adapter: BaseAdapter) -> Iterator[str]:
    tokenizer, size = adapter.get_tokenizer(), adapter.get_config()["vocab_size"]
    try:
        ids = tokenizer.encode(TEXT) if tokenizer is not None else []
    except MiscopeError:  # the model reads other characters
        return
    if tokenizer is not None and (text := tokenizer.decode(ids)) != TEXT:
        yield f"{TEXT!r} comes back as {text!r}."
    if (largest := max(ids, default=0)) >= size:
        yield f"it gives the token {largest}, and the model has {size}."


_ALL = (_shape, _finite, _causal, _gradients, _parameter_count, _round_trip, _tokenizer)
CHECKS = {check.__name__.strip("_").replace("_", " "): check for check in _ALL}
