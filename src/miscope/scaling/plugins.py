"""Models, datasets and losses: loaded by name or by dotted path, made by Hydra's `instantiate`, tried on two examples.

A name is a file of `conf/model`, `conf/dataset` or `conf/loss`: a `_target_` and its settings. A study may say the name
alone, `{name: gpt, n_ctx: 128}` with settings of its own, or `{_target_: my_lab.nets.MLP, ...}`.

Every method is called before anything is planned: `isinstance` on a Protocol passes an `nn.Module` without a forward,
and any class at all as a loss.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from miscope import catalog, keys
from miscope.core import MiscopeError
from miscope.model.transformer import Transformer
from miscope.scaling.documents import Settings
from miscope.scaling.protocols import Batch, ScalableDataset, ScalableModel, held_out, n_rows, source, tokens_in

CONF = Path(__file__).parent / "conf"


@dataclass(frozen=True)
class Plugin:
    """What a study names, and its settings; `make` makes it."""

    kind: str  # model, dataset, loss
    config: Settings  # `_target_`, the dotted path of a class or function, and what it is called with

    def __str__(self) -> str:
        return f"{self.kind} `{self.target}`"

    @property
    def target(self) -> str:
        return str(self.config["_target_"])

    @property
    def settings(self) -> Settings:
        return {key: value for key, value in self.config.items() if key != "_target_"}

    @property
    def located(self) -> Any:
        """The class or function itself."""
        return catalog.located(self.config["_target_"], "`_target_`")

    @property
    def source(self) -> tuple[Path, ...]:
        """The file of code that says what it does."""
        path = str(getattr(inspect.getmodule(self.located), "__file__", None))
        return (Path(path),) if path.endswith(".py") else ()

    def sized(self, settings: Settings) -> "Plugin":
        """The same with more settings, for all of which the target has an argument."""
        chosen, located = Plugin(self.kind, {**self.config, **settings}), self.located
        if not callable(located):
            raise chosen.fault(f"it is no class or function but {type(located).__name__}")
        parameters = inspect.signature(located).parameters.values()
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            for key in chosen.settings:
                catalog.known(f"setting of the {self} called", key, (p.name for p in parameters))
        return chosen

    def make(self) -> Any:
        from hydra.utils import instantiate

        try:
            return instantiate(dict(self.config), _convert_="all")
        except Exception as error:  # Hydra wraps what the target raises
            raise self.fault(f"it cannot be made: {catalog.reason(error)}") from None

    def seeded(self, seed: int) -> Any:
        """What it makes, with torch's own generator seeded and left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make()

    def called(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """What a call on two examples gives; whatever it raises is the plugin's fault."""
        try:
            return call(*arguments)
        except Exception as error:  # whatever a plugin raises
            raise self.fault(f"`{name}` fails on two examples: {catalog.reason(error)}") from None

    def check_methods(self, made: Any, *names: str) -> None:
        if lacks := [f"`{name}`" for name in names if not callable(getattr(made, name, None))]:
            raise self.fault(f"it lacks the method{'s' * (len(lacks) > 1)} {', '.join(lacks)}")

    def fault(self, sentence: str) -> MiscopeError:
        """One line that names the plugin and what is wrong with it."""
        return MiscopeError(f"The {self}: {sentence.rstrip('.')}.")


def groups(kind: str) -> tuple[str, ...]:
    """The names that a study may use for a model, a dataset or a loss."""
    return tuple(sorted(path.stem for path in (CONF / kind).glob("*.yaml")))


def plugin(kind: str, spec: Any, where: str, root: Path = Path()) -> Plugin:
    """What a study says under `model`, `dataset` or `loss`.

    Raises:
        MiscopeError: no such name, no such object, or a setting that it does not take; one line.
    """
    given = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(given, Mapping) or ("name" in given) == ("_target_" in given):
        raise MiscopeError(
            f"params.yaml: `{where}` = {spec!r} must be one of {', '.join(groups(kind))}, or a mapping with either "
            "`name` or `_target_`, and settings."
        )
    catalog.look_in(root)
    if "_target_" in given:
        return Plugin(kind, {"_target_": given["_target_"]}).sized(given)
    name = catalog.known(f"{kind} for `{where}` called", str(given["name"]), groups(kind))
    config = YAML(typ="safe", pure=True).load((CONF / kind / f"{name}.yaml").read_text(encoding="utf-8"))
    return Plugin(kind, config).sized({key: value for key, value in given.items() if key != "name"})


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


def probed(plugin: Plugin) -> Probed:
    """The dataset, looked at.

    Raises:
        MiscopeError: one line that names it and what is missing, as for a loss or a model below.
    """
    dataset: ScalableDataset = plugin.make()
    plugin.check_methods(dataset, "build", "token_count")
    train, test = (plugin.called("build", dataset.build, split) for split in ("train", "test"))
    batch: Batch = plugin.called("build", lambda: source(train).batch(0, 0, 2))
    beside: Batch = plugin.called("build", lambda: held_out(test, 2, 1)[0])
    if (rows := plugin.called("build", n_rows, batch)) != 2:
        raise plugin.fault(f"two examples were requested; a batch of {rows} was returned")
    count = plugin.called("token_count", dataset.token_count)
    if not (count is None or (isinstance(count, int) and count > 0)):
        raise plugin.fault(f"`token_count` gives {count!r}; allowed: a whole number above 0, or None")
    entropy = plugin.called("entropy", dataset.entropy) if hasattr(dataset, "entropy") else None
    named = [(f"{i} {name}", value) for i, one in enumerate((batch, beside)) for name, value in one.items()]
    digest = keys.digest_of_arrays({name: value.numpy() for name, value in named if isinstance(value, Tensor)})
    return Probed(batch, tokens_in(batch) // rows, count, entropy, digest)


def sized(plugin: Plugin, loss_plugin: Plugin, data: Probed, seed: int = 0) -> Sized:
    """The model, looked at: forward, loss, backward, its count of parameters, its optimizer."""
    loss, model = loss_plugin.make(), plugin.seeded(seed)
    if not callable(loss) or isinstance(loss, type):
        raise loss_plugin.fault("it cannot be called with (output, batch)")
    _check_model(plugin, model)
    with FlopCounterMode(display=False) as counted, torch.random.fork_rng(devices=[]):
        output = plugin.called("forward", model, data.batch)
        value = loss_plugin.called("call", loss, output, data.batch)
        _check_loss(loss_plugin, value)
        loss_plugin.called("gradient", value.backward)
    if not any(p.grad is not None for p in model.parameters()):
        raise plugin.fault("no parameter gets a gradient from the loss")
    n, total = (plugin.called("num_params", partial(model.num_params, non_embedding=one)) for one in (True, False))
    if not isinstance(n, int) or not isinstance(total, int):
        raise plugin.fault(f"`num_params` gives {n!r} and {total!r}; allowed: whole numbers")
    if not 0 < n <= total:
        raise plugin.fault(f"`num_params` counts {n} without embeddings, of {total}")
    per_token = counted.get_total_flops() / (2 * data.tokens_per_example)
    if hasattr(model, "estimate_flops"):
        per_token = float(plugin.called("estimate_flops", model.estimate_flops, 1_000_000)) / 1e6
    return Sized(n, total, per_token, isinstance(getattr(model, "core", None), Transformer))


def _check_model(plugin: Plugin, model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise plugin.fault(f"it is {type(model).__name__}, no torch.nn.Module")
    if type(model).forward is nn.Module.forward:
        raise plugin.fault("it lacks the method `forward`")
    plugin.check_methods(model, "num_params", "configure_optimizers")
    assert isinstance(model, ScalableModel)
    made = plugin.called("configure_optimizers", model.configure_optimizers, 1e-3, 0.1, (0.9, 0.95))
    if not isinstance(made, torch.optim.Optimizer):
        raise plugin.fault(f"`configure_optimizers` gives {type(made).__name__}, no torch optimizer")
    moved = {id(p) for group in made.param_groups for p in group["params"]}
    if still := [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in moved]:
        raise plugin.fault(f"`configure_optimizers` leaves out {', '.join(still[:3])}")


def _check_loss(plugin: Plugin, value: Any) -> None:
    if not isinstance(value, Tensor) or value.ndim:
        given = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise plugin.fault(f"it gives {given}; allowed: one number, a tensor without axes")
    if not math.isfinite(value.item()):
        raise plugin.fault(f"it gives {value.item()} on two examples")
    if not value.requires_grad:
        raise plugin.fault("what it gives has no gradient")
