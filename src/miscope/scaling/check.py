"""Whether a model, a dataset and a loss are what they claim: every method is called, on two examples.

`isinstance` on a Protocol passes an `nn.Module` without a forward, and any class at all as a loss.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from miscope import keys
from miscope.core import MiscopeError
from miscope.model.transformer import Transformer
from miscope.scaling.feed import held_out, n_rows, source, tokens_in
from miscope.scaling.plugins import Plugin, reason
from miscope.scaling.protocols import Batch, ScalableDataset, ScalableLoss, ScalableModel


@dataclass(frozen=True)
class Probed:
    """A dataset that was looked at: two examples of it, and what it says of itself."""

    batch: Batch
    tokens_per_example: int
    token_count: int | None
    entropy: float | None
    digest: str  # of the first examples of both splits


@dataclass(frozen=True)
class Sized:
    """A model that was looked at: its parameters, and FLOPs of training on one token, forward and back."""

    parameters: int  # without embeddings
    parameters_total: int
    flops_per_token: float
    is_core: bool  # its weights can be read by the instruments: it is the product's own transformer, in `core`


def seeded(plugin: Plugin, seed: int) -> Any:
    """What the plugin makes, with torch's own generator seeded and left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return plugin.make()


def probed(plugin: Plugin) -> tuple[ScalableDataset, Probed]:
    """The dataset, looked at.

    Raises:
        MiscopeError: one line that names it and what is missing.
    """
    dataset = plugin.make()
    _need(plugin, dataset, ("build", "token_count"))
    train, test = (_called(plugin, "build", partial(dataset.build, split)) for split in ("train", "test"))
    batch = _called(plugin, "build", lambda: source(train).batch(0, 0, 2))
    beside = _called(plugin, "build", lambda: held_out(test, 2, 1)[0])
    rows = _called(plugin, "build", lambda: n_rows(batch))
    if rows != 2:
        raise _fault(plugin, f"two examples were asked for, and a batch of {rows} came")
    count = _called(plugin, "token_count", dataset.token_count)
    if count is not None and not (isinstance(count, int) and count > 0):
        raise _fault(plugin, f"`token_count` gives {count!r}; allowed: a whole number above 0, or None")
    entropy = _called(plugin, "entropy", dataset.entropy) if hasattr(dataset, "entropy") else None
    return dataset, Probed(batch, tokens_in(batch) // rows, count, entropy, _digest(batch, beside))


def loss_of(plugin: Plugin) -> ScalableLoss:
    """The loss, which is looked at together with a model.

    Raises:
        MiscopeError: it cannot be called.
    """
    loss = plugin.make()
    if not callable(loss) or isinstance(loss, type):
        raise _fault(plugin, "it cannot be called with (output, batch)")
    return loss


def sized(plugin: Plugin, loss: ScalableLoss, loss_plugin: Plugin, data: Probed, seed: int = 0) -> Sized:
    """The model, looked at: forward, loss, backward, its count of parameters, its optimizer.

    Raises:
        MiscopeError: one line that names the plugin at fault and what is missing.
    """
    model = seeded(plugin, seed)
    _check_methods(plugin, model)
    with FlopCounterMode(display=False) as counted, torch.random.fork_rng(devices=[]):
        output = _called(plugin, "forward", lambda: model(data.batch))
        value = _called(loss_plugin, "call", lambda: loss(output, data.batch))
        _check_loss(loss_plugin, value)
        _called(loss_plugin, "gradient", value.backward)
    if not any(p.grad is not None for p in model.parameters()):
        raise _fault(plugin, "no parameter gets a gradient from the loss")
    parameters, total = (_count(plugin, model, one) for one in (True, False))
    if not 0 < parameters <= total:
        raise _fault(plugin, f"`num_params` counts {parameters} without embeddings, of {total}")
    per_token = counted.get_total_flops() / (2 * data.tokens_per_example)
    if hasattr(model, "estimate_flops"):
        per_token = float(_called(plugin, "estimate_flops", lambda: model.estimate_flops(1_000_000))) / 1e6
    return Sized(parameters, total, per_token, isinstance(getattr(model, "core", None), Transformer))


def _check_methods(plugin: Plugin, model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise _fault(plugin, f"it is {type(model).__name__}, no torch.nn.Module")
    if type(model).forward is nn.Module.forward:
        raise _fault(plugin, "it lacks the method `forward`")
    _need(plugin, model, ("num_params", "configure_optimizers"))
    assert isinstance(model, ScalableModel)
    made = _called(plugin, "configure_optimizers", lambda: model.configure_optimizers(1e-3, 0.1, (0.9, 0.95)))
    if not isinstance(made, torch.optim.Optimizer):
        raise _fault(plugin, f"`configure_optimizers` gives {type(made).__name__}, no torch optimizer")
    moved = {id(p) for group in made.param_groups for p in group["params"]}
    if still := [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in moved]:
        raise _fault(plugin, f"`configure_optimizers` leaves out {', '.join(still[:3])}")


def _check_loss(plugin: Plugin, value: Any) -> None:
    if not isinstance(value, Tensor) or value.ndim:
        found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise _fault(plugin, f"it gives {found}; allowed: one number, a tensor without axes")
    if not math.isfinite(value.item()):
        raise _fault(plugin, f"it gives {value.item()} on two examples")
    if not value.requires_grad:
        raise _fault(plugin, "what it gives has no gradient")


def _count(plugin: Plugin, model: Any, non_embedding: bool) -> int:
    count = _called(plugin, "num_params", lambda: model.num_params(non_embedding=non_embedding))
    if not isinstance(count, int):
        raise _fault(plugin, f"`num_params` gives {count!r}, no whole number")
    return count


def _need(plugin: Plugin, made: Any, methods: tuple[str, ...]) -> None:
    lacks = [f"`{name}`" for name in methods if not callable(getattr(made, name, None))]
    if lacks:
        raise _fault(plugin, f"it lacks the method{'s' * (len(lacks) > 1)} {', '.join(lacks)}")


def _called(plugin: Plugin, what: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # whatever a plugin raises
        raise _fault(plugin, f"`{what}` fails on two examples: {reason(error)}") from None


def _fault(plugin: Plugin, sentence: str) -> MiscopeError:
    return MiscopeError(f"The{str(plugin)[3:]}: {sentence.rstrip('.')}.")


def _digest(*batches: Batch) -> str:
    arrays = {
        f"{i} {name}": value.numpy()
        for i, batch in enumerate(batches)
        for name, value in batch.items()
        if isinstance(value, Tensor)
    }
    return keys.digest_of_arrays(arrays)
