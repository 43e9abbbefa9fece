r"""What the network would answer after each layer, and how much each component adds to the right logit.

Early exits answer at chance; the layer after which they answer right is where the circuit ends. The parts of the right
logit add up to it exactly, with the scale of the final norm held at what it is on the input (`fold_ln`).

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
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from miscope.instruments._shared import guessing, leads
from miscope.maths.statistics import answers
from miscope.plugin import Artifact, Checkpoint, Context, Null, Output, PerCheckpoint


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
    probe, stream = context.probe, _stream(checkpoint)
    given = [answers(_logits(checkpoint, x), probe.targets, probe.allowed) for x in stream.values()]
    loss, is_right = np.stack([a.loss for a in given]), np.stack([a.margin > 0 for a in given])
    parts = _parts(checkpoint, context, list(stream.values()))
    return LogitLens(
        point=tuple(stream),
        train_loss=_mean(loss, probe.is_train),
        test_loss=_mean(loss, ~probe.is_train),
        train_accuracy=_mean(is_right, probe.is_train),
        test_accuracy=_mean(is_right, ~probe.is_train),
        component=tuple(parts),
        attribution=np.array([float(part.mean()) for part in parts.values()]),
        spread=np.array([float(part.std()) for part in parts.values()]),
        against="the mean logit" if probe.distractors is None else "the distractor",
    )


def _stream(checkpoint: Checkpoint) -> dict[str, Float[np.ndarray, "batch d_model"]]:
    """The residual stream at the answer position, before the first layer and after each."""
    seen = checkpoint.activations
    after = {f"after layer {i}": seen[f"blocks.{i}.hook_resid_post"] for i in range(checkpoint.model.n_layers)}
    return {name: x.astype(np.float64) for name, x in ({"embedding": seen["blocks.0.hook_resid_pre"]} | after).items()}


class _FinalNorm(NamedTuple):
    """What the final norm does to a batch of residual streams, with the scale that it takes on them."""

    is_centred: bool
    scale: Float[np.ndarray, "batch 1"]
    gain: Float[np.ndarray, " d_model"]
    bias: Float[np.ndarray, " d_model"]

    def linear(self, x: Float[np.ndarray, "batch d_model"]) -> Float[np.ndarray, "batch d_model"]:
        """All but the bias: a sum of parts may go through it part by part."""
        return _centred(x, self.is_centred) / self.scale * self.gain


def _final_norm(checkpoint: Checkpoint, x: Float[np.ndarray, "batch d_model"]) -> _FinalNorm:
    weights = checkpoint.weights
    width, is_centred = x.shape[1], "ln_final.b" in weights
    gain = weights.get("ln_final.w", np.ones(width)).astype(np.float64)
    bias = weights.get("ln_final.b", np.zeros(width)).astype(np.float64)
    scale = np.ones((len(x), 1))
    if "ln_final.w" in weights:
        scale = np.sqrt((_centred(x, is_centred) ** 2).mean(axis=1, keepdims=True) + checkpoint.model.eps)
    return _FinalNorm(is_centred, scale, gain, bias)


def _centred(x: Float[np.ndarray, "batch d_model"], is_centred: bool) -> Float[np.ndarray, "batch d_model"]:
    return x - x.mean(axis=1, keepdims=True) if is_centred else x


def _logits(checkpoint: Checkpoint, x: Float[np.ndarray, "batch d_model"]) -> Float[np.ndarray, "batch vocab"]:
    norm, weights = _final_norm(checkpoint, x), checkpoint.weights
    return (norm.linear(x) + norm.bias) @ weights["unembed.W_U"] + weights.get("unembed.b_U", 0)


def _parts(
    checkpoint: Checkpoint, context: Context, stream: list[Float[np.ndarray, "batch d_model"]]
) -> dict[str, Float[np.ndarray, " batch"]]:
    """What each component adds to the right logit of each input, less what it adds to the distractor or the mean."""
    w, probe = checkpoint.weights, context.probe
    norm, unembed = _final_norm(checkpoint, stream[-1]), w["unembed.W_U"].astype(np.float64)
    b_u = w.get("unembed.b_U", np.zeros(unembed.shape[1])).astype(np.float64)
    other, other_b = (
        (unembed.mean(axis=1), b_u.mean())
        if probe.distractors is None
        else (unembed.T[probe.distractors], b_u[probe.distractors])
    )
    direction = unembed.T[probe.targets] - other  # [batch d_model]
    parts = {name: (norm.linear(x) * direction).sum(axis=1) for name, x in _components(checkpoint, stream)}
    if "ln_final.b" in w or "unembed.b_U" in w:
        parts["bias"] = direction @ norm.bias + b_u[probe.targets] - other_b
    return parts


def _components(
    checkpoint: Checkpoint, stream: list[Float[np.ndarray, "batch d_model"]]
) -> Iterator[tuple[str, Float[np.ndarray, "batch d_model"]]]:
    """What is added to the residual stream, in order; an MLP adds what attention does not."""
    yield "embedding", stream[0]
    for i, (before, after) in enumerate(pairwise(stream)):
        attention = checkpoint.activations[f"blocks.{i}.hook_attn_out"].astype(np.float64)
        yield f"layer {i} attention", attention
        if checkpoint.model.d_mlp:
            yield f"layer {i} MLP", after - before - attention


def _mean(
    values: Float[np.ndarray, "point batch"] | Bool[np.ndarray, "point batch"], chosen: Bool[np.ndarray, " batch"]
) -> Float[np.ndarray, " point"] | None:
    return np.asarray(values[:, chosen].mean(axis=1, dtype=np.float64)) if chosen.any() else None


def measures(output: LogitLens) -> dict[str, float]:
    """The test loss wherever the stream is read, and what each component adds to the right logit."""
    losses = {} if output.test_loss is None else dict(zip(output.point, output.test_loss.tolist(), strict=True))
    added = zip(output.component, output.attribution.tolist(), strict=True)
    return {f"test_loss of {at}": x for at, x in losses.items()} | {f"attribution of {c}": x for c, x in added}


# ---------------------------------------------------------------- what chance would show


def nulls(lens: Artifact[LogitLens], context: Context) -> Iterator[Null]:
    """Guessing, and toss-ups in place of what a component adds."""
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
    best, all_inputs = int(last.attribution.argmax()), np.ones(len(context.probe.targets), dtype=bool)
    mean, std = float(last.attribution[best]), float(last.spread[best])
    return leads.of_mean(
        f"mean addition of {last.component[best]}", mean, std, context, all_inputs, len(last.component)
    )


instrument = PerCheckpoint(
    logit_lens, needs=("hook_resid_pre", "hook_attn_out", "hook_resid_post"), measures=measures, nulls=nulls
)
