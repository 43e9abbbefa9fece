"""A training curve written by hand."""

from collections.abc import Iterator

import numpy as np

from miscope.calibration.models import probe
from miscope.instruments.task_metrics.measure import measures, task_metrics
from miscope.plugin import Answer


def a_curve_with_one_number_of_its_own() -> Iterator[Answer]:
    """Losses, accuracies, and a distance that falls from 8 to 2 in training and stays at 8 in the test.

    Source: the numbers of the curve, by construction.
    """
    curve = {"step": np.array([0, 10])}
    curve |= {f"{split}_{name}": np.ones(2) for split in ("train", "test") for name in ("loss", "accuracy")}
    curve |= {"train_distance": np.array([8.0, 2.0]), "test_distance": np.array([8.0, 8.0])}
    values = measures(task_metrics(curve, probe(5)))
    yield Answer("numbers of the task's own", 2, len(values))
    yield Answer("last distance in training", 2, values["train_distance"][-1])
    yield Answer("last distance in the test", 8, values["test_distance"][-1])


cases = (a_curve_with_one_number_of_its_own,)
