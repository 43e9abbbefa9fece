r"""What a linear probe reads from the residual stream at the answer position, layer by layer, beside what it must beat.

A high accuracy alone says little: the majority class, a probe of the untrained network (step 0, which the views draw)
and a probe of labels that have nothing to do with the inputs are the nulls. In Othello on the full board the square's
state relative to the player is read at 0.99 in the middle layers of a trained network; on small boards an untrained one
already comes within a few points of the trained.

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

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from miscope.core import Checkpoint, Context, MiscopeError, NotApplicable
from miscope.instrument import Output, PerCheckpoint
from miscope.maths.probes import majority_accuracies, ridge_accuracies


@dataclass(frozen=True)
class LinearProbes(Output):
    latent: tuple[str, ...]
    layer: tuple[str, ...]  # `embedding`, `layer 0`, ...: the residual stream before the first and after each layer
    accuracy: Float[np.ndarray, "layer latent"]  # share of the inputs held out that the probe gets right, in [0, 1]
    shuffled: Float[np.ndarray, "layer latent"]  # the same for labels shuffled over the inputs
    majority: Float[np.ndarray, " latent"]  # the same for an answer that is always the class most frequent


def linear_probes(checkpoint: Checkpoint, context: Context, *, ridge: float = 1e-4, seed: int = 0) -> LinearProbes:
    """Probes fitted on one half of the probe inputs and scored on the other; inputs that look alike share a half.

    `ridge` is in units of the stream's mean variance. A strong one flatters: it lowers the untrained network's probe
    far more than the trained one's.
    """
    if not context.latents:
        raise NotApplicable("Linear probes need latents to look for, and this task declares none.")
    if ridge <= 0:
        raise MiscopeError(f"`ridge` = {ridge}; allowed: above 0.")
    rng = np.random.default_rng(seed)
    is_fitted = _half(checkpoint, context, rng)
    labels = np.stack(list(context.latents.values()))
    both = np.concatenate([labels, labels[:, rng.permutation(labels.shape[1])]])
    streams = [checkpoint.activations["blocks.0.hook_resid_pre"], *checkpoint.layers("hook_resid_post")]
    found = np.stack([ridge_accuracies(stream, both, is_fitted, ridge) for stream in streams])
    return LinearProbes(
        latent=tuple(context.latents),
        layer=("embedding", *(f"layer {i}" for i in range(len(streams) - 1))),
        accuracy=found[:, : len(labels)],
        shuffled=found[:, len(labels) :],
        majority=majority_accuracies(labels, is_fitted),
    )


def _half(checkpoint: Checkpoint, context: Context, rng: np.random.Generator) -> Bool[np.ndarray, " batch"]:
    """Which inputs the probes are fitted on: a random half of the inputs that the network can tell apart."""
    seen = context.probe.tokens[:, : context.answer_position + 1 if checkpoint.model.is_causal else None]
    distinct, index = np.unique(seen, axis=0, return_inverse=True)
    if len(distinct) < 2:
        raise NotApplicable("Linear probes need at least two probe inputs that differ up to the answer position.")
    return (rng.permutation(len(distinct)) < (len(distinct) + 1) // 2)[index.ravel()]


def measures(found: LinearProbes) -> dict[str, float]:
    """Mean over latents at the best layer, and each latent at its best layer."""
    best = found.accuracy.max(axis=0)
    return {"accuracy": float(found.accuracy.mean(axis=1).max())} | {
        f"accuracy of {latent}": float(x) for latent, x in zip(found.latent, best, strict=True)
    }


analyzer = PerCheckpoint(linear_probes, needs=("hook_resid_pre", "hook_resid_post"), measures=measures)
