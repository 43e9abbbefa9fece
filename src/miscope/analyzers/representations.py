r"""What the network makes of a fixed sample of the probe's inputs: the activations themselves, for trackers to compare.

A representation that has settled gives the same similarities between inputs at every later checkpoint.

Maths: $x_{ij}$ is the activation of input $i$ of $n$ in dimension $j$ of $d$ of a site.
$$\text{scale} = \Bigl(\tfrac{1}{n d} \sum_{i,j} x_{ij}^2\Bigr)^{1/2}, \qquad
\text{value}_{ij} = x_{ij} / \text{scale}.$$

Source: Kriegeskorte et al. 2008, doi:10.3389/neuro.06.004.2008 (a representation is known by the similarities between
its inputs, whatever its axes).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float16, Float32, Int

from miscope.core import Checkpoint, Context, MiscopeError, Output, PerCheckpoint
from miscope.model.sites import HOOKS, sites

MOST = 512  # inputs, so that a checkpoint takes a megabyte and not thirty


@dataclass(frozen=True)
class Representations(Output):
    """At the answer position; `value` times its site's `scale` is the activation, too large for half floats alone."""

    site: tuple[str, ...]  # hook names, in the order of the forward pass: `blocks.0.mlp.hook_post`
    width: Int[np.ndarray, " site"]  # dimensions
    chosen: Int[np.ndarray, " input"]  # which inputs of the probe, ascending; the same at every checkpoint
    value: Float16[np.ndarray, "input feature"]  # the sites side by side, each `width` columns; root mean square 1
    scale: Float[np.ndarray, " site"]  # root mean square of the activations; 0: all are


def representations(
    checkpoint: Checkpoint, context: Context, *, n_inputs: int = MOST, seed: int = 0
) -> Representations:
    """Of inputs drawn from the probe by the seed alone; of all of them, where it has no more than `n_inputs`.

    Raises:
        MiscopeError: `n_inputs` is out of range.
    """
    if not 4 <= n_inputs <= MOST:
        raise MiscopeError(f"`n_inputs` = {n_inputs}; allowed: 4 to {MOST}.")
    n = len(context.probe.targets)
    chosen = np.sort(np.random.default_rng(seed).choice(n, min(n, n_inputs), replace=False))
    found = {name: values[chosen] for name, values in sites(checkpoint.activations, checkpoint.model).items()}
    scale = np.array([np.sqrt(np.square(values, dtype=np.float64).mean()) for values in found.values()])
    scaled = [_half(values, size) for values, size in zip(found.values(), scale, strict=True)]
    return Representations(
        site=tuple(found),
        width=np.array([values.shape[1] for values in found.values()]),
        chosen=chosen,
        value=np.concatenate(scaled, axis=1),
        scale=scale,
    )


def _half(values: Float32[np.ndarray, "input dim"], scale: float) -> Float16[np.ndarray, "input dim"]:
    return (values / np.float32(scale or 1)).astype(np.float16)


analyzer = PerCheckpoint(representations, needs=HOOKS)
