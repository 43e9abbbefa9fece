"""Logits whose losses are arithmetic, and a network that adds exactly."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import Addition, on_planted, probe, shape, through_the_model
from miscope.instruments.losses.measure import instrument
from miscope.plugin import Answer, Probe

ADDITION = Addition()


def losses_of_margins() -> Iterator[Answer]:
    """Logits of 0 for seven classes but for the right one: 3 on inputs trained on, 40 on the others, one of those -1.

    Source: cross-entropy log(1 + 6 exp(-m)) of a margin m, by arithmetic; float32 has none below 1e-7.
    """
    targets, model = np.arange(10) % 7, shape(d_vocab_out=7)
    inputs, right = Probe(np.zeros((10, 1), dtype=np.int64), targets, np.arange(10) < 5), np.eye(7)[targets]
    margin = np.where(inputs.is_train, 3.0, 40.0)
    margin[-1] = -1
    measured = on_planted(instrument, model, replace(probe(10), probe=inputs), logits=margin[:, None] * right)
    yield Answer("train loss in nats", np.log1p(6 * np.exp(-3)), measured.train_loss, 1e-12)
    yield Answer("test loss in nats", (4 * 6 * np.exp(-40) + np.log1p(6 * np.e)) / 5, measured.test_loss, 1e-12)
    yield Answer("train accuracy", 1, measured.train_accuracy)
    yield Answer("test accuracy", 0.8, measured.test_accuracy)
    yield Answer("least test margin", -1, measured.test_margin_min)
    only = replace(inputs, is_train=np.arange(10) < 9)
    small = on_planted(instrument, model, replace(probe(10), probe=only), logits=40 * right)
    yield Answer("a loss of 6 exp(-40), over itself", 1, small.test_loss / (6 * np.exp(-40)))


def losses_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31 by weights from a formula, run by our own transformer.

    Source: Gromov 2023, arXiv:2301.02679, section 3, with a ReLU: see `calibration.models.Addition`.
    """
    logits = ADDITION.logits(ADDITION.sizes())
    right = (np.add.outer(np.arange(31), np.arange(31)) % 31).ravel()
    measured = through_the_model(instrument, ADDITION.checkpoint(), ADDITION.context)
    expected = np.log(np.exp(logits - logits[np.arange(961), right, None]).sum(axis=1))
    yield Answer("accuracy over all pairs", 1, measured.all_accuracy)
    yield Answer("loss over all pairs in nats", expected.mean(), measured.all_loss, 1e-3 * expected.mean())


cases = (losses_of_margins, losses_of_an_exact_adder)
