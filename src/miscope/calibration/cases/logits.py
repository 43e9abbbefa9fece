"""Answers that were put into the logits, or built into the weights."""

from collections.abc import Iterator
from dataclasses import replace
from math import comb

import numpy as np

from miscope.calibration.case import Answer, Case
from miscope.calibration.models import Addition, Induction, on_planted, probe, shape, through_the_model
from miscope.core import Probe
from miscope.maths.walsh import bits

INDUCTION, ADDITION = Induction(), Addition()


def _of_many(n: int = 10, classes: int = 7) -> tuple[Probe, np.ndarray]:
    """Inputs with right answers in turn, half of them trained on, and logits that are 0 but for the right one's."""
    targets = np.arange(n) % classes
    return Probe(np.zeros((n, 1), dtype=np.int64), targets, np.arange(n) < n // 2), np.eye(classes)[targets]


def losses_of_margins() -> Iterator[Answer]:
    """Logits of 0 for seven classes but for the right one: 3 on inputs trained on, 40 on the others, one of those -1.

    Source: cross-entropy log(1 + 6 exp(-m)) of a margin m, by arithmetic; float32 has none below 1e-7.
    """
    inputs, right = _of_many()
    margin = np.where(inputs.is_train, 3.0, 40.0)
    margin[-1] = -1
    found = on_planted("losses", shape(d_vocab_out=7), replace(probe(10), probe=inputs), logits=margin[:, None] * right)
    yield Answer("train loss in nats", np.log1p(6 * np.exp(-3)), found.train_loss, 1e-12)
    yield Answer("test loss in nats", (4 * 6 * np.exp(-40) + np.log1p(6 * np.e)) / 5, found.test_loss, 1e-12)
    yield Answer("train accuracy", 1, found.train_accuracy)
    yield Answer("test accuracy", 0.8, found.test_accuracy)
    yield Answer("least test margin", -1, found.test_margin_min)
    only = replace(inputs, is_train=np.arange(10) < 9)
    small = on_planted("losses", shape(d_vocab_out=7), replace(probe(10), probe=only), logits=40 * right)
    yield Answer("a loss of 6 exp(-40), over itself", 1, small.test_loss / (6 * np.exp(-40)))


def losses_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31 by weights from a formula, run by our own transformer.

    Source: Gromov 2023, arXiv:2301.02679, section 3, with a ReLU: see `calibration.models.Addition`.
    """
    logits = ADDITION.logits(ADDITION.sizes())
    right = (np.add.outer(np.arange(31), np.arange(31)) % 31).ravel()
    found = through_the_model("losses", ADDITION.checkpoint(), ADDITION.context)
    expected = np.log(np.exp(logits - logits[np.arange(961), right, None]).sum(axis=1))
    yield Answer("accuracy over all pairs", 1, found.all_accuracy)
    yield Answer("loss over all pairs in nats", expected.mean(), found.all_loss, 1e-3 * expected.mean())


def difference_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit that gives the right answer 4 logits more than any other of 16.

    Source: by construction.
    """
    found = through_the_model("logit_difference", INDUCTION.checkpoint(), INDUCTION.family.context(0))
    e = np.exp(INDUCTION.gain)
    yield Answer("mean difference to the distractor", INDUCTION.gain, found.test_mean, 1e-5)
    yield Answer("its spread over inputs", 0, found.test_std, 1e-5)
    yield Answer("probability of the two together", (e + 1) / (e + 15), found.test_mass, 1e-5)


def lens_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit whose second layer alone writes answers.

    Source: by construction; attributions add up to the difference between right answer and distractor.
    """
    found = through_the_model("logit_lens", INDUCTION.checkpoint(), INDUCTION.family.context(0))
    chance = np.log(INDUCTION.model.d_vocab_out)
    for point, expected, loss in zip(found.point, (chance, chance, INDUCTION.loss), found.test_loss, strict=True):
        yield Answer(f"test loss {point} in nats", expected, loss, 1e-5)
    for component, expected, part in zip(found.component, (0, 0, INDUCTION.gain), found.attribution, strict=True):
        yield Answer(f"logits from {component}", expected, part, 1e-5)


def lens_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31: its MLP alone writes, the sum of gains times the mean of |cos|.

    Source: see `calibration.models.Addition`; the mean of |cos(w d / 2)| over d is 1 / (p sin(pi / 2p)).
    """
    found = through_the_model("logit_lens", ADDITION.checkpoint(), ADDITION.context)
    expected = ADDITION.amplitude.sum() * ADDITION.mean_size
    for component, part, whole in zip(found.component, found.attribution, (0, 0, expected), strict=True):
        yield Answer(f"logits from {component}", whole, part, 1e-3 * expected)


def positions_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit that has the same loss wherever it is asked.

    Source: log(1 + 15 exp(-4)), by construction; a loss that is even over positions has the score 0.
    """
    found = through_the_model("loss_by_position", INDUCTION.checkpoint(), INDUCTION.family.context(0))
    yield Answer("largest loss of a position", INDUCTION.loss, np.nanmax(found.test_loss), 1e-5)
    yield Answer("in-context-learning score", 0, found.score, 1e-5)


def positions_that_help() -> Iterator[Answer]:
    """Twenty positions of which the right answer has 0, 0.2, ... 3.8 logits more than the other.

    Source: log(1 + exp(-m)) at the last two positions less the first two, by arithmetic.
    """
    n, margin = 20, 0.2 * np.arange(20)
    following = np.zeros((4, n), dtype=np.int64)
    inputs = replace(probe(4).probe, tokens=following, is_train=np.arange(4) < 2, following=following)
    logits = np.stack([np.tile(margin, (4, 1)), np.zeros((4, n))], axis=-1)
    found = on_planted("loss_by_position", shape(d_vocab_out=2), replace(probe(4), probe=inputs), logits=logits)
    loss = np.log1p(np.exp(-margin))
    yield Answer("in-context-learning score", loss[-2:].mean() - loss[:2].mean(), found.score)
    yield Answer("largest error of a position's loss", 0, np.abs(found.test_loss - loss).max())


def characters_in_the_margin() -> Iterator[Answer]:
    """The margin between two answers over all 6 bits: -3 chi(x1 x4) + 1 chi(x2).

    Source: O'Donnell 2014, Analysis of Boolean Functions, sections 1.2 to 1.4 (characters; Parseval).
    """
    n, chi = 6, (-1.0) ** bits(np.arange(64), 6)
    margin = -3 * chi[:, 0] * chi[:, 3] + chi[:, 1]
    context = replace(probe(64), grid=(2,) * n, relevant_axes=(0, 3))
    logits = np.stack([-margin / 2, margin / 2], axis=1)
    found = on_planted("walsh_spectrum", shape(d_vocab_out=2), context, logits=logits)
    yield Answer("coefficient of the target", -3, found.target_coefficient)
    yield Answer("share of the target", 0.9, found.target_share)
    yield Answer("energy: the mean square of the margin", 10, found.energy, 1e-5)
    yield Answer("rank among pairs of bits", 1, found.target_rank)
    yield Answer("pairs of bits", comb(6, 2), found.n_of_its_size)
    yield Answer("root mean square of the other pairs", 0, found.other_coefficient)
    yield Answer("share of single bits", 0.1, found.degree_share[1])


def characters_in_noise() -> Iterator[Answer]:
    """A margin of noise over all 10 bits.

    Source: Parseval; a random function has binomial(n, d) / 2^n of its energy at degree d.
    """
    margin = np.random.default_rng(0).normal(size=1024)
    logits = np.stack([-margin / 2, margin / 2], axis=1)
    found = on_planted("walsh_spectrum", shape(d_vocab_out=2), replace(probe(1024), grid=(2,) * 10), logits=logits)
    yield Answer("energy, over the mean square", 1, found.energy / (margin**2).mean(), 1e-5)
    yield Answer("share of the five bits' sets", comb(10, 5) / 1024, found.degree_share[5], 0.04)


def logits_of_an_exact_adder() -> Iterator[Answer]:
    """One layer that adds modulo 31 with gains 3, 2, 1 at frequencies 3, 7, 12: a pizza.

    Source: Zhong et al. 2023, arXiv:2306.17844, section 4 (logits with |cos(w (a - b) / 2)|); of its energy the mean of
    |cos| has (2 / (p sin(pi / 2p)))^2 / 2, which goes to 8 / pi^2 = 0.81.
    """
    found = through_the_model("logit_spectra", ADDITION.checkpoint(), ADDITION.context)
    share = 2 * ADDITION.mean_size**2
    yield Answer("share of the logits' energy along the answer", share, found.share.sum(), 1e-3)
    for k, gain, amplitude in zip(ADDITION.frequencies, ADDITION.gains, ADDITION.amplitude, strict=True):
        yield Answer(f"share of frequency {k}", share * gain**2 / 14, found.share[k - 1], 1e-3)
        size = amplitude * ADDITION.mean_size
        yield Answer(f"amplitude of cos(w {k}) in logits", size, found.trig_amplitude[k - 1], 1e-3 * size)
    yield Answer("share along cosines, over share along both", 1, found.trig_share.sum() / found.share.sum())


def planted_cosines() -> Iterator[Answer]:
    """Logits 3 cos(w 2 (a + b - c)) + cos(w 5 (a + b - c)) modulo 11: a clock.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 4.1; shares are of squares.
    """
    p = 11
    a, b = np.divmod(np.arange(p * p), p)
    angle = 2 * np.pi * ((a + b)[:, None] - np.arange(p)) / p
    context = replace(probe(p * p, p), grid=(p, p), probe=replace(probe(p * p).probe, targets=(a + b) % p))
    found = on_planted(
        "logit_spectra", shape(d_vocab_out=p), context, logits=3 * np.cos(2 * angle) + np.cos(5 * angle)
    )  # fmt: skip
    yield Answer("share of frequency 2", 0.9, found.share[1])
    yield Answer("share of frequency 5", 0.1, found.share[4])
    yield Answer("share of all others", 0, found.share[[0, 2, 3]].sum())


cases = (
    Case("losses", losses_of_margins),
    Case("losses", losses_of_an_exact_adder),
    Case("logit_difference", difference_of_a_built_circuit),
    Case("logit_lens", lens_of_a_built_circuit),
    Case("logit_lens", lens_of_an_exact_adder),
    Case("loss_by_position", positions_of_a_built_circuit),
    Case("loss_by_position", positions_that_help),
    Case("walsh_spectrum", characters_in_the_margin),
    Case("walsh_spectrum", characters_in_noise),
    Case("logit_spectra", logits_of_an_exact_adder),
    Case("logit_spectra", planted_cosines),
)
