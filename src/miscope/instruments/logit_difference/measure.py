r"""How far the right answer is ahead of the one wrong answer that the task names: logit(right) - logit(distractor).

In indirect object identification the distractor is the subject. A network that knows the two names but not which of
them is right is at 0, with all its probability on the two; a circuit that chooses lifts every input above 0.

Maths: $z_y$ is the logit of the right answer and $z_f$ that of the distractor on input $x$; sums run over all outputs
$v$.
$$\Delta(x) = z_y - z_f, \qquad \text{mass} = \operatorname{mean}_x \frac{e^{z_y} + e^{z_f}}{\sum_v e^{z_v}}.$$
`difference` is $\Delta$; `mean`, `std` (over $n$, not $n - 1$) and `positive`, the share of $\Delta > 0$, are over the
inputs of a split.

Source: Wang et al. 2022, arXiv:2211.00593, section 2 (3.56 in GPT-2 small).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from miscope.instruments._shared import guessing
from miscope.instruments._shared.splits import by_split
from miscope.plugin import Artifact, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint


@dataclass(frozen=True)
class LogitDifference(Output):
    """Each number once for the probe inputs trained on and once for the others; None: the probe has no such input."""

    train_mean: float | None
    train_std: float | None  # over inputs
    train_positive: float | None  # share of inputs above 0, in [0, 1]
    train_mass: float | None  # probability of right answer and distractor together, mean over inputs, in [0, 1]
    test_mean: float | None
    test_std: float | None
    test_positive: float | None
    test_mass: float | None
    difference: Float32[np.ndarray, " batch"]  # logit(right) - logit(distractor)
    is_train: Bool[np.ndarray, " batch"]


def logit_difference(checkpoint: Checkpoint, context: Context) -> LogitDifference:
    """At the answer position, in float64."""
    logits, probe = checkpoint.activations["logits"].astype(np.float64), context.probe
    if probe.distractors is None:
        raise NotApplicable("The task names no distractor, the wrong answer that a logit difference is taken against.")
    right, distractor = (np.arange(len(logits)), probe.targets), (np.arange(len(logits)), probe.distractors)
    difference = logits[right] - logits[distractor]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    mass = (odds[right] + odds[distractor]) / odds.sum(axis=1)
    numbers = by_split(
        probe.is_train,
        mean=lambda of: difference[of].mean(),
        std=lambda of: difference[of].std(),
        positive=lambda of: (difference[of] > 0).mean(),
        mass=lambda of: mass[of].mean(),
    )
    return LogitDifference(**numbers, difference=difference.astype(np.float32), is_train=probe.is_train)


def measures(output: LogitDifference) -> dict[str, float]:
    """On test inputs: how far the right answer leads the distractor, and on how many of them."""
    named = ("test_mean", "test_positive")
    return {name: value for name in named if (value := getattr(output, name)) is not None}


def nulls(differences: Artifact[LogitDifference], context: Context) -> Iterator[Null]:
    """Tosses of a coin, on the split that tells."""
    split, chosen = guessing.judged(context.probe)
    mean, std = (getattr(differences.last, f"{split}_{name}") for name in ("mean", "std"))
    yield guessing.of_mean(f"mean {split} difference", mean, std, context, chosen).of("overview")
    yield _of_share(differences.last, context).of("shares")
    for step, output in differences.items():
        yield _of_share(output, context, len(differences)).of("distribution", step)


def _of_share(output: LogitDifference, context: Context, n_comparisons: int = 1) -> Null:
    """The inputs on which the right answer leads."""
    split, chosen = guessing.judged(context.probe)
    threshold = guessing.guessed_share(int(chosen.sum()), 0.5, n_comparisons)
    statistic = f"share of {split} inputs on which the right answer leads"
    return Null(statistic, getattr(output, f"{split}_positive"), threshold, "99 % of coin tosses", unit="share")


instrument = PerCheckpoint(logit_difference, needs=("logits",), measures=measures, nulls=nulls)
