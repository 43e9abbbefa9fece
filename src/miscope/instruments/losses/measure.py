r"""How well the network answers the probe: loss, accuracy and margin on its training inputs, the others, and all.

A network that memorises reduces `train_loss` to 1e-7 nats while `test_loss` rises far above chance (the log of the
number of classes). A network that has generalised has both near zero and a positive smallest margin.

Maths: $z$ is the logits of an input at the answer position, $y$ its right answer, $A$ all answers that count as right,
mostly $y$ alone.
$$\text{loss} = -\ln \frac{e^{z_y}}{\sum_v e^{z_v}} = \ln\Bigl(1 + \sum_{v \ne y} e^{z_v - z_y}\Bigr), \qquad
\text{margin} = \max_{v \in A} z_v - \max_{v \notin A} z_v.$$
Losses are means over inputs, in nats; accuracies the shares of inputs with a margin above 0; `confidence` is
$e^{-\text{loss}}$.

Source: Nanda et al. 2023, arXiv:2301.05217, section 3 (float64 log-softmax in the released code).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float16

from miscope.instruments._shared import guessing
from miscope.instruments._shared.splits import Inputs, by_split
from miscope.maths.statistics import answers
from miscope.plugin import Artifact, Checkpoint, Context, Null, Output, PerCheckpoint

LEAST = 2.0**-25  # half of the least probability that a half float holds


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
    loss, margin = answers(logits, probe.targets, probe.allowed)
    is_correct = margin > 0
    of_class, right = (np.bincount(x, minlength=logits.shape[1]) for x in (probe.targets, probe.targets[is_correct]))
    numbers = by_split(
        probe.is_train,
        loss=lambda of: loss[of].mean(),
        accuracy=lambda of: is_correct[of].mean(),
        margin_mean=lambda of: margin[of].mean(),
        margin_min=lambda of: margin[of].min(),
    )
    return Losses(
        **numbers,
        all_loss=float(loss.mean()),
        all_accuracy=float(is_correct.mean()),
        class_accuracy=np.divide(right, of_class, out=np.full(len(right), np.nan), where=of_class > 0),
        is_correct=is_correct,
        confidence=np.exp(-loss).astype(np.float16),
        is_train=probe.is_train,
    )


def measures(output: Losses) -> dict[str, float]:
    """Losses in nats and shares of right answers; the mean margin of test inputs in logits."""
    named = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "test_margin_mean")
    return {name: value for name in named if (value := getattr(output, name)) is not None}


def nulls(losses: Artifact[Losses], context: Context) -> Iterator[Null]:
    """Guessing: the best answer that does not look at the input, and luck on a finite sample."""
    last, n = losses.last, len(losses)
    yield _of_loss(last, context).of("overview")
    yield guessing.of_accuracy(context, last.is_correct).of("accuracy")
    yield guessing.of_accuracy(context, last.is_correct, "{} inputs on which the right answer wins").of("margins")
    yield _of_classes(last.class_accuracy, context).of("class_accuracy")
    for step, output in losses.items():
        yield guessing.of_accuracy(context, output.is_correct, n_comparisons=n).of("correctness", step)
        is_train = output.is_train
        for inputs, chosen in (("all", np.ones_like(is_train)), ("train", is_train), ("test", ~is_train)):
            yield _of_confidence(output, context, chosen, n).of("confidence", step, inputs=inputs)


def _of_loss(last: Losses, context: Context) -> Null:
    """The loss at the last step against that of the answers' shares, luck with their order aside."""
    split, chosen = guessing.judged(context.probe)
    per_input = -np.log(np.maximum(last.confidence.astype(np.float64)[chosen], LEAST))
    luck = guessing.z_score() * max(per_input.std(), guessing.DIGITS) / chosen.sum() ** 0.5
    threshold = float(guessing.entropy(context.probe, chosen) - luck)
    return Null(f"{split} loss", getattr(last, f"{split}_loss"), threshold, guessing.SOURCE, is_lower=True)


def _of_classes(accuracy: Float[np.ndarray, " cls"], context: Context) -> Null:
    """Each answer counts alike: one that is always given is right on one of n."""
    inputs = np.bincount(context.probe.targets, minlength=len(accuracy))[np.isfinite(accuracy)]
    n = len(inputs) ** 2 / (1 / inputs).sum()  # of the inputs that would tell as much if answers were even
    threshold, mean = guessing.guessed_share(int(n), 1 / len(inputs)), float(np.nanmean(accuracy))
    return Null("mean accuracy over right answers", mean, threshold, guessing.SOURCE, unit="share")


def _of_confidence(output: Losses, context: Context, chosen: Inputs, n_comparisons: int) -> Null:
    """The mean probability of the right answer on the chosen inputs."""
    values = output.confidence.astype(np.float64)[chosen]
    if not len(values):
        return Null.absent("there are no such inputs")
    luck = guessing.z_score(n_comparisons) * values.std() / len(values) ** 0.5
    threshold = float(guessing.chance(context.probe, chosen) * (1 + guessing.DIGITS) + luck)
    statistic = "mean probability of the right answer"
    return Null(statistic, float(values.mean()), threshold, guessing.SOURCE, unit="share")


instrument = PerCheckpoint(losses, needs=("logits",), measures=measures, nulls=nulls)
