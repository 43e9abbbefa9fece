"""Trainings drawn by hand: when each input is right, losses with known landmarks, circuits that grow in the logits."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.analyzers.losses import Losses
from miscope.analyzers.singular_values import SingularValues
from miscope.calibration.case import Answer, Case
from miscope.calibration.models import Addition, on_planted, probe, seen_by, through_the_model, tracked
from miscope.core import Checkpoint

ADDITION = Addition()


def inputs_that_graduate() -> Iterator[Answer]:
    """Four inputs at steps 0, 10, ... 50: one always right, one from 20, one in turn, one at the end.

    Source: by counting; Toneva et al. 2019, arXiv:1812.05159, section 3.1 (forgetting events).
    """
    right = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1]], dtype=bool).T
    path = {10 * i: _losses(0.0, 0.0, 1.0, is_correct=row) for i, row in enumerate(right)}
    found = tracked("graduation", path, context=probe(4))
    yield Answer("graduation of the first", 0, found.graduation_step[0])
    yield Answer("graduation of the second", 20, found.graduation_step[1])
    yield Answer("inputs that have not graduated", 2, np.isnan(found.graduation_step).sum())
    yield Answer("times that the third is forgotten", 3, found.n_forgotten[2])
    yield Answer("times that the others are", 0, found.n_forgotten[[0, 1, 3]].sum())


def a_run_that_groks() -> Iterator[Answer]:
    """The losses of a published run in outline: the test loss peaks at 32, and passes 28.8, 16, 6.4 and 1e-6.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 5.2 (the phases); the boundaries are by construction.
    """
    steps = (0, 100, 200, 1400, 2000, 4000, 8000, 9500, 11000, 12500, 20000)
    train = (0.01, 0.4, *(1.0,) * 9)
    test = (0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.05, 0.4, 0.999, 1.0, 1.0)
    loss = (4.7, 7.7, 20.0, 32.0, 31.0, 28.0, 14.0, 6.0, 1e-3, 9e-7, 2e-7)
    ratio = (5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 3.0, 3.0, 3.0, 3.0, 3.0)  # of W_out; W_in stays at 4
    curves = {s: _losses(a, b, c) for s, a, b, c in zip(steps, train, test, loss, strict=True)}
    spectra = {s: _ratios(4.0, r) for s, r in zip(steps, ratio, strict=True)}
    found = tracked("phases", curves, spectra, context=probe(1))
    yield Answer("memorised", 200, found.memorised_step)
    yield Answer("test loss peaks", 1400, found.test_peak_step)
    yield Answer("onset: 80 % below the peak", 9500, found.onset_step)
    yield Answer("solved", 11000, found.solved_step)
    yield Answer("grokked", 12500, found.grokked_step)
    yield Answer("crossover of W_out and W_in", 8000, found.crossover_step)
    yield Answer("phases", 5, len(found.phase))
    for name, end, expected in zip(found.phase, found.phase_end, (200, 4000, 9500, 12500, 20000), strict=True):
        yield Answer(f"end of {name}", expected, end)
    yield Answer("the verdict is `done` (1: yes)", 1, found.verdict == "done")


def runs_in_which_nothing_happens() -> Iterator[Answer]:
    """A run that memorises and never generalises, and one that stands still: detectors have to be silent.

    Source: by construction; the run without weight decay of Nanda et al. 2023, arXiv:2301.05217, in outline.
    """
    steps = (0, 100, 1000, 5000, 7500, 10_000)
    train, rising = (0.0, *(1.0,) * 5), (4.7, 20.0, 40.0, 55.0, 60.0, 63.0)
    curves = {s: _losses(a, 0.0, loss) for s, a, loss in zip(steps, train, rising, strict=True)}
    flat = {s: _losses(0.2, 0.2, 1.6) for s in steps}
    even = {s: _ratios(4.0, 5.0) for s in steps}
    for name, path in (("never generalises", curves), ("stands still", flat)):
        found = tracked("phases", path, even, context=probe(1))
        events = (found.test_peak_step, found.onset_step, found.solved_step, found.grokked_step, found.crossover_step)
        yield Answer(f"events of the run that {name}", 0, sum(event is not None for event in events))
    stopped = tracked("phases", curves, even, context=probe(1))
    yield Answer("the verdict on the first is `stop` (1: yes)", 1, stopped.verdict == "stop")


def progress_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31 by |cos(w (a - b) / 2)| cos(w (a + b - c)): its filtered losses are known.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 5.1 (measures), of the logits of `calibration.models.Addition`:
    restricted leaves the mean of |cos|, excluded what |cos| has beside it.
    """
    context, checkpoint = ADDITION.context, ADDITION.checkpoint()
    path = {0: seen_by("progress_measures", checkpoint, context)}
    spectra, curves = ({0: through_the_model(name, checkpoint, context)} for name in ("logit_spectra", "losses"))
    found = tracked("progress_measures", path, spectra, curves, context=context)
    right, mean = context.probe.targets, ADDITION.mean_size
    sizes = ADDITION.sizes()
    restricted = _mean_loss(ADDITION.logits(np.full_like(sizes, mean)), right)
    train = context.probe.is_train
    excluded = _mean_loss(ADDITION.logits(sizes - mean)[train], right[train])
    yield Answer("key frequencies found", 3, len(found.key_frequency))
    yield Answer("their sum", sum(ADDITION.frequencies), found.key_frequency.sum())
    yield Answer("restricted loss in nats, over what is expected", 1, found.restricted_loss[0, 0] / restricted, 0.02)
    yield Answer("trig loss in nats, over what is expected", 1, found.trig_loss[0] / restricted, 0.02)
    yield Answer("excluded loss in nats", excluded, found.excluded_loss[0], 1e-3 * excluded)
    yield Answer("share of the logits' energy at the keys", 2 * mean**2, found.key_share[0], 1e-3)


def progress_of_a_growing_circuit() -> Iterator[Answer]:
    """Logits modulo 11: at first training pairs alone, known by heart; then a circuit beside them; then that alone.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 5.1; a pure circuit has log(p) left when it is excluded.
    """
    p = 11
    a, b = np.divmod(np.arange(p * p), p)
    angle = 2 * np.pi * ((a + b)[:, None] - np.arange(p)) / p
    circuit = 6 * np.cos(2 * angle) + 3 * np.cos(5 * angle)
    plain = replace(probe(p * p, p), grid=(p, p))
    is_train = np.random.default_rng(0).random(p * p) < 0.4
    context = replace(plain, probe=replace(plain.probe, targets=(a + b) % p, is_train=is_train))
    by_heart = 20 * np.eye(p)[(a + b) % p] * is_train[:, None]
    planted = {100 * i: logits for i, logits in enumerate((by_heart, by_heart + circuit, circuit))}
    path = {s: Checkpoint(s, ADDITION.model, {}, {"logits": x[is_train]}) for s, x in planted.items()}
    spectra, curves = ({s: on_planted(name, ADDITION.model, context, logits=x) for s, x in planted.items()}
                       for name in ("logit_spectra", "losses"))  # fmt: skip
    found = tracked("progress_measures", path, spectra, curves, context=context)
    whole = _mean_loss(circuit, (a + b) % p)
    yield Answer("restricted loss at the end: that of the circuit", whole, found.restricted_loss[0, -1], 1e-5)
    yield Answer("excluded loss at the end: log 11", np.log(p), found.excluded_loss[-1], 1e-3)
    yield Answer("excluded loss while pairs are known by heart", 0, found.excluded_loss[0], 0.01)
    yield Answer("share of the keys at the end", 1, found.key_share[-1], 1e-5)
    wrong = tracked("progress_measures", path, spectra, curves, context=context, keys=(1, 3))
    yield Answer("restricted loss with the wrong keys: log 11", np.log(p), wrong.restricted_loss[0, -1], 1e-4)


def _mean_loss(logits: np.ndarray, right: np.ndarray) -> float:
    """Mean cross-entropy in nats, without subtracting what is large from what is large."""
    beside = logits - logits[np.arange(len(right)), right, None]
    beside[np.arange(len(right)), right] = -np.inf
    return float(np.log1p(np.exp(beside).sum(axis=1)).mean())


def _losses(
    train_accuracy: float, test_accuracy: float, test_loss: float, is_correct: np.ndarray | None = None
) -> Losses:
    """A checkpoint's losses of which these alone are read."""
    right = np.zeros(1, dtype=bool) if is_correct is None else is_correct
    return Losses(
        train_loss=1.0, test_loss=test_loss, all_loss=test_loss, train_accuracy=train_accuracy,
        test_accuracy=test_accuracy, all_accuracy=0.5, class_accuracy=np.zeros(5), train_margin_mean=None,
        train_margin_min=None, test_margin_mean=None, test_margin_min=None, is_correct=right,
        confidence=right.astype(np.float16), is_train=np.ones(len(right), dtype=bool),
    )  # fmt: skip


def _ratios(w_in: float, w_out: float) -> SingularValues:
    one = np.ones(2)
    return SingularValues(
        matrix=("blocks.0.mlp.W_in", "blocks.0.mlp.W_out"), value=np.ones((2, 1)),
        participation_ratio=np.array([w_in, w_out]), effective_rank=one, spectral_norm=one, frobenius_norm=one,
        shape=np.ones((2, 2), dtype=np.int64),
    )  # fmt: skip


cases = (
    Case("graduation", inputs_that_graduate),
    Case("phases", a_run_that_groks),
    Case("phases", runs_in_which_nothing_happens),
    Case("progress_measures", progress_of_an_exact_adder),
    Case("progress_measures", progress_of_a_growing_circuit),
)
