r"""How well the network answers the probe: loss, accuracy and margin on the inputs it trains on, the others, and all.

A network that memorises drives `train_loss` to 1e-7 nats while `test_loss` rises far above chance (the log of the
number of classes); one that has generalised has both near zero and a positive least margin.

Maths: $z$ is the logits of an input at the answer position, $y$ its right answer, $A$ all answers that count as right,
mostly $y$ alone.
$$\text{loss} = -\ln \frac{e^{z_y}}{\sum_v e^{z_v}} = \ln\Bigl(1 + \sum_{v \ne y} e^{z_v - z_y}\Bigr), \qquad
\text{margin} = \max_{v \in A} z_v - \max_{v \notin A} z_v.$$
Losses are means over inputs, in nats; accuracies the shares of inputs with a margin above 0; `confidence` is
$e^{-\text{loss}}$.

Source: Nanda et al. 2023, arXiv:2301.05217, section 3 (float64 log-softmax in the released code).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float16, Int

from miscope.core import Checkpoint, Context, Output, PerCheckpoint
from miscope.maths.statistics import Answers, answers


@dataclass(frozen=True)
class Losses(Output):
    train_loss: float | None  # mean cross-entropy in nats, >= 0; None: the probe has no such input
    test_loss: float | None
    all_loss: float
    train_accuracy: float | None  # share answered right, in [0, 1]
    test_accuracy: float | None
    all_accuracy: float
    class_accuracy: Float[np.ndarray, " cls"]  # per right answer, in [0, 1]; NaN: no input of the probe has it
    train_margin_mean: float | None  # right logit minus the best wrong one
    train_margin_min: float | None
    test_margin_mean: float | None
    test_margin_min: float | None
    is_correct: Bool[np.ndarray, " batch"]
    confidence: Float16[np.ndarray, " batch"]  # probability of the right answer, in [0, 1]
    is_train: Bool[np.ndarray, " batch"]  # whether the network trains on the input


def losses(checkpoint: Checkpoint, context: Context) -> Losses:
    """Losses with the weights of this very step, train and test alike."""
    logits, probe = checkpoint.activations["logits"], context.probe
    found = answers(logits, probe.targets, probe.allowed)
    train, test = _summary(found, probe.is_train), _summary(found, ~probe.is_train)
    return Losses(
        train_loss=train.loss,
        test_loss=test.loss,
        all_loss=float(found.loss.mean()),
        train_accuracy=train.accuracy,
        test_accuracy=test.accuracy,
        all_accuracy=float((found.margin > 0).mean()),
        class_accuracy=_class_accuracy(found.margin > 0, probe.targets, logits.shape[1]),
        train_margin_mean=train.margin_mean,
        train_margin_min=train.margin_min,
        test_margin_mean=test.margin_mean,
        test_margin_min=test.margin_min,
        is_correct=found.margin > 0,
        confidence=np.exp(-found.loss).astype(np.float16),
        is_train=probe.is_train,
    )


class _Summary(NamedTuple):
    loss: float | None = None
    accuracy: float | None = None
    margin_mean: float | None = None
    margin_min: float | None = None


def _summary(found: Answers, chosen: Bool[np.ndarray, " batch"]) -> _Summary:
    """Means over the chosen inputs; all absent where there is none."""
    if not chosen.any():
        return _Summary()
    loss, margin = found.loss[chosen], found.margin[chosen]
    return _Summary(float(loss.mean()), float((margin > 0).mean()), float(margin.mean()), float(margin.min()))


def _class_accuracy(
    is_correct: Bool[np.ndarray, " batch"], targets: Int[np.ndarray, " batch"], n_classes: int
) -> Float[np.ndarray, " cls"]:
    inputs = np.bincount(targets, minlength=n_classes)
    right = np.bincount(targets[is_correct], minlength=n_classes)
    return np.divide(right, inputs, out=np.full(n_classes, np.nan), where=inputs > 0)


def measures(found: Losses) -> dict[str, float]:
    """Losses in nats and shares of right answers; the mean margin of test inputs in logits."""
    named = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "test_margin_mean")
    return {name: value for name in named if (value := getattr(found, name)) is not None}


analyzer = PerCheckpoint(losses, needs=("logits",), measures=measures)
