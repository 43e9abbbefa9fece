"""The task's own numbers over training."""

import numpy as np

from miscope.instruments.task_metrics.measure import SPLITS, TaskMetrics
from miscope.plugin import Context, Table, lines, long, view


@view(
    question="How do the task's own metrics change during training?",
    reading="One panel for each metric that the family defines. Where the curves of train and test inputs differ, the "
    "network memorises.",
    draw=lines("step", "value", "split", "metric"),
)
def overview(output: TaskMetrics, context: Context) -> Table:
    """One row per (split, metric, step); `value` in the units of the metric."""
    values = np.stack([output.train, output.test])
    return Table(long("value", values, split=SPLITS, metric=output.metric, step=output.steps))
