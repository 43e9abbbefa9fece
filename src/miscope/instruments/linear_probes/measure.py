r"""What a linear probe decodes from the residual stream at the answer position, layer by layer, with its nulls.

A high accuracy alone says little. The nulls are the majority class, a probe of the untrained network (step 0), and a
probe of labels that are unrelated to the inputs. In Othello on the full board a square's state relative to the player
is decoded at 0.99 in the middle layers of a trained network; on small boards an untrained network comes within a few
points of that.

Maths: $X$ is the activations of the inputs fitted, in $d$ dimensions, $Y$ their one-hot classes, both less their means;
$\bar y$ is the mean taken from $Y$. An input held out, $x$ less the mean taken from $X$, is given the class
$$\arg\max_c \, (x W + \bar y)_c, \qquad
W = \Bigl(X^\top X + \text{ridge} \cdot \tfrac{\operatorname{tr} X^\top X}{d} \, I\Bigr)^{-1} X^\top Y.$$
`accuracy` is the share of inputs held out that are given their own class, `shuffled` the same with $Y$ and the classes
held out permuted over all inputs, `majority` where each is given the class most frequent among those fitted.

Source: Alain and Bengio 2016, arXiv:1610.01644, section 3; Nanda et al. 2023, arXiv:2309.00941, section 3; Hewitt and
Liang 2019, arXiv:1909.03368, section 2 (a control task beside every probe). Theirs gives each word type a random label,
which a probe can learn by heart; ours shuffles the labels over the inputs, so that nothing can be learned and what is
left is the null. They fit by gradient descent on the cross-entropy; ours is a ridge regression onto one-hot classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from miscope.instruments._shared.nulls import NO_START, raised
from miscope.maths.statistics import majority_accuracies, ridge_accuracies
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, NotApplicable, Null, Output, PerCheckpoint

MARGIN = 4.0  # in odds; probes of parity's 8 bits read 39 % in one untrained network and 69 % in another


@dataclass(frozen=True)
class LinearProbes(Output):
    latent: tuple[str, ...]
    layer: tuple[str, ...]  # `embedding`, `layer 0`, ...: the residual stream before the first and after each layer
    accuracy: Float[np.ndarray, "layer latent"]  # share of the inputs held out that the probe gets right, in [0, 1]
    shuffled: Float[np.ndarray, "layer latent"]  # the same for labels shuffled over the inputs
    majority: Float[np.ndarray, " latent"]  # the same for an answer that is always the class most frequent


def linear_probes(checkpoint: Checkpoint, context: Context, *, ridge: float = 1e-4, seed: int = 0) -> LinearProbes:
    """Probes fitted on one half of the probe inputs and scored on the other; inputs that look alike share a half.

    `ridge` is in units of the stream's mean variance; a strong one flatters, lowering the untrained probe far more.
    """
    if not context.latents:
        raise NotApplicable("Linear probes need latents to look for, and this task declares none.")
    if ridge <= 0:
        raise MiscopeError(f"`ridge` = {ridge}; allowed: above 0.")
    seen = context.probe.tokens[:, : context.answer_position + 1 if checkpoint.model.is_causal else None]
    distinct, index = np.unique(seen, axis=0, return_inverse=True)
    if len(distinct) < 2:
        raise NotApplicable("Linear probes need at least two probe inputs that differ up to the answer position.")
    rng = np.random.default_rng(seed)
    is_fitted = (rng.permutation(len(distinct)) < (len(distinct) + 1) // 2)[index.ravel()]
    labels = np.stack(list(context.latents.values()))
    both = np.concatenate([labels, labels[:, rng.permutation(labels.shape[1])]])
    streams = [checkpoint.activations["blocks.0.hook_resid_pre"], *checkpoint.layers("hook_resid_post")]
    read = np.stack([ridge_accuracies(stream, both, is_fitted, ridge) for stream in streams])
    return LinearProbes(
        latent=tuple(context.latents),
        layer=("embedding", *(f"layer {i}" for i in range(len(streams) - 1))),
        accuracy=read[:, : len(labels)],
        shuffled=read[:, len(labels) :],
        majority=majority_accuracies(labels, is_fitted),
    )


def measures(output: LinearProbes) -> dict[str, float]:
    """Mean over latents at the best layer, and each latent at its best layer."""
    best = zip(output.latent, output.accuracy.max(axis=0).tolist(), strict=True)
    return {"accuracy": float(output.accuracy.mean(axis=1).max())} | {f"accuracy of {name}": x for name, x in best}


def nulls(probes: Artifact[LinearProbes], context: Context) -> Iterator[Null]:
    """What a probe must beat before a latent counts as learned: shuffled labels, the largest class, no training."""
    yield _of_mean(probes).of("overview")
    yield _of_latents(probes, probes.steps[-1]).of("over_time")
    for step in probes:
        yield _of_latents(probes, step).of("latents", step)


def untrained(probes: Artifact[LinearProbes]) -> LinearProbes | None:
    """The probes of step 0; None where that is not among the checkpoints."""
    return probes[0] if probes.steps[0] == 0 else None


def _of_latents(probes: Artifact[LinearProbes], step: int) -> Null:
    """The latent whose best layer is furthest above its null."""
    output, first = probes[step], untrained(probes)
    if first is None:
        return Null.absent(NO_START)
    accuracy, start, shuffled = (x.max(axis=0) for x in (output.accuracy, first.accuracy, output.shuffled))
    floor = np.array([raised(float(share), MARGIN) for share in start])
    threshold = np.maximum.reduce([floor, shuffled, output.majority])
    best = int((accuracy - threshold).argmax())
    return _beside(f"probe of {output.latent[best]}", float(accuracy[best]), float(threshold[best]), MARGIN)


def _of_mean(probes: Artifact[LinearProbes]) -> Null:
    """The best layer's mean over the latents, at the last step; a mean of n varies less, by sqrt(n)."""
    output, first = probes.last, untrained(probes)
    if first is None:
        return Null.absent(NO_START)
    accuracy, start, shuffled = (float(x.mean(1).max()) for x in (output.accuracy, first.accuracy, output.shuffled))
    margin = MARGIN ** (1 / len(output.latent) ** 0.5)
    threshold = max(raised(start, margin), shuffled, float(output.majority.mean()))
    return _beside("mean probe accuracy", accuracy, threshold, margin)


def _beside(statistic: str, accuracy: float, threshold: float, margin: float) -> Null:
    source = f"the untrained network with a margin of {margin:.2g} in odds, shuffled labels or the largest class"
    return Null(statistic, accuracy, threshold, source, "matched", level=None, unit="share")


instrument = PerCheckpoint(linear_probes, needs=("hook_resid_pre", "hook_resid_post"), measures=measures, nulls=nulls)
