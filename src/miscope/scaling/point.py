"""One point of a plan in training, in the same loop as a variant, and the record of what it came to."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miscope import catalog, keys
from miscope.core import MiscopeError, Recipe
from miscope.model.initialisation import own_generator
from miscope.model.memory import keep_freed_memory
from miscope.model.weights import weights
from miscope.scaling.check import probed, seeded
from miscope.scaling.feed import Batches, held_out, tokens_in
from miscope.scaling.plugins import Plugin, from_config
from miscope.training.device import Device, device_for, versions
from miscope.training.engine import Asked, Work, fill
from miscope.training.ledger import Ledger
from miscope.training.updates import Updates, below
from miscope.workspace import files, store

TEST_BATCH = 256  # examples
OnUpdate = Callable[[int], None]  # told the step after every update


@dataclass(frozen=True)
class Seen:
    """The held-out loss in nats after so many updates, tokens and seconds."""

    step: int
    tokens: int
    loss: float
    seconds: float


class PointRun(Updates):
    """A point in training. Chance, such as dropout's, is drawn anew at each step from the seed and the step."""

    batches: Batches

    def __init__(self, plan: Mapping[str, Any], point: Mapping[str, Any], device: Device, on_update: OnUpdate) -> None:
        plugins = plugins_of(point)
        recipe, self._seed = recipe_of(plan, point), point["seed"]
        self._dataset, self._loss = plugins["dataset"].make(), plugins["loss"].make()
        model = seeded(plugins["model"], self._seed).to(device.torch).train()
        optimizer = model.configure_optimizers(
            learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=recipe.betas
        )
        self._shares = [group["lr"] / recipe.learning_rate for group in optimizer.param_groups]
        batches = Batches(self._dataset.build("train"), self._loss, recipe, self._seed, device)
        super().__init__(model, optimizer, recipe, batches, device)
        self._point, self._on_update = point, on_update
        self._test = held_out(self._dataset.build("test"), TEST_BATCH, point["config"]["test_tokens"])
        self._seconds, self._since = 0.0, time.perf_counter()

    @property
    def keeps(self) -> set[int]:
        """Evenly, and the last step, which the record is made from."""
        n = max(1, self.recipe.resume_points)
        return {round(self.recipe.steps * i / n) for i in range(1, n + 1)}

    def advance(self) -> Tensor:
        """One update, with torch's own generators seeded for it and left as they were."""
        with torch.random.fork_rng(devices=[self.device.torch] if self.device.torch.type == "cuda" else []):
            torch.manual_seed(own_generator(self._seed, f"update {self.step} of {self.device.rank}").initial_seed())
            loss = super().advance()
        self._on_update(self.step)
        return loss

    @torch.no_grad()
    def evaluate(self) -> Seen:
        """The mean loss over the tokens of the split `test`.

        Raises:
            MiscopeError: it is not finite.
        """
        self.model.eval()
        totals = torch.zeros(2, dtype=torch.float64)
        for batch in self._test:
            share = self.device.place(batch)
            with self.device.autocast():
                output = self.model(share)
            n = tokens_in(share)
            totals += torch.tensor([n * float(self._loss(output, share)), n], dtype=torch.float64)
        self.model.train()
        total, n = self.device.sum(totals.to(self.device.torch)).tolist()
        if not math.isfinite(total):
            raise MiscopeError(
                f"The held-out loss of point {self._point['id']} ({self._point['parameters']:,} parameters) is "
                f"{total / n} at update {self.step:,}; lower the learning rate ({self.recipe.learning_rate:g})."
            )
        return Seen(self.step, self.batches.tokens, total / n, self._clock())

    def save(self, path: Path, training: str) -> None:
        """Write the weights as a checkpoint of a variant, for the instruments."""
        core = self.model.core
        store.save_checkpoint(path, self.step, core.config, weights(core), training)

    def state(self) -> dict[str, Tensor]:
        """Weights, moments, tokens seen and seconds; copies, for parameters may share memory."""
        clock = {"clock.tokens": torch.tensor(self.batches.tokens), "clock.seconds": torch.tensor(self._clock())}
        return {name: value.detach().clone() for name, value in (super().state() | clock).items()}

    def restore(self, step: int, state: Mapping[str, Tensor]) -> None:
        super().restore(step, state)
        self.batches.tokens = int(state["clock.tokens"])
        self._seconds, self._since = float(state["clock.seconds"]), time.perf_counter()

    def _set_rates(self, rate: float) -> None:
        """Groups keep the ratios of their rates in which the model asked for them."""
        for group, share in zip(self.optimizer.param_groups, self._shares, strict=True):
            group["lr"] = rate * share

    def _clock(self) -> float:
        return self._seconds + time.perf_counter() - self._since


def recipe_of(plan: Mapping[str, Any], point: Mapping[str, Any]) -> Recipe:
    """How a point of a plan is trained."""
    said = point["config"]["recipe"] | {"betas": tuple(point["config"]["recipe"]["betas"])}
    running = plan["running"]
    return Recipe(**said, device=running["device"], resume_points=running["resume_points"])


def plugins_of(point: Mapping[str, Any]) -> dict[str, Plugin]:
    """Model, dataset and loss, as the plan names them."""
    return {kind: from_config(kind, point["config"][kind]) for kind in ("model", "dataset", "loss")}


def content_key(plan: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    """The digest of all that decides a point's result, but for the machine: its config, the code, the data."""
    facts = {
        "config": point["config"],
        "data": plan["data"]["digest"],
        "plugins": {kind: plugin.code for kind, plugin in plugins_of(point).items()},
        "code": _code(),
    }
    return keys.digest(keys.canonical_json(facts))


@cache
def _code() -> str:
    return keys.digest_of_meaning(catalog.closure(Path(__file__), within=("scaling", "training", "model")))


def checkpoint_steps(plan: Mapping[str, Any], point: Mapping[str, Any]) -> set[int]:
    """0, powers of 2 and the last step, if checkpoints are kept."""
    steps = point["steps"]
    powers = {2**i for i in range(steps.bit_length()) if 2**i < steps}
    return {0, *powers, steps} if plan["running"]["keep_checkpoints"] else set()


def train(
    plan: Mapping[str, Any], point: Mapping[str, Any], folder: files.Folder, on_update: OnUpdate = lambda _: None
) -> dict[str, Any] | None:
    """Bring a point up to date in its folder; what comes back is its record, None on a process that does not write.

    Raises:
        MiscopeError: the loss is not finite, the data are others than at planning, or they end too soon.
    """
    keep_freed_memory()
    _check_data(plan, point)
    device = device_for(recipe_of(plan, point))
    key = content_key(plan, point)
    state_key = keys.digest(keys.canonical_json([key, device.describe(), versions()]))
    ledger = Ledger(folder, state_key, kind=Seen)
    checkpoints = checkpoint_steps(plan, point)
    asked = Asked(checkpoints, checkpoints | {point["steps"]})
    fill(lambda: PointRun(plan, point, device, on_update), asked, ledger, device, Work(), lambda _: None)
    if not device.writes:
        return None
    record = _record(point, ledger, device, key)
    files.sweep(folder.path / "checkpoints", keep={folder.checkpoint(step) for step in checkpoints})
    files.write(folder.path / "run.json", files.pretty_json(record))
    files.sweep(folder.path / "resume", keep=set())
    return record


def _check_data(plan: Mapping[str, Any], point: Mapping[str, Any]) -> None:
    dataset = plugins_of(point)["dataset"]
    if probed(dataset)[1].digest != plan["data"]["digest"]:
        raise MiscopeError(
            f"{dataset.target} gives other data than when the plan was made. Run `dvc repro -f plan@{plan['study']}`."
        )


def _record(point: Mapping[str, Any], ledger: Ledger, device: Device, key: str) -> dict[str, Any]:
    """What was trained, on what, at what cost, how it ended."""
    last: Seen = ledger.curve[point["steps"]]
    per_batch = point["tokens"] / point["steps"]
    if abs(last.tokens - point["tokens"]) > per_batch:
        raise MiscopeError(
            f"Point {point['id']} saw {last.tokens:,} tokens; planned were {point['tokens']:,}. Batches differ in "
            "size; a dataset must give as many `labels` in each."
        )
    state = ledger.state(point["steps"]) or {}
    plugins = plugins_of(point)
    return {
        **{name: point[name] for name in CARRIED},
        "settings": dict(plugins["model"].settings),
        "tokens": int(last.tokens),
        "loss": last.loss,
        "curve": [[seen.step, int(seen.tokens), seen.loss] for _, seen in sorted(ledger.curve.items())],
        "flops_6nd": 6.0 * point["parameters"] * last.tokens,
        "flops_counted": point["flops_counted"] * last.tokens / point["tokens"],
        "seconds": round(last.seconds, 2),
        "device": device.torch.type,
        "device_info": device.describe(),
        "versions": versions(),
        **{f"{kind}_class": plugin.target for kind, plugin in plugins.items()},
        "config_hash": keys.digest(keys.canonical_json(point["config"])),
        "weights": keys.digest_of_arrays({name: value.numpy() for name, value in below("model.", state).items()}),
        "key": key,
    }


CARRIED = (
    "id", "budget", "target_parameters", "parameters", "parameters_total", "steps", "epochs", "learning_rate", "seed",
)  # fmt: skip
