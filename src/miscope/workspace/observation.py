"""What instruments see of a checkpoint: weights, activations on the probe, and the network to differentiate.

All instruments share one forward pass (two, if some need the answer position and some all positions); each gets exactly
the activations that it needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from miscope.core import Checkpoint, Context, Probe, field_names
from miscope.instrument import GRADIENTS, Instrument, OverTraining


def observed(checkpoint: Checkpoint, context: Context, instruments: Sequence[Instrument]) -> list[Checkpoint]:
    """The checkpoint as each instrument sees it, in their order; torch is imported only if one of them needs it."""
    passes = {
        instrument.positions: _hooks(instruments, instrument.positions)
        for instrument in instruments
        if instrument.hooks
    }
    seen: dict[str, Mapping[str, np.ndarray]] = {}
    if passes:
        from miscope.model.inspection import activations

        seen = {positions: activations(checkpoint, context, hooks, positions) for positions, hooks in passes.items()}
    if any(GRADIENTS in instrument.needs for instrument in instruments):
        from miscope.model.differentiation import network

        differentiable = network(checkpoint, context)
    else:
        differentiable = None
    return [
        replace(
            checkpoint,
            activations=_of(instrument, seen.get(instrument.positions, {})),
            differentiable=differentiable if GRADIENTS in instrument.needs else None,
        )
        for instrument in instruments
    ]


def observed_over_training(checkpoint: Checkpoint, context: Context, instrument: OverTraining) -> Checkpoint:
    """The checkpoint as an instrument over training sees it, on the inputs that it names."""
    seen = context if instrument.inputs == "all" else _of_train_inputs(context)
    return observed(checkpoint, seen, [instrument])[0]


def _of_train_inputs(context: Context) -> Context:
    """The context with the training inputs alone as its probe; they are no grid."""
    probe = context.probe
    values: dict[str, Any] = {name: getattr(probe, name) for name in field_names(Probe)}
    kept = {name: value[probe.is_train] for name, value in values.items() if value is not None}
    latents = {name: value[probe.is_train] for name, value in context.latents.items()}
    return replace(context, probe=replace(probe, **kept), latents=latents, grid=None, grid_axes=(), relevant_axes=None)


def _hooks(instruments: Sequence[Instrument], positions: str) -> tuple[str, ...]:
    """The hooks that the instruments need at these positions, each once."""
    wanted = (hook for instrument in instruments if instrument.positions == positions for hook in instrument.hooks)
    return tuple(dict.fromkeys(wanted))


def _of(instrument: Instrument, seen: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The activations that this instrument needs; `mlp.hook_post` names the hook of every block."""
    own = {name: value for name, value in seen.items() if name in instrument.hooks or _site(name) in instrument.hooks}
    return MappingProxyType(own)


def _site(name: str) -> str:
    """`mlp.hook_post` of `blocks.0.mlp.hook_post`."""
    return name.split(".", 2)[-1] if name.startswith("blocks.") else name
