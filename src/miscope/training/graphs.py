"""An update on a GPU, launched as one: captured as a CUDA graph, checked against the eager update, then replayed.

The host takes longer to launch each of a small model's many kernels than the GPU takes to run it. With the whole
training set on the device every update is the same kernels at the same addresses: it is captured at its first call,
after warm-ups whose traces are wiped out, and what is launched from then on is the graph.

A graph is used only where its first replay gives the bytes of the eager update from the same state. Which kernels run,
and in what order they sum, does not depend on the numbers, so that later replays give eager bytes too: a run that
captures may go on from the state of one that did not.

Source: PyTorch's notes on CUDA semantics, "CUDA graphs", whole-network capture: a side stream for the warm-up,
gradients set to None so that the captured backward pass makes its own, no value read by the host.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from miscope.core import Recipe
from miscope.training.device import Device
from miscope.training.optimization import FUSED
from miscope.training.trainer import Trainer

WARM_UPS = 3  # as many as torch.cuda.make_graphed_callables: libraries choose kernels and take memory at first calls

Update = Callable[[], Tensor]  # changes parameters and moments in place; what comes back is the loss
Capture = Callable[[Callable[[], None], Update], Update]  # (warm_up, update) -> replay


def can_replay(recipe: Recipe, device: Device) -> bool:
    """Whether every update is the same kernels on the same tensors, with steps, moments and rate on one GPU."""
    return device.torch.type == "cuda" and device.world == 1 and _is_whole(recipe)


def may_replay(recipe: Recipe) -> bool:
    """Whether that can be so on any machine."""
    return recipe.device != "cpu" and _is_whole(recipe)


def _is_whole(recipe: Recipe) -> bool:
    return recipe.batch_size == 0 and recipe.accumulate == 1 and recipe.optimizer in FUSED


def on_gpu(warm_up: Callable[[], None], update: Update) -> Update:
    """Warm up and capture on one stream of their own; each call of what comes back is one launch, to the same loss.

    The loss is overwritten by the next call.

    Raises:
        RuntimeError: the update cannot be captured.
    """
    here, aside, graph = torch.cuda.current_stream(), torch.cuda.Stream(), torch.cuda.CUDAGraph()
    aside.wait_stream(here)
    try:
        with torch.cuda.stream(aside):  # the outer one leaves the stream even when a capture fails
            warm_up()
            with torch.cuda.graph(graph, stream=aside):
                loss = update()
    finally:
        here.wait_stream(aside)

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


def replaying(trainer: Trainer, recipe: Recipe) -> Trainer:
    """The trainer, with its updates captured and replayed where that can be."""
    if can_replay(recipe, trainer.device):
        trainer.launch_by(Replayed(trainer.optimizers))
    return trainer


class Replayed:
    """Calls an update, by its graph where that gives the same bytes; `refused` says why not, and is empty otherwise."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], capture: Capture = on_gpu) -> None:
        self.refused = ""
        self._optimizers, self._capture = tuple(optimizers), capture
        self._replay: Update | None = None
        for group in self._groups():  # a graph keeps the numbers that it was captured with, and reads tensors anew
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=group["params"][0].device)

    def __call__(self, update: Update) -> Tensor:
        """One update. The same one each time, until `forget`."""
        if self.refused:
            return update()
        return self._first(update) if self._replay is None else self._replay()

    @property
    def is_replaying(self) -> bool:
        """Whether the last update was a graph's."""
        return self._replay is not None

    def forget(self) -> None:
        """Capture anew at the next call: moments, data or settings are no longer the ones that were captured."""
        self._replay = None

    def _first(self, update: Update) -> Tensor:
        before = {tensor: tensor.detach().clone() for tensor in self._changed()}
        expected: list[Tensor] = []

        def warm_up() -> None:
            for _ in range(WARM_UPS):
                self._put_back(before)
                loss = update()
            expected.extend(tensor.detach().clone() for tensor in (loss, *self._changed()))
            self._put_back(before)

        def captured() -> Tensor:
            self._tell(capturable=True)
            try:
                return update()
            finally:
                self._tell(capturable=False)

        try:
            replay = self._capture(warm_up, captured)
            loss = replay()
            apart = _largest_difference((loss, *self._changed()), expected)
            why = f"its first replay differed from the eager update by up to {apart:.1e}" if apart != 0 else ""
        except RuntimeError as error:
            why = _first_cause(error)
        if not why:
            self._replay = replay
            return loss
        self.refused = f"Updates are not replayed as a CUDA graph, which costs time and changes no number: {why}."
        self._put_back(before)
        return update()

    @torch.no_grad()
    def _put_back(self, before: Mapping[Tensor, Tensor]) -> None:
        """Parameters and moments as they were. A moment that was not there is zero, which is how all of them begin."""
        for tensor in self._changed():
            tensor.copy_(before[tensor]) if tensor in before else tensor.zero_()

    def _changed(self) -> list[Tensor]:
        """All that an update changes."""
        owned = [(o.state, p) for o in self._optimizers for group in o.param_groups for p in group["params"]]
        moments = (value for states, p in owned for value in states.get(p, {}).values() if isinstance(value, Tensor))
        return [*(p for _, p in owned), *moments]

    def _tell(self, capturable: bool) -> None:
        """Adam refuses to be captured unless told that it may be, and warns of eager steps once it is told."""
        for group in self._groups():
            if "capturable" in group:
                group["capturable"] = capturable

    def _groups(self) -> Iterator[dict[str, Any]]:
        return (group for optimizer in self._optimizers for group in optimizer.param_groups)


@torch.no_grad()
def _largest_difference(values: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """0 only where all are equal; NaN where one is not a number."""
    apart = [(a.double() - b.double()).abs().max() for a, b in zip(values, expected, strict=True)]
    return float(torch.stack(apart).max())


def _first_cause(error: BaseException) -> str:
    """What went wrong within the capture, not that the capture then could not end."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split())[:160].rstrip(".")
