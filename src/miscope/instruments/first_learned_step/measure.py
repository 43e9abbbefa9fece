r"""The step from which the network answers each input right, and which inputs it forgets.

Training inputs are learned while the network memorises, the others only when it generalises. With few answers some
inputs are right by chance and count as learned at once; an input that is right only at the last checkpoints does not
count yet.

Maths: $c_i$ is 1 where the input is right at checkpoint $i$, of step $t_i$, and 0 where not; $h$ is `hold`.
$$\text{learned\_step} = \min \{\, t_i : c_i = c_{i+1} = \dots = c_{i+h-1} = 1 \,\}, \qquad
\text{n\_forgotten} = \sum_i c_i \, (1 - c_{i+1}).$$

Source: ours; forgetting events are those of Toneva et al. 2019, arXiv:1812.05159, section 3.1, counted from checkpoint
to checkpoint.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from miscope.instruments._shared import guessing
from miscope.instruments.losses import measure as losses_measure
from miscope.plugin import Artifact, Context, MiscopeError, NotApplicable, Null, Output, OverTraining


@dataclass(frozen=True)
class FirstLearnedStep(Output):
    steps: Int[np.ndarray, " n"]
    learned_step: Float[np.ndarray, " batch"]  # first step of `hold` checkpoints that are all right; NaN: none
    n_forgotten: Int[np.ndarray, " batch"]  # how often the input was right at a checkpoint and wrong at the next
    is_right_at_end: Bool[np.ndarray, " batch"]
    is_train: Bool[np.ndarray, " batch"]  # whether the network trains on the input
    hold: int  # checkpoints

    @property
    def has_lasted(self) -> Bool[np.ndarray, " batch"]:
        """Whether the input is learned and right at the end: no more of them by chance than are right there."""
        return np.isfinite(self.learned_step) & self.is_right_at_end


def first_learned_step(losses: Artifact[losses_measure.Losses], context: Context, *, hold: int = 3) -> FirstLearnedStep:
    """Of every probe input; what happens after it is learned does not take it back."""
    if hold < 1:
        raise MiscopeError(f"`hold` = {hold}; allowed: 1 or more.")
    steps = np.array(losses.steps, dtype=np.int64)
    if len(steps) < hold:
        raise NotApplicable(f"There are {len(steps)} checkpoints; an input is learned after {hold} right in a row.")
    is_right = losses.stack("is_correct")  # [step input]
    runs = np.lib.stride_tricks.sliding_window_view(is_right, hold, axis=0).all(axis=-1)
    return FirstLearnedStep(
        steps=steps,
        learned_step=np.where(runs.any(axis=0), steps[runs.argmax(axis=0)], np.nan),
        n_forgotten=(is_right[:-1] & ~is_right[1:]).sum(axis=0),
        is_right_at_end=is_right[-1],
        is_train=context.probe.is_train,
        hold=hold,
    )


def measures(output: FirstLearnedStep) -> dict[str, np.ndarray]:
    """The share of test inputs that are right from then on for `hold` checkpoints."""
    of_test = output.learned_step[~output.is_train]
    return {"learned_share": (of_test[:, None] <= output.steps).mean(axis=0)} if len(of_test) else {}


def nulls(output: FirstLearnedStep, context: Context) -> Iterator[Null]:
    """Guessing: inputs that are right for good, and those that come and go."""
    statistic = "{} inputs learned and right at the end"
    yield guessing.of_accuracy(context, output.has_lasted, statistic).of("overview")
    split, chosen = guessing.judged(context.probe)
    chance, pairs = guessing.chance(context.probe, chosen), len(output.steps) - 1
    # where a network gives all inputs one answer, they are forgotten together: each pair has as much luck as its mean
    threshold = chance * (1 - chance) * (pairs + guessing.z_score() * pairs**0.5)
    mean = float(output.n_forgotten[chosen].mean())
    yield Null(f"times that a {split} input is forgotten", mean, threshold, guessing.SOURCE).of("forgotten")


instrument = OverTraining(first_learned_step, needs=(losses_measure.instrument,), measures=measures, nulls=nulls)
