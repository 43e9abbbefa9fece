"""Networks whose filtered losses are known: an adder built by hand, and a circuit that grows in planted logits."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import Addition, on_planted, probe, through_the_model, tracked
from miscope.instruments.logit_spectra.measure import instrument as logit_spectra_instrument
from miscope.instruments.losses.measure import instrument as losses_instrument
from miscope.instruments.progress_measures.measure import instrument
from miscope.plugin import Answer, Checkpoint
from miscope.workspace.observation import observed_over_training

ADDITION, NEEDED = Addition(), (logit_spectra_instrument, losses_instrument)


def progress_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31 by |cos(w (a - b) / 2)| cos(w (a + b - c)): its filtered losses are known.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 5.1 (measures), of the logits of `calibration.models.Addition`:
    restricted leaves the mean of |cos|, excluded what |cos| has beside it.
    """
    context, checkpoint = ADDITION.context, ADDITION.checkpoint()
    needed = ({0: through_the_model(needed, checkpoint, context)} for needed in NEEDED)
    seen = observed_over_training(checkpoint, context, instrument)
    progress = tracked(instrument, {0: seen}, *needed, context=context)
    right, mean, sizes = context.probe.targets, ADDITION.mean_size, ADDITION.sizes()
    restricted = _mean_loss(ADDITION.logits(np.full_like(sizes, mean)), right)
    train = context.probe.is_train
    excluded = _mean_loss(ADDITION.logits(sizes - mean)[train], right[train])
    yield Answer("key frequencies found", 3, len(progress.key_frequency))
    yield Answer("their sum", sum(ADDITION.frequencies), progress.key_frequency.sum())
    yield Answer("restricted loss in nats, over what is expected", 1, progress.restricted_loss[0, 0] / restricted, 0.02)
    yield Answer("trig loss in nats, over what is expected", 1, progress.trig_loss[0] / restricted, 0.02)
    yield Answer("excluded loss in nats", excluded, progress.excluded_loss[0], 1e-3 * excluded)
    yield Answer("share of the logits' energy at the keys", 2 * mean**2, progress.key_share[0], 1e-3)


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
    needed: list[Mapping[int, Any]] = [
        {s: on_planted(needed, ADDITION.model, context, logits=x) for s, x in planted.items()} for needed in NEEDED
    ]
    progress = tracked(instrument, path, *needed, context=context)
    whole = _mean_loss(circuit, (a + b) % p)
    yield Answer("restricted loss at the end: that of the circuit", whole, progress.restricted_loss[0, -1], 1e-5)
    yield Answer("excluded loss at the end: log 11", np.log(p), progress.excluded_loss[-1], 1e-3)
    yield Answer("excluded loss while pairs are known by heart", 0, progress.excluded_loss[0], 0.01)
    yield Answer("share of the keys at the end", 1, progress.key_share[-1], 1e-5)
    wrong = tracked(instrument, path, *needed, context=context, keys=(1, 3))
    yield Answer("restricted loss with the wrong keys: log 11", np.log(p), wrong.restricted_loss[0, -1], 1e-4)


def _mean_loss(logits: np.ndarray, right: np.ndarray) -> float:
    """Mean cross-entropy in nats, without subtracting what is large from what is large."""
    beside = logits - logits[np.arange(len(right)), right, None]
    beside[np.arange(len(right)), right] = -np.inf
    return float(np.log1p(np.exp(beside).sum(axis=1)).mean())


cases = (progress_of_an_exact_adder, progress_of_a_growing_circuit)
