"""A point of a plan as what the one training loop trains: its model, its data, its loss, its own chance.

What is here, and what it imports, decides the result of a point.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from miscope import keys
from miscope.core import MiscopeError, Recipe
from miscope.model.initialisation import own_generator
from miscope.model.weights import weights
from miscope.scaling.documents import Plan, Point, plain
from miscope.scaling.plugins import Plugin
from miscope.scaling.protocols import held_out, n_rows, source, tokens_in
from miscope.training.device import device_for
from miscope.training.trainer import Model, State, Stretch, Trainer, restore, state_of
from miscope.workspace import store

TEST_BATCH = 256  # examples


@dataclass(frozen=True)
class EvalPoint:
    """The held-out loss in nats after so many updates, tokens and seconds."""

    step: int
    tokens: int
    loss: float
    seconds: float

    def numbers(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> "EvalPoint":
        return cls(int(numbers["step"]), int(numbers["tokens"]), numbers["loss"], numbers["seconds"])


def recipe_of(plan: Plan, point: Point) -> Recipe:
    """How a point of a plan is trained."""
    said, running = dict(point.config.recipe), plan.running
    return Recipe(**said | {"betas": tuple(said["betas"])}, device=running.device, resume_points=running.resume_points)


def plugins_of(point: Point) -> tuple[Plugin, Plugin, Plugin]:
    """Model, dataset and loss, as the plan names them."""
    config = point.config
    return Plugin("model", config.model), Plugin("dataset", config.dataset), Plugin("loss", config.loss)


def key_of(plan: Plan, point: Point) -> keys.Key:
    """All that decides a point's result, but for the machine: its config, the code, the data."""
    code = keys.digest_of_code(Path(__file__), *(path for plugin in plugins_of(point) for path in plugin.source))
    return keys.Key({"data": plan.data.digest}, code, keys.canonical_json(plain(point.config)))


def trainer_of(plan: Plan, point: Point, on_update: Callable[[int], None] = lambda _: None) -> Trainer:
    """A point at step 0; chance, such as dropout's, is drawn anew at each step from the seed and the step.

    `on_update` is told the step after every update.
    """
    recipe, config = recipe_of(plan, point), point.config
    tokens, began = 0, time.perf_counter()  # tokens handed out; a resumed training counts both from its true beginning
    model_plugin, dataset_plugin, loss_plugin = plugins_of(point)
    device, dataset, loss = device_for(recipe), dataset_plugin.make(), loss_plugin.make()
    network = model_plugin.seeded(config.seed).to(device.torch).train()
    optimizer = network.configure_optimizers(
        learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=recipe.betas
    )
    for group in optimizer.param_groups:  # they keep the ratios of their rates in which the model asked for them
        group["rate_share"] = group["lr"] / recipe.learning_rate
    train = source(dataset.build("train"))
    test = held_out(dataset.build("test"), TEST_BATCH, config.test_tokens)

    def losses(step: int) -> Iterator[Tensor]:
        nonlocal tokens
        batch = train.batch(config.seed, step, recipe.batch_size)
        tokens += tokens_in(batch)
        share = device.to_device(batch)
        n_parts = max(1, min(recipe.accumulate, n_rows(share)))
        for i in range(n_parts):
            part = {name: v[i::n_parts] if isinstance(v, Tensor) else v for name, v in share.items()}
            with device.autocast():
                output = network(part)
            yield loss(output, part) * (n_rows(part) / n_rows(batch))

    @torch.no_grad()
    def evaluate(step: int) -> EvalPoint:
        """The mean loss over the tokens of the split `test`."""
        network.eval()
        totals = torch.zeros(2, dtype=torch.float64)
        for batch in test:
            share = device.to_device(batch)
            with device.autocast():
                output = network(share)
            n = tokens_in(share)
            totals += torch.tensor([n * float(loss(output, share)), n], dtype=torch.float64)
        network.train()
        total, n = device.sum(totals.to(device.torch)).tolist()
        if not math.isfinite(total):
            raise MiscopeError(
                f"The held-out loss of point {point.id} ({point.parameters:,} parameters) is {total / n} at update "
                f"{step:,}; lower the learning rate ({recipe.learning_rate:g})."
            )
        return EvalPoint(step, tokens, total / n, time.perf_counter() - began)

    def save(path: Path, step: int, key: str) -> None:
        """Write the weights as a checkpoint of a variant, for the instruments."""
        store.save_checkpoint(path, step, network.core.config, weights(network.core), key)

    def state() -> State:
        """Weights, moments, tokens and seconds; copies, for parameters may share memory."""
        spent = {"clock.tokens": torch.tensor(tokens), "clock.seconds": torch.tensor(time.perf_counter() - began)}
        return {name: value.detach().clone() for name, value in (state_of(network, optimizer) | spent).items()}

    def take_up(kept: Mapping[str, Tensor]) -> None:
        nonlocal tokens, began
        restore(network, optimizer, kept)
        tokens, began = int(kept["clock.tokens"]), time.perf_counter() - float(kept["clock.seconds"])

    @contextmanager
    def chance(step: int) -> Iterator[None]:
        """Torch's own generators, seeded for the update and left as they were."""
        with torch.random.fork_rng(devices=[device.torch] if device.torch.type == "cuda" else []):
            torch.manual_seed(own_generator(config.seed, f"update {step} of {device.rank}").initial_seed())
            yield
        on_update(step + 1)

    model = Model(evaluate, save, state, take_up)
    return Trainer([model], network, [optimizer], [Stretch(0, (recipe,), losses)], device, chance=chance)
