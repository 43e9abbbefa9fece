"""Heads that look where they were built to look."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from miscope.calibration.case import Answer, Case
from miscope.calibration.models import Induction, on_planted, probe, shape, through_the_model
from miscope.core import Checkpoint, Probe
from miscope.maths.spectra import Basis

BUILT = Induction()
FRAMEWORK = "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits"


def patterns_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit of zeros and ones: one head looks at the position before, its neighbour evenly.

    Source: even causal attention of position i is 1 / (i + 1), by arithmetic.
    """
    found = through_the_model("attention_patterns", BUILT.checkpoint(), BUILT.family.context(0))
    rows = np.arange(1, BUILT.model.n_ctx)
    yield Answer("least attention of the shift head to the position before", 1, found.mean[0, 0, rows, rows - 1].min())
    even = np.tri(len(rows) + 1) / (np.arange(len(rows) + 1)[:, None] + 1)
    yield Answer("largest error of the even head", 0, np.abs(found.mean[0, 1] - even).max())
    yield Answer("spread of the even head over the probe", 0, found.std[0, 1].max())


def waves_in_a_pattern() -> Iterator[Answer]:
    """Attention from `=` to a that swings with cos(w 5 a), and to b with the opposite.

    Source: a map of one frequency has all of its variance there; by construction.
    """
    p = 13
    a, b = np.divmod(np.arange(p * p), p)
    swing = 0.2 * np.cos(2 * np.pi * 5 * a / p)
    pattern = np.stack([0.4 + swing, 0.4 - swing, np.full(p * p, 0.2)], axis=-1)[:, None, None]
    pattern = np.broadcast_to(pattern, (p * p, 1, 3, 3))
    tokens = np.stack([a, b, np.full_like(a, p)], axis=1)
    context = replace(
        probe(p * p, p), probe=Probe(tokens, (a + b) % p, a < 5), answer_position=2, grid=(p, p)
    )  # fmt: skip
    found = on_planted("attention_patterns", shape(n_ctx=3, is_causal=False), context, **{"attn.hook_pattern": pattern})
    yield Answer("variance fraction of a at frequency 5", 1, found.map_fraction[0, 0, 0, 4])
    yield Answer("standard deviation over the probe", 0.2 / np.sqrt(2), found.std[0, 0, 2, 0])


def scores_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit of zeros and ones, on repeated blocks of random tokens.

    Source: Olsson et al. 2022, arXiv:2209.11895 (scores); their values are by construction.
    """
    context = BUILT.family.context(0)
    found = through_the_model("head_scores", BUILT.checkpoint(), context)
    yield Answer("previous-token score of the shift head", 1, found.previous_token[0, 0])
    yield Answer("its attention one position back", 1, found.offset_score[0, 0, found.offset == 1][0])
    yield Answer("its entropy", 0, found.entropy[0, 0])
    yield Answer("prefix-matching score of the induction head", 1, found.prefix_matching[1, 0])
    yield Answer(
        "prefix-matching score of the even head", _even_prefix(context.probe.tokens), found.prefix_matching[0, 1]
    )
    yield Answer("and the chance that it is held against", _even_prefix(context.probe.tokens), found.repeat_chance)
    yield Answer("entropy of the even head", 1, found.entropy[0, 1])
    n = context.probe.tokens.shape[1]
    yield Answer("previous-token score of the even head", (1 / np.arange(2, n + 1)).mean(), found.previous_token[0, 1])


def _even_prefix(tokens: np.ndarray) -> float:
    """Mean of (earlier occurrences) / (i + 1) over the positions i whose token has occurred before, by counting."""
    shares = []
    for row in tokens.tolist():
        for i, token in enumerate(row):
            if earlier := row[:i].count(token):
                shares.append(earlier / (i + 1))
    return float(np.mean(shares))


def copying() -> Iterator[Answer]:
    """One head whose circuit from token to token is a multiple of the identity, of its opposite, of a shift.

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits (eigenvalues of the OV circuit).
    """
    v = 9
    model, tokens = shape(d_model=v, d_head=v, n_ctx=3, d_vocab=v, d_vocab_out=v), np.array([[0, 1, 0], [3, 4, 3]])
    context = replace(probe(2, v), probe=Probe(tokens, np.array([1, 4]), np.ones(2, dtype=bool)), answer_position=2)
    for name, scale, turn, score in (("identity", 2.0, 0, 1), ("opposite", -0.1, 0, -1), ("shift", 1.0, 1, 0)):
        one, nothing = np.eye(v, dtype=np.float32), np.zeros((1, v, v), dtype=np.float32)
        weights = {
            "embed.W_E": one, "pos_embed.W_pos": np.zeros((3, v), dtype=np.float32),
            "blocks.0.attn.W_Q": nothing, "blocks.0.attn.W_K": nothing, "blocks.0.attn.W_V": one[None],
            "blocks.0.attn.W_O": np.float32(scale) * one[None], "unembed.W_U": np.roll(one, turn, axis=1),
        }  # fmt: skip
        found = through_the_model("head_scores", Checkpoint(0, model, weights), context)
        yield Answer(f"copying score of the {name}", score, found.copying[0, 0])


def composition_of_a_built_circuit() -> Iterator[Answer]:
    """An induction circuit of zeros and ones: the later head's keys read what the shift head writes, and nothing else.

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits (scores, random baseline). Both
    circuits are partial identities in v directions, so their product has sqrt(v) and K-composition is 1 / sqrt(v).
    """
    found = through_the_model("composition_scores", BUILT.checkpoint(), BUILT.family.context(0))
    q, k, v = found.score[:, 0, 0, 1, 0]
    yield Answer("K-composition", 1 / np.sqrt(BUILT.model.d_vocab), k)
    yield Answer("Q-composition", 0, q)
    yield Answer("V-composition", 0, v)
    mean_square = found.chance**2 + found.chance_std**2
    yield Answer("mean square of chance, times d_model", 1, mean_square * BUILT.model.d_model, 0.05)


def composition_of_one_direction() -> Iterator[Answer]:
    """Two heads of one direction each, the later reading what the earlier writes.

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; 1 is the largest score there is.
    """
    axes = np.eye(4, dtype=np.float32)
    made = {"Q": axes[:, [0]], "K": axes[:, [1]], "V": axes[:, [2]], "O": axes[[3]]}
    later = {"Q": axes[:, [3]], "K": axes[:, [1]], "V": axes[:, [3]], "O": axes[[3]]}
    weights = {f"blocks.{i}.attn.W_{name}": w[None] for i, head in enumerate((made, later)) for name, w in head.items()}
    found = through_the_model("composition_scores", Checkpoint(0, shape(n_layers=2, d_head=1), weights), probe(1))
    for name, expected, score in zip("QKV", (1, 0, 1), found.score[:, 0, 0, 1, 0], strict=True):
        yield Answer(f"{name}-composition", expected, score)


def circles_in_a_head() -> Iterator[Answer]:
    """Queries and keys on one circle of frequency 3, the query ahead by a phase; values at 4 and 6, twice as large.

    Source: a score of the difference of two tokens, by arithmetic.
    """
    p, phase = 13, 0.7
    x = 2 * np.pi * np.arange(p) / p
    parts = {
        "W_Q": (np.cos(3 * x + phase), np.sin(3 * x + phase)),
        "W_K": (np.cos(3 * x), np.sin(3 * x)),
        "W_V": (2 * np.cos(4 * x) + 9, np.sin(6 * x)),
    }
    made = {f"blocks.0.attn.{name}": np.stack(waves, axis=1)[None] for name, waves in parts.items()}
    weights = {"embed.W_E": np.eye(p)} | made
    context = replace(
        probe(2, p), probe=Probe(np.array([[0], [1]]), np.zeros(2, dtype=np.int64), np.ones(2, dtype=bool))
    )
    model = shape(d_model=p, d_head=2, d_vocab=p, d_vocab_out=p)
    found = through_the_model(
        "attention_spectra", Checkpoint(0, model, weights), replace(context, basis=Basis("fourier", p))
    )
    yield Answer("share of QK at frequency 3", 1, found.qk_share[0, 0, 2])
    yield Answer("alignment: the cosine of the phase", np.cos(phase), found.qk_alignment[0, 0, 2])
    yield Answer("variance of cos(w (x - y)) / sqrt(2)", 0.25, found.qk_energy[0, 0])
    yield Answer("share of values at frequency 4", 0.8, found.value_share[0, 0, 3])
    yield Answer("share of values at frequency 6", 0.2, found.value_share[0, 0, 5])


cases = (
    Case("attention_patterns", patterns_of_a_built_circuit),
    Case("attention_patterns", waves_in_a_pattern),
    Case("attention_spectra", circles_in_a_head),
    Case("head_scores", scores_of_a_built_circuit),
    Case("head_scores", copying),
    Case("composition_scores", composition_of_a_built_circuit),
    Case("composition_scores", composition_of_one_direction),
)
