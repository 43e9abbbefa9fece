"""One tiny variant in any recipe; its trainings with updates that are replayed, and with the same that are not.

On a CPU `StandIn` takes the place of the capture: all else is the code that a GPU runs.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from miscope.core import Branch, Recipe, Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.training.device import device_for
from miscope.training.ensemble import stacked
from miscope.training.graphs import Replayed, Update
from miscope.training.trainer import Trainer, lone

FAMILY = ModuloAddition(13, 0.5)
MODEL = replace(FAMILY.model(), d_model=32, n_heads=2, d_head=16, d_mlp=64)
RECIPES = [
    {},
    {"optimizer": "adam"},
    {"optimizer": "sgd", "betas": (0.5, 0.9)},
    {"schedule": "cosine", "warmup_steps": 7},
    {"precision": "bfloat16"},
]


def variant(
    *checkpoints: int, name: str = "tiny", seed: int = 1, branch: Branch | None = None, **recipe: object
) -> Variant:
    """Trained up to the last of its checkpoints."""
    steps = checkpoints or (0, 20, 60)
    chosen = replace(Recipe(steps=steps[-1], eval_every=10, resume_points=3), **recipe)
    return Variant(name, "modulo_addition", FAMILY, seed, seed, MODEL, chosen, steps, branch=branch)


def members(*checkpoints: int, **recipe: object) -> list[Variant]:
    """Three of an ensemble, the last at other rates."""
    a, b, c = (variant(*checkpoints, name=name, seed=i + 1, ensemble="seeds", **recipe) for i, name in enumerate("abc"))
    another = replace(c.recipe, learning_rate=3e-3, weight_decay=0.1)
    return [a, replace(b, data_seed=5), replace(c, data_seed=1, recipe=another)]


class StandIn:
    """A capture without a GPU: replays are eager, but only on the tensors and with the numbers that were captured."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers, self.captures = optimizers, 0

    def __call__(self, warm_up: Callable[[], None], update: Update) -> Update:
        warm_up()
        self.captures += 1
        captured = self.fixed()

        def replay() -> Tensor:
            assert self.fixed() == captured, "a graph would not see what changed"
            return update()

        return replay

    def fixed(self) -> list[object]:
        """What a graph holds: addresses, and numbers that are in no tensor."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        states = [state for optimizer in self.optimizers for state in optimizer.state.values()]
        tensors = [*(group["lr"] for group in groups), *(p for group in groups for p in group["params"])]
        tensors += [moment for state in states for moment in state.values()]
        numbers = [(group["weight_decay"], group.get("betas")) for group in groups]
        return [tensor.data_ptr() for tensor in tensors] + numbers


def trainer(*of: Variant) -> Trainer:
    """One alone, several as an ensemble."""
    device = device_for(of[0].recipe)
    return stacked(of, device) if len(of) > 1 else lone(of[0], device)


def replayed(*of: Variant) -> tuple[Trainer, StandIn]:
    made = trainer(*of)
    capture = StandIn(*made.optimizers)
    made.launch_by(Replayed(made.optimizers, capture))
    return made, capture


def eager(*of: Variant) -> Trainer:
    """Kernel by kernel, with its rate where a graph's lies: in float32, in a tensor."""
    made, _ = replayed(*of)
    made.launch_by(None)
    return made


def assert_same(one: Trainer, other: Trainer, updates: int = 0) -> None:
    """The states of all models are equal to the bit, and the losses of so many updates from here on."""
    for _ in range(updates):
        assert torch.equal(one.advance(), other.advance())
    for model, expected in zip(one.models, other.models, strict=True):
        state, values = model.state(), expected.state()
        assert state.keys() == values.keys()
        for name, value in values.items():
            assert torch.equal(state[name], value), name
