"""Where training runs and in which precision: beside `graphs` the one place that knows of CUDA, and of processes.

Under `torchrun` each process takes its share of every batch and gradients are summed, so that W processes make the same
update as one (gloo on CPU, nccl on CUDA). The loop imports no torch.distributed.
"""

import os
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor, nn

from miscope.core import Examples, MiscopeError, Recipe


@dataclass(frozen=True)
class Device:
    """A torch device, a precision, and this process's rank among `world` equals."""

    torch: torch.device
    precision: str = "float32"
    rank: int = 0
    world: int = 1

    def share(self, examples: Examples) -> Examples:
        """This process's part of a batch: every `world`-th example."""
        return examples.take(slice(self.rank, None, self.world))

    def to_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """This process's part of a batch, of at least one row, on the device; what is no tensor is left alone."""
        tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
        own = {name: value[self.rank :: self.world].to(self.torch) for name, value in tensors.items()}
        if not all(map(len, own.values())):
            raise MiscopeError(f"A batch has fewer rows than the {self.world} processes that share it.")
        return {**batch, **own}

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a value over all processes."""
        if self.world > 1:
            distributed.all_reduce(value)
        return value

    def wait(self) -> None:
        """Until all processes are here: what one wrote, the others may read."""
        if self.world > 1:
            distributed.barrier()

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up the processes' gradients, in one message."""
        if self.world > 1:
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            flat = torch.cat([g.flatten() for g in gradients])
            distributed.all_reduce(flat)
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the matmuls."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.torch.type, dtype=torch.bfloat16)

    @property
    def writes(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    @property
    def gains_by_stacking(self) -> bool:
        """Whether many small models train faster side by side: a GPU idles between small kernels, a CPU does not."""
        return self.torch.type == "cuda" and self.world == 1

    def describe(self) -> dict[str, Any]:
        """What the bytes of a training depend on, beside its settings."""
        return {
            "device": self.torch.type, "precision": self.precision, "processes": self.world,
            "name": torch.cuda.get_device_name() if self.torch.type == "cuda" else platform.machine(),
            "capability": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
        }  # fmt: skip


def device_for(recipe: Recipe) -> Device:
    """The device that a recipe asks for, if it is there; under `torchrun`, this process's part of it."""
    has_cuda = torch.cuda.is_available()
    if recipe.device == "cuda" and not has_cuda:
        raise MiscopeError("`device` = 'cuda', but torch finds no GPU here; allowed here: cpu, auto.")
    kind = "cuda" if has_cuda and recipe.device in ("cuda", "auto") else "cpu"
    ranks = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))  # set by torchrun
    rank, world, local = (int(os.environ.get(name, default)) for name, default in ranks)
    if world > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    return Device(torch.device(kind, local) if kind == "cuda" else torch.device("cpu"), recipe.precision, rank, world)


def versions() -> dict[str, str]:
    """Versions that the bytes of a training may depend on."""
    libraries = {"torch": torch.__version__, "numpy": np.__version__, "miscope": version("miscope")}
    return {"python": platform.python_version(), **libraries}
