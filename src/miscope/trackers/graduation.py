r"""When the network comes to answer each input right for good, and which ones it forgets.

Inputs that are trained on graduate while the network memorises, the others only when it generalises. With few answers
some inputs are right by chance and graduate at once; an input that is right only at the last checkpoints has not yet.

Maths: $c_i$ is 1 where the input is right at checkpoint $i$, of step $t_i$, and 0 where not; $h$ is `hold`.
$$\text{graduation\_step} = \min \{\, t_i : c_i = c_{i+1} = \dots = c_{i+h-1} = 1 \,\}, \qquad
\text{n\_forgotten} = \sum_i c_i \, (1 - c_{i+1}).$$

Source: ours; forgetting events are those of Toneva et al. 2019, arXiv:1812.05159, section 3.1, counted from checkpoint
to checkpoint.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from miscope.analyzers import losses as losses_file
from miscope.analyzers.losses import Losses
from miscope.core import Context, MiscopeError, NotApplicable
from miscope.instrument import Artifact, Output, OverTraining


@dataclass(frozen=True)
class Graduation(Output):
    steps: Int[np.ndarray, " n"]
    graduation_step: Float[np.ndarray, " batch"]  # first step of `hold` checkpoints that are all right; NaN: none
    n_forgotten: Int[np.ndarray, " batch"]  # how often the input was right at a checkpoint and wrong at the next
    is_right_at_end: Bool[np.ndarray, " batch"]
    is_train: Bool[np.ndarray, " batch"]  # whether the network trains on the input
    hold: int  # checkpoints

    @property
    def has_lasted(self) -> Bool[np.ndarray, " batch"]:
        """Whether the input has graduated and is right at the end: no more of them by chance than are right there."""
        return np.isfinite(self.graduation_step) & self.is_right_at_end


def graduation(losses: Artifact[Losses], context: Context, *, hold: int = 3) -> Graduation:
    """Of every probe input; what happens after it has graduated does not take it back.

    Raises:
        MiscopeError: `hold` is below 1.
    """
    if hold < 1:
        raise MiscopeError(f"`hold` = {hold}; allowed: 1 or more.")
    steps = np.array(losses.steps, dtype=np.int64)
    if len(steps) < hold:
        raise NotApplicable(f"There are {len(steps)} checkpoints; an input graduates after {hold} in a row.")
    is_right = losses.stack("is_correct")  # [step input]
    return Graduation(
        steps=steps,
        graduation_step=_first_of_a_run(steps, is_right, hold),
        n_forgotten=(is_right[:-1] & ~is_right[1:]).sum(axis=0),
        is_right_at_end=is_right[-1],
        is_train=context.probe.is_train,
        hold=hold,
    )


def _first_of_a_run(
    steps: Int[np.ndarray, " n"], holds: Bool[np.ndarray, "n batch"], length: int
) -> Float[np.ndarray, " batch"]:
    """The step that begins the first run of so many checkpoints at which it holds; NaN where there is none."""
    runs = np.lib.stride_tricks.sliding_window_view(holds, length, axis=0).all(axis=-1)
    return np.where(runs.any(axis=0), steps[runs.argmax(axis=0)], np.nan)


def measures(found: Graduation) -> dict[str, np.ndarray]:
    """The share of test inputs that are right from then on for `hold` checkpoints."""
    of_test = found.graduation_step[~found.is_train]
    return {"graduated_share": (of_test[:, None] <= found.steps).mean(axis=0)} if len(of_test) else {}


analyzer = OverTraining(graduation, needs=(losses_file.analyzer,), measures=measures)
