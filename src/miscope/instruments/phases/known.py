"""Trainings drawn by hand: losses with known landmarks, and losses in which nothing happens."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import on_planted, probe, shape, tracked
from miscope.instruments.losses.measure import Losses
from miscope.instruments.losses.measure import instrument as losses_instrument
from miscope.instruments.phases.measure import instrument
from miscope.instruments.singular_values.measure import SingularValues, singular_values
from miscope.plugin import Answer, Checkpoint


def a_run_that_groks() -> Iterator[Answer]:
    """The losses of a published run in outline: the test loss peaks at 32, and passes 28.8, 16, 6.4 and 1e-6.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 5.2 (the phases); the boundaries are by construction.
    """
    steps = (0, 100, 200, 1400, 2000, 4000, 8000, 9500, 11000, 12500, 20000)
    train = (0.01, 0.4, *(1.0,) * 9)
    test = (0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.05, 0.4, 0.999, 1.0, 1.0)
    loss = (4.7, 7.7, 20.0, 32.0, 31.0, 28.0, 14.0, 6.0, 1e-3, 9e-7, 2e-7)
    ratio = (5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 3.0, 3.0, 3.0, 3.0, 3.0)  # of W_out; W_in stays at 4
    curves = {s: losses(a, b, c) for s, a, b, c in zip(steps, train, test, loss, strict=True)}
    run = tracked(instrument, curves, {s: ratios(4.0, r) for s, r in zip(steps, ratio, strict=True)}, context=probe(1))
    yield Answer("memorised", 200, run.memorised_step)
    yield Answer("test loss peaks", 1400, run.test_peak_step)
    yield Answer("onset: 80 % below the peak", 9500, run.onset_step)
    yield Answer("solved", 11000, run.solved_step)
    yield Answer("grokked", 12500, run.grokked_step)
    yield Answer("crossover of W_out and W_in", 8000, run.crossover_step)
    yield Answer("phases", 5, len(run.phase))
    for name, end, expected in zip(run.phase, run.phase_end, (200, 4000, 9500, 12500, 20000), strict=True):
        yield Answer(f"end of {name}", expected, end)
    yield Answer("the verdict is `done` (1: yes)", 1, run.verdict == "done")


def runs_in_which_nothing_happens() -> Iterator[Answer]:
    """A run that memorises and never generalises, and one that stands still: detectors have to be silent.

    Source: by construction; the run without weight decay of Nanda et al. 2023, arXiv:2301.05217, in outline.
    """
    steps = (0, 100, 1000, 5000, 7500, 10_000)
    train, rising = (0.0, *(1.0,) * 5), (4.7, 20.0, 40.0, 55.0, 60.0, 63.0)
    curves = {s: losses(a, 0.0, loss) for s, a, loss in zip(steps, train, rising, strict=True)}
    even = {s: ratios(4.0, 5.0) for s in steps}
    overfitted = tracked(instrument, curves, even, context=probe(1))
    still = tracked(instrument, {s: losses(0.2, 0.2, 1.6) for s in steps}, even, context=probe(1))
    for name, run in (("never generalises", overfitted), ("stands still", still)):
        events = (run.test_peak_step, run.onset_step, run.solved_step, run.grokked_step, run.crossover_step)
        yield Answer(f"events of the run that {name}", 0, sum(event is not None for event in events))
    yield Answer("the verdict on the first is `stop` (1: yes)", 1, overfitted.verdict == "stop")


def losses(train_accuracy: float | None, test_accuracy: float | None, test_loss: float | None) -> Losses:
    """A checkpoint's losses, of which these alone are read; None: there are no such inputs."""
    blank = on_planted(losses_instrument, shape(), probe(1), logits=np.zeros((1, 5)))
    accuracies = {"train_accuracy": train_accuracy, "test_accuracy": test_accuracy}
    all_loss = blank.all_loss if test_loss is None else test_loss
    return replace(blank, **accuracies, test_loss=test_loss, all_loss=all_loss)


def ratios(w_in: float, w_out: float, layer: int = 0) -> SingularValues:
    """A checkpoint's participation ratios, of its last layer; those of layers before are 1."""
    names = [f"blocks.{i}.mlp.{name}" for i in range(layer + 1) for name in ("W_in", "W_out")]
    matrices = dict.fromkeys(names, np.eye(2, dtype=np.float32))
    blank = singular_values(Checkpoint(0, shape(n_layers=layer + 1, d_mlp=2), matrices), probe(1))
    return replace(blank, participation_ratio=np.array([1.0] * 2 * layer + [w_in, w_out]))


cases = (a_run_that_groks, runs_in_which_nothing_happens)
