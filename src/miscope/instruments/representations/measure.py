r"""The activations of a fixed sample of the probe's inputs, for comparison over training.

A representation that no longer changes gives the same similarities between inputs at every later checkpoint.

Maths: $x_{ij}$ is the activation of input $i$ in dimension $j$ of a site, in $2^{10}$ levels from the least to the
largest of its dimension.
$$\text{value}_{ij} = \text{low}_j + \text{unit}_j \, c_{ij}, \qquad c_{ij} \in \{0, \dots, 2^{10} - 1\}, \qquad
\lvert \text{value}_{ij} - x_{ij} \rvert \le \text{unit}_j / 2.$$
At p = 113 this changes linear CKA by less than 1e-4 and the angle between checkpoints by less than 0.01 degrees.

Source: Kriegeskorte et al. 2008, doi:10.3389/neuro.06.004.2008 (similarities between inputs, whatever the axes are).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, UInt8

from miscope.instruments._shared.nulls import MARGIN
from miscope.instruments._shared.sites import HOOKS, columns, options_of, sites
from miscope.maths.clouds import rare_mean_of_pairs
from miscope.maths.codes import Codes, dequantize, quantize
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, Null, Output, PerCheckpoint

Cosines = Float32[np.ndarray, "input input"]
MOST = 512  # inputs: more say little more, and a checkpoint should take a third of a megabyte
BITS = 10


@dataclass(frozen=True)
class Representations(Output):
    """At the answer position. The features are the dimensions of the sites side by side, each `width` of them."""

    site: tuple[str, ...]  # hook names, in the order of the forward pass: `blocks.0.mlp.hook_post`
    width: Int[np.ndarray, " site"]  # dimensions
    chosen: Int[np.ndarray, " input"]  # which inputs of the probe, ascending; the same at every checkpoint
    code: UInt8[np.ndarray, " byte"]  # [input feature] in 10 bits each, without the features that never vary; packed
    low: Float32[np.ndarray, " feature"]  # the least activation
    unit: Float32[np.ndarray, " feature"]  # between two levels; an activation is off by half of it at most

    @property
    def value(self) -> Float32[np.ndarray, "input feature"]:
        """The activations."""
        return dequantize(Codes(self.code, self.low, self.unit), len(self.chosen), BITS)


def representations(checkpoint: Checkpoint, context: Context, *, n_inputs: int = 256, seed: int = 0) -> Representations:
    """Of inputs drawn from the probe by the seed alone; of all of them, where it has no more than `n_inputs`."""
    if not 4 <= n_inputs <= MOST:
        raise MiscopeError(f"`n_inputs` = {n_inputs}; allowed: 4 to {MOST}.")
    n = len(context.probe.targets)
    chosen = np.sort(np.random.default_rng(seed).choice(n, min(n, n_inputs), replace=False))
    seen = {name: values[chosen] for name, values in sites(checkpoint.activations, checkpoint.model).items()}
    codes = quantize(np.concatenate(list(seen.values()), axis=1), BITS)
    return Representations(tuple(seen), np.array([x.shape[1] for x in seen.values()]), chosen, *codes)


def cosines(values: Float32[np.ndarray, "input dim"]) -> Cosines:
    """Of every two inputs, about the mean of all; 0 where one is the mean."""
    centred = values - values.mean(axis=0)
    sizes = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, sizes, out=np.zeros_like(centred), where=sizes > 0)
    return unit @ unit.T


def nulls(representations: Artifact[Representations], context: Context) -> Iterator[Null]:
    """Shuffled answers, on top of the untrained network: how alike are the inputs of one right answer?"""
    first = representations[representations.steps[0]]
    answers = context.probe.targets[first.chosen]
    pairs = np.nonzero(np.triu(answers[:, None] == answers, 1))
    untrained = _of_sites(first) if representations.steps[0] == 0 else [None] * len(first.site)
    for step, output in representations.items():
        for site, near, start in zip(output.site, _of_sites(output), untrained, strict=True):
            yield _of_pairs(near, start, pairs).of("overview", step, **options_of(site))


def _of_sites(output: Representations) -> list[Cosines]:
    value = output.value
    return [cosines(value[:, columns(output.width, at)]) for at in range(len(output.site))]


def _of_pairs(near: Cosines, start: Cosines | None, pairs: tuple[Int[np.ndarray, " pair"], ...]) -> Null:
    """The mean cosine of the pairs of one right answer; `start` has those of the untrained network, if it is known."""
    if not 0 < len(pairs[0]) < len(near) * (len(near) - 1) / 2:
        return Null.absent("no two inputs have one right answer, or all have the same")
    chance, source = rare_mean_of_pairs(near, *pairs), "99 % of shuffled answers"
    if start is not None:
        chance += MARGIN * max(float(start[pairs].mean()), 0)
        source += " on top of the untrained network"
    return Null("mean cosine within an answer", float(near[pairs].mean()), chance, source, "matched")


instrument = PerCheckpoint(representations, needs=HOOKS, nulls=nulls)
