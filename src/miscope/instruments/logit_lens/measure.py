r"""What the network would answer after each layer, and how much each component adds to the right logit.

Early layers answer at chance; the circuit ends at the layer after which the answers are right. The parts of the right
logit add up to it exactly, with the scale of the final norm fixed at its value on the input (`fold_ln`).

Maths: at a point of the residual stream $h$ in $d$ dimensions, with the final norm's gain $g$ and bias $b$, logits are
$$z = \Bigl(\frac{h - \bar h}{\sigma} \circ g + b\Bigr) W_U + b_U, \qquad
\sigma^2 = \tfrac{1}{d} \sum_i (h_i - \bar h)^2 + 10^{-5}.$$
$\bar h$ is the mean over dimensions, 0 for an RMS norm; without a norm $\sigma = 1$ as well. Losses are means of
$-\ln \operatorname{softmax}(z)_y$ at the right answer $y$, accuracies shares of inputs with a right $z_y$ largest. For
what a component adds to the stream, $c$, at the last point's $\sigma$,
$$\text{attribution} = \operatorname{mean}_x \Bigl(\frac{c - \bar c}{\sigma} \circ g\Bigr) \cdot (u_y - u),$$
$u_y$ the column of $W_U$ of the right answer, $u$ the distractor's or the mean of all; `bias` is what $b$ and $b_U$
add. `spread` is the standard deviation over $x$ of what `attribution` is the mean of.

Source: nostalgebraist 2020, "interpreting GPT: the logit lens"; Elhage et al. 2021, "A Mathematical Framework for
Transformer Circuits" (the residual stream as a sum that the unembedding reads); Wang et al. 2022, arXiv:2211.00593,
section 3.1 (direct effect on the logit difference).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from miscope.instruments._shared import guessing
from miscope.instruments._shared.splits import by_split
from miscope.maths.statistics import answers
from miscope.plugin import Artifact, Checkpoint, Context, Null, Output, PerCheckpoint

Stream = Float[np.ndarray, "batch d_model"]


@dataclass(frozen=True)
class LogitLens(Output):
    point: tuple[str, ...]  # where the residual stream is read: `embedding`, `after layer 0`, ...
    train_loss: Float[np.ndarray, " point"] | None  # nats; None: the probe has no such input
    test_loss: Float[np.ndarray, " point"] | None
    train_accuracy: Float[np.ndarray, " point"] | None  # in [0, 1]
    test_accuracy: Float[np.ndarray, " point"] | None
    component: tuple[str, ...]  # `embedding`, `layer 0 attention`, `layer 0 MLP`, ..., `bias` where there is one
    attribution: Float[np.ndarray, " component"]  # to the right logit, less `against`; mean over the probe, in logits
    spread: Float[np.ndarray, " component"]  # its standard deviation over the probe, in logits
    against: str  # `the distractor` where the task names one, otherwise `the mean logit`


def logit_lens(checkpoint: Checkpoint, context: Context) -> LogitLens:
    """At the answer position, through the final norm and the unembedding, in float64."""
    probe, seen = context.probe, checkpoint.activations
    after = {f"after layer {i}": seen[f"blocks.{i}.hook_resid_post"] for i in range(checkpoint.model.n_layers)}
    stream = {at: x.astype(np.float64) for at, x in ({"embedding": seen["blocks.0.hook_resid_pre"]} | after).items()}
    given = [answers(_logits(checkpoint, x), probe.targets, probe.allowed) for x in stream.values()]
    loss, margin = (np.stack(of) for of in zip(*given, strict=True))  # [point input]
    numbers = by_split(
        probe.is_train, loss=lambda of: loss[:, of].mean(axis=1), accuracy=lambda of: (margin[:, of] > 0).mean(axis=1)
    )
    parts = _parts(checkpoint, context, list(stream.values()))
    return LogitLens(
        point=tuple(stream),
        **numbers,
        component=tuple(parts),
        attribution=np.array([float(part.mean()) for part in parts.values()]),
        spread=np.array([float(part.std()) for part in parts.values()]),
        against="the mean logit" if probe.distractors is None else "the distractor",
    )


class _FinalNorm:
    """What the final norm does to residual streams, with the scale that it takes on a batch of them."""

    def __init__(self, checkpoint: Checkpoint, x: Stream) -> None:
        weights, width = checkpoint.weights, x.shape[1]
        self.is_centred = "ln_final.b" in weights
        self.gain = weights.get("ln_final.w", np.ones(width)).astype(np.float64)
        self.bias = weights.get("ln_final.b", np.zeros(width)).astype(np.float64)
        self.scale = np.ones((len(x), 1))
        if "ln_final.w" in weights:
            self.scale = np.sqrt((self._centred(x) ** 2).mean(axis=1, keepdims=True) + checkpoint.model.eps)

    def _centred(self, x: Stream) -> Stream:
        return x - x.mean(axis=1, keepdims=True) if self.is_centred else x

    def linear(self, x: Stream) -> Stream:
        """All but the bias: a sum of parts may go through it part by part."""
        return self._centred(x) / self.scale * self.gain


def _logits(checkpoint: Checkpoint, x: Stream) -> Float[np.ndarray, "batch vocab"]:
    norm, weights = _FinalNorm(checkpoint, x), checkpoint.weights
    return (norm.linear(x) + norm.bias) @ weights["unembed.W_U"] + weights.get("unembed.b_U", 0)


def _parts(checkpoint: Checkpoint, context: Context, stream: list[Stream]) -> dict[str, Float[np.ndarray, " batch"]]:
    """What each component adds to the right logit of each input, less what it adds to the distractor or the mean."""
    w, probe = checkpoint.weights, context.probe
    norm, unembed = _FinalNorm(checkpoint, stream[-1]), w["unembed.W_U"].astype(np.float64)
    b_u = w.get("unembed.b_U", np.zeros(unembed.shape[1])).astype(np.float64)
    other, other_b = unembed.mean(axis=1), b_u.mean()
    if probe.distractors is not None:
        other, other_b = unembed.T[probe.distractors], b_u[probe.distractors]
    direction = unembed.T[probe.targets] - other  # [batch d_model]
    components = {"embedding": stream[0]}  # what is added to the residual stream, in order
    for i, (before, after) in enumerate(pairwise(stream)):
        components[f"layer {i} attention"] = checkpoint.activations[f"blocks.{i}.hook_attn_out"].astype(np.float64)
        if checkpoint.model.d_mlp:
            components[f"layer {i} MLP"] = after - before - components[f"layer {i} attention"]
    parts = {name: (norm.linear(x) * direction).sum(axis=1) for name, x in components.items()}
    if "ln_final.b" in w or "unembed.b_U" in w:
        parts["bias"] = direction @ norm.bias + b_u[probe.targets] - other_b
    return parts


def measures(output: LogitLens) -> dict[str, float]:
    """The test loss wherever the stream is read, and what each component adds to the right logit."""
    losses = {} if output.test_loss is None else dict(zip(output.point, output.test_loss.tolist(), strict=True))
    added = zip(output.component, output.attribution.tolist(), strict=True)
    return {f"test_loss of {at}": x for at, x in losses.items()} | {f"attribution of {c}": x for c, x in added}


def nulls(lens: Artifact[LogitLens], context: Context) -> Iterator[Null]:
    """Guessing, and random signs of what a component adds."""
    yield _of_last_point(lens.last, context, "accuracy").of("overview", measure="accuracy")
    yield _of_last_point(lens.last, context, "loss").of("overview", measure="loss")
    yield _of_components(lens.last, context).of("attribution")


def _of_last_point(last: LogitLens, context: Context, measure: Literal["accuracy", "loss"]) -> Null:
    """What is read after the last layer."""
    split, chosen = guessing.judged(context.probe)
    value, statistic = float(getattr(last, f"{split}_{measure}")[-1]), f"{split} {measure} {last.point[-1]}"
    if measure == "accuracy":
        return guessing.of_share(statistic, value, context, chosen)
    threshold = guessing.entropy(context.probe, chosen)
    return Null(statistic, value, threshold, "the best single guess", level=None, is_lower=True)


def _of_components(last: LogitLens, context: Context) -> Null:
    """The component that adds most."""
    best, every = int(last.attribution.argmax()), np.ones(len(context.probe.targets), dtype=bool)
    statistic, n = f"mean addition of {last.component[best]}", len(last.component)
    return guessing.of_mean(statistic, float(last.attribution[best]), float(last.spread[best]), context, every, n)


instrument = PerCheckpoint(
    logit_lens, needs=("hook_resid_pre", "hook_attn_out", "hook_resid_post"), measures=measures, nulls=nulls
)
