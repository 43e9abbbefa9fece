"""Small runs in memory whose verdicts are known: some learned nothing, some were solved by hand.

Of a run that learned nothing no view may say that it is beyond its null; of a solution those views must that show it.
One more is there for the views that none of these is for.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch

from miscope.calibration.models import Addition, Induction
from miscope.core import Checkpoint, Context, ModelConfig
from miscope.families.induction_heads import InductionHeads
from miscope.families.modulo_addition import ModuloAddition
from miscope.families.parity import Parity
from miscope.families.sparse_parity import SparseParity
from miscope.instrument import Artifact, Instrument, Null, PerCheckpoint, sampled_steps
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights, weights
from miscope.workspace.observation import observed, observed_over_training

STEPS = (0, 50, 100, 150, 200, 300, 400, 600)
Networks = Callable[[ModelConfig], Iterator[Transformer]]


@dataclass(frozen=True)
class Toy:
    """A run of eight checkpoints on the probe of a task."""

    name: str
    context: Context
    checkpoints: Mapping[int, Checkpoint]
    is_blank: bool  # nothing was learned: no view may say that it is beyond its null

    def artifact(self, instrument: Instrument, **settings: Any) -> Any:
        """What an instrument measures on the run: an Artifact, or its one Output over training.

        Raises:
            NotApplicable: it has nothing to measure here.
        """
        if isinstance(instrument, PerCheckpoint):
            steps = sampled_steps(tuple(self.checkpoints), {**instrument.settings, **settings})
            own = {name: value for name, value in settings.items() if name != "checkpoints"}
            seen = {step: observed(self.checkpoints[step], self.context, [instrument])[0] for step in steps}
            outputs = {step: instrument.compute(one, self.context, **own) for step, one in seen.items()}
            return Artifact(outputs, outputs.__getitem__)
        look = lambda step: observed_over_training(self.checkpoints[step], self.context, instrument)  # noqa: E731
        first: list[Any] = [Artifact(self.checkpoints, look)] if instrument.sees_checkpoints else []
        first += [curve()] if instrument.reads_curve else []
        upstream = [_upstream(self.name, needed) for needed in instrument.needs]
        return instrument.compute(*first, *upstream, self.context, **settings)

    def nulls(self, instrument: Instrument, artifact: Any) -> tuple[Null, ...]:
        return tuple(instrument.nulls(artifact, self.context)) if instrument.nulls else ()


def curve() -> Mapping[str, np.ndarray]:
    """What a training would have said of itself, with a number of the task's own."""
    falling = np.exp(-np.array(STEPS) / 100)
    train = {"train_loss": falling, "train_accuracy": 1 - falling, "train_distance": 8 * falling}
    return {"step": np.array(STEPS), **train, **{name.replace("train", "test"): 2 * y for name, y in train.items()}}


@cache
def toys() -> Mapping[str, Toy]:
    """By name: four tasks with networks that learned nothing, two with solutions built by hand."""
    small: dict[str, Any] = {"d_model": 32, "n_heads": 2, "d_head": 16, "d_mlp": 96}
    addition, parity, sparse = ModuloAddition(modulus=23), Parity(n_bits=7), SparseParity(n_bits=7, n_relevant=3)
    induction = InductionHeads(n_tokens=16, length=23, max_period=8, test_periods=(5, 7))
    heads: dict[str, Any] = {"d_model": 32, "n_heads": 4, "d_head": 8}
    solved_addition, solved_induction = Addition(), Induction()
    made = (
        _toy("redrawn", addition.context(0), replace(addition.model(), **small), _redrawn),
        _toy("walk", addition.context(0), replace(addition.model(), **small), _walk),
        _toy("redrawn_parity", parity.context(0), replace(parity.model(), **small), _redrawn),
        _toy("sparse_parity", sparse.context(0), replace(sparse.model(), **small), _walk, is_blank=False),
        _toy("redrawn_induction", induction.context(0), replace(induction.model(), **heads), _redrawn),
        _solved("solved", ModuloAddition(solved_addition.p, 0.4).context(0), solved_addition),
        _solved("solved_induction", solved_induction.family.context(0), solved_induction),
    )
    return {toy.name: toy for toy in made}


@lru_cache(maxsize=64)
def _upstream(toy: str, instrument: Instrument) -> Any:
    return toys()[toy].artifact(instrument)


def _toy(name: str, context: Context, model: ModelConfig, networks: Networks, is_blank: bool = True) -> Toy:
    path = {s: Checkpoint(s, model, weights(n)) for s, n in zip(STEPS, networks(model), strict=True)}
    return Toy(name, context, path, is_blank)


def _redrawn(model: ModelConfig) -> Iterator[Transformer]:
    """Untrained networks, another at each step."""
    for seed, _ in enumerate(STEPS):
        yield Transformer(model, 1000 + seed)


def _walk(model: ModelConfig) -> Iterator[Transformer]:
    """Steps of independent Gaussian numbers, each of a twentieth of the weights' own size."""
    network, generator = Transformer(model, 1), torch.Generator().manual_seed(0)
    for _ in STEPS:
        yield network
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * parameter.std() * torch.randn(parameter.shape, generator=generator))


def _solved(name: str, context: Context, solution: Addition | Induction) -> Toy:
    """In a straight line from an untrained network to the solution."""

    def networks(model: ModelConfig) -> Iterator[Transformer]:
        start = Transformer(model, 1).state_dict()
        end = load_weights(Transformer(model), solution.checkpoint().weights).state_dict()
        for step in STEPS:
            network = Transformer(model)
            network.load_state_dict({key: torch.lerp(start[key], end[key], step / STEPS[-1]) for key in start})
            yield network

    return _toy(name, context, solution.model, networks, is_blank=False)
