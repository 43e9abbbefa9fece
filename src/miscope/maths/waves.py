"""Waves over an input group: amplitudes and phases, functions of an answer, and losses when some are taken away."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from miscope.maths.spectra import Basis
from miscope.maths.statistics import answers

Phases = Float[np.ndarray, "*shape"]
Logits = Float[np.ndarray, "batch vocab"]
Inputs = Int[np.ndarray, " batch"]


class Waves(NamedTuple):
    """Real functions of tokens as a constant plus waves A_k cos(2 pi k x / p + phi_k), k = 1 .. n_f."""

    amplitude: Float[np.ndarray, "freq item"]  # A_k >= 0, in the units of the values
    phase: Float[np.ndarray, "freq item"]  # phi_k in radians, in [-pi, pi]; of no meaning where A_k is 0


def waves(basis: Basis, values: Float[np.ndarray, "token item"]) -> Waves:
    """Amplitude and phase of every column at every frequency (float64); the constant is left out.

    Source: He et al. 2026, arXiv:2602.16849 (magnitude and phase of a neuron's weights at each frequency).
    """
    unit = basis.matrix[1::2, :1]  # what a wave of amplitude 1 is divided by; a cosine's value at token 0
    rows = basis.matrix[1:] @ np.asarray(values, dtype=np.float64)
    cosine, sine = rows[0::2] * unit, np.zeros_like(rows[0::2])
    sine[: len(rows[1::2])] = rows[1::2] * unit[: len(rows[1::2])]  # for even p the last wave has no sine
    return Waves(np.hypot(cosine, sine), np.arctan2(-sine, cosine))


def phase_difference(first: Phases, second: Phases) -> Phases:
    """|first - second| on the circle, in radians, in [0, pi]; pi / 2 on average for phases at random."""
    return np.abs((first - second + np.pi) % (2 * np.pi) - np.pi)


def token_reads(
    embedding: Float[np.ndarray, "token d_model"],
    w_in: Float[np.ndarray, "d_model neuron"],
    w_v: Float[np.ndarray, "head d_model d_head"] | None,
    w_o: Float[np.ndarray, "head d_head d_model"] | None,
) -> Float[np.ndarray, "token neuron"]:
    """What a neuron reads of each token, float64: through heads that attend to it fully, or else from the embedding.

    Source: Elhage et al. 2021, A Mathematical Framework for Transformer Circuits (OV circuits). No norms, no biases.
    """
    values = np.asarray(embedding, dtype=np.float64)
    if w_v is not None and w_o is not None:
        heads = zip(np.asarray(w_v, dtype=np.float64), np.asarray(w_o, dtype=np.float64), strict=True)
        values = values @ np.sum([v @ o for v, o in heads], axis=0)
    return values @ np.asarray(w_in, dtype=np.float64)


def losses_without(
    logits: Logits, targets: Inputs, element: Inputs, removed: Float[np.ndarray, "item element vocab"]
) -> Float[np.ndarray, " item"]:
    """Mean cross-entropy, in nats and float64, of the logits less each item's function of (element, vocab).

    The sum of exp(logit - removed) over the vocabulary is one matrix product per element, for all items; where it
    underflows, the sum is taken as it stands.
    """
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    least = removed.min(axis=2, keepdims=True)
    weight, e = np.exp(least - removed), np.exp(z)
    total = np.empty((len(removed), len(z)))
    for at in np.unique(element):
        chosen = element == at
        total[:, chosen] = weight[:, at] @ e[chosen].T
    index, shifted = np.arange(len(z)), removed - least
    right = z[index, targets] - shifted[:, element, targets]
    loss = (np.log(np.maximum(total, 1e-300)) - right).mean(axis=1)
    for item in np.flatnonzero((total < 1e-280).any(axis=1)):
        loss[item] = answers(z - shifted[item, element], targets).loss.mean()
    return np.asarray(loss)


def answer_element(basis: Basis, targets: Inputs) -> tuple[str, Inputs]:
    """What functions of the answer are functions of, over the grid of pairs: its name, and its value per pair.

    The answer itself where each row and column has each answer once, as for a + b and a - b; else a + b mod the size.
    """
    p = basis.size
    table, every = targets.reshape(p, p), np.arange(p)
    if all((np.sort(table, axis=axis) == np.expand_dims(every, 1 - axis)).all() for axis in (0, 1)):
        return "the answer", targets
    return "a + b", (np.add.outer(every, every) % p).ravel()


def element_means(values: Float[np.ndarray, "batch item"], element: Inputs) -> Float[np.ndarray, "element item"]:
    """Means over the inputs of each element 0, 1, ..., all of which have equally many inputs (float64)."""
    n = int(element.max()) + 1
    return values[np.argsort(element, kind="stable")].reshape(n, -1, values.shape[1]).mean(axis=1, dtype=np.float64)
