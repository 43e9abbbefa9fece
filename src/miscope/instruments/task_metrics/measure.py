r"""The task's own metrics over training, as its family defines them, on the train and test examples.

The family says what a healthy value is. They are evaluated with the losses, more often than checkpoints are saved.

Maths: $m$ is a number of `Family.metrics`, $z_s(x)$ the logits of the network at step $s$, $D$ the train or test split:
$$\text{value}_{m,s} = m\bigl(z_s(x) : x \in D\bigr).$$

Source: ours; what the numbers mean is in the family's `metrics`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from miscope.plugin import Context, NotApplicable, Null, Output, OverTraining

SPLITS = ("train", "test")
OF_EVERY_TASK = ("loss", "accuracy")  # the instrument `losses` shows these


@dataclass(frozen=True)
class TaskMetrics(Output):
    steps: Int[np.ndarray, " step"]
    metric: tuple[str, ...]
    train: Float[np.ndarray, "metric step"]  # on the examples that the network trains on
    test: Float[np.ndarray, "metric step"]


def task_metrics(curve: Mapping[str, np.ndarray], context: Context) -> TaskMetrics:
    """The columns of the training curve that the family added."""
    of_train = [name.removeprefix("train_") for name in curve if name.startswith("train_")]
    names = tuple(name for name in of_train if name not in OF_EVERY_TASK)
    if not names:
        raise NotApplicable("The task has no numbers of its own: its family defines no `metrics`.")
    train, test = (np.stack([curve[f"{split}_{name}"] for name in names]) for split in SPLITS)
    return TaskMetrics(np.asarray(curve["step"]), names, train, test)


def nulls(output: TaskMetrics, context: Context) -> Iterator[Null]:
    """There is none that holds for every task."""
    yield Null.absent("what chance would show, only the task itself could say").of("overview")


def measures(output: TaskMetrics) -> dict[str, Float[np.ndarray, " step"]]:
    """Every number of both splits, in the family's own units."""
    by_split = zip(SPLITS, (output.train, output.test), strict=True)
    return {f"{split}_{name}": values[i] for split, values in by_split for i, name in enumerate(output.metric)}


instrument = OverTraining(task_metrics, reads_curve=True, measures=measures, nulls=nulls)
