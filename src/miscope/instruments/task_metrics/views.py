"""The task's own numbers over training."""

import numpy as np

from miscope.instruments.task_metrics.measure import SPLITS, TaskMetrics
from miscope.plugin import Context, Table, lines, long, view


@view(
    question="How do the task's own numbers change during training?",
    reading="One panel for each number that the task's family defines. Curves of train and test that part show what "
    "the network memorizes.",
    draw=lines("step", "value", "split", "metric"),
)
def overview(output: TaskMetrics, context: Context) -> Table:
    """One row per (split, metric, step); `value` in the units of the metric."""
    values = np.stack([output.train, output.test])
    return Table(long("value", values, split=SPLITS, metric=output.metric, step=output.steps))
