"""Heads that look where they were built to look, and raise what they were built to raise."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.models import Induction, probe, shape, through_the_model
from miscope.instruments.head_scores.measure import instrument
from miscope.plugin import Answer, Checkpoint, Probe

BUILT = Induction()


def scores_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit of zeros and ones, on repeated blocks of random tokens.

    Source: Olsson et al. 2022, arXiv:2209.11895 (scores); their values are by construction.
    """
    context = BUILT.family.context(0)
    measured, by_counting = through_the_model(instrument, BUILT.checkpoint(), context), _even(context.probe.tokens)
    yield Answer("previous-token score of the shift head", 1, measured.previous_token[0, 0])
    yield Answer("its attention one position back", 1, measured.offset_score[0, 0, measured.offset == 1][0])
    yield Answer("its entropy", 0, measured.entropy[0, 0])
    yield Answer("prefix-matching score of the induction head", 1, measured.prefix_matching[1, 0])
    yield Answer("prefix-matching score of the even head", by_counting, measured.prefix_matching[0, 1])
    yield Answer("and the chance that it is held against", by_counting, measured.repeat_chance)
    yield Answer("entropy of the even head", 1, measured.entropy[0, 1])
    even = (1 / np.arange(2, context.probe.tokens.shape[1] + 1)).mean()
    yield Answer("previous-token score of the even head", even, measured.previous_token[0, 1])


def _even(tokens: np.ndarray) -> float:
    """Mean of (earlier occurrences) / (i + 1) over the positions i whose token has occurred before, by counting."""
    earlier = ((row[:i].count(token), i) for row in tokens.tolist() for i, token in enumerate(row))
    return float(np.mean([n / (i + 1) for n, i in earlier if n]))


def copying() -> Iterator[Answer]:
    """One head whose circuit from token to token is a multiple of the identity, of its opposite, of a shift.

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits (eigenvalues of the OV circuit).
    """
    v = 9
    model, tokens = shape(d_model=v, d_head=v, n_ctx=3, d_vocab=v, d_vocab_out=v), np.array([[0, 1, 0], [3, 4, 3]])
    context = replace(probe(2, v), probe=Probe(tokens, np.array([1, 4]), np.ones(2, dtype=bool)), answer_position=2)
    one, nothing = np.eye(v, dtype=np.float32), np.zeros((1, v, v), dtype=np.float32)
    for name, scale, turn, score in (("identity", 2.0, 0, 1), ("opposite", -0.1, 0, -1), ("shift", 1.0, 1, 0)):
        weights = {
            "embed.W_E": one, "pos_embed.W_pos": np.zeros((3, v), dtype=np.float32),
            "blocks.0.attn.W_Q": nothing, "blocks.0.attn.W_K": nothing, "blocks.0.attn.W_V": one[None],
            "blocks.0.attn.W_O": np.float32(scale) * one[None], "unembed.W_U": np.roll(one, turn, axis=1),
        }  # fmt: skip
        measured = through_the_model(instrument, Checkpoint(0, model, weights), context)
        yield Answer(f"copying score of the {name}", score, measured.copying[0, 0])


cases = (scores_of_a_built_circuit, copying)
