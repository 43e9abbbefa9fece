r"""At which frequencies of the input each head compares tokens and moves them, measured on its weights alone.

QK(x, y) = (E W_Q)(x) . (E W_K)(y) / sqrt(d_head) is the attention score between two tokens, E W_V what the head moves
of a token. An untrained head spreads its energy over all frequencies; in modular addition a few hold most of it.

Where every input ends with the same token (the `=` of modular addition), only that token's query matters, so its score
with each token is measured too; the QK scores between summands are then used by nothing.

Maths: $E$ is the rows of $W_E$ of the basis' tokens, $F$ the basis with rows $f_r$ of length 1, $f_0$ the constant.
$$Q = E W_Q / \sqrt{d_\text{head}}, \qquad K = E W_K, \qquad S = Q K^\top, \qquad \hat S = F S F^\top,$$
$$\text{qk\_energy} = \operatorname{var}_{x,y} S_{xy}, \qquad
\text{qk\_share}_k = \frac{\sum_{(r,s) \in C_k} \hat S_{rs}^2}{\sum_{(r,s) \ne (0,0)} \hat S_{rs}^2}, \qquad
\text{query\_share}_k = \frac{\sum_{r \in k} \lVert f_r Q \rVert^2}{\sum_{r \ne 0} \lVert f_r Q \rVert^2}.$$
$C_k$ is the cells whose row and column both are constant, $\cos k$ or $\sin k$, but for the constant one; the rows
$r \in k$ are $\cos k$ and $\sin k$. `key_share` and `value_share` are of $K$ and $E W_V$. With $\hat S_k$ the
2 x 2 block of $\cos k$ and $\sin k$, and $\lVert \cdot \rVert_*$ the sum of singular values,
$$\text{qk\_alignment}_k = \operatorname{tr} \hat S_k \,/\, \lVert \hat S_k \rVert_*, \qquad
\text{score}(y) = e W_Q K_y^\top / \sqrt{d_\text{head}},$$
$e$ the embedding of the token that asks plus that of its position; `score_energy` is the variance of the score over
$y$, `score_share` its shares as those of $Q$.

Source: Nanda et al. 2023, arXiv:2301.05217, section 4.2 and appendix C.1.2 (heads follow single frequencies); Elhage et
al. 2021, A Mathematical Framework for Transformer Circuits (QK and OV circuits). The alignment is ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from miscope.instruments._shared.frequencies import check_basis
from miscope.instruments._shared.heads import of_one_frequency
from miscope.maths.spectra import energy_by_frequency, variance_fractions
from miscope.plugin import Artifact, Basis, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint

DRAWS = 10_000
SHARES = {
    "value": "value_share", "key": "key_share", "query": "query_share", "query-key": "qk_share", "score": "score_share",
}  # fmt: skip


@dataclass(frozen=True)
class AttentionSpectra(Output):
    """Shares are of energy without the constant, for k = 1 .. n_f; all 0 where nothing varies."""

    is_native: bool  # whether the basis is that of the task's input group; if not, it is the DFT over tokens
    qk_energy: Float[np.ndarray, "layer head"]  # variance of QK over pairs of tokens, in scores squared
    qk_share: Float[np.ndarray, "layer head freq"]  # of that, at one frequency on both sides; sums to at most 1
    qk_alignment: Float[np.ndarray, "layer head freq"]  # 1: query and key have the same phase at k; -1: opposite ones
    query_share: Float[np.ndarray, "layer head freq"]  # of E W_Q; sums to 1
    key_share: Float[np.ndarray, "layer head freq"]  # of E W_K; sums to 1
    value_share: Float[np.ndarray, "layer head freq"]  # of E W_V; sums to 1
    score_energy: Float[np.ndarray, "layer head"] | None  # variance over tokens of the last token's score with them
    score_share: Float[np.ndarray, "layer head freq"] | None  # None: inputs do not all end on the same token


def attention_spectra(checkpoint: Checkpoint, context: Context) -> AttentionSpectra:
    """Of the basis' tokens, straight from the embedding into every layer; norms and biases are left out.

    Positions are left out too, but for that of the token that asks in `score_share`: its score with a token is then,
    in the first layer, the one that the network computes, up to a constant for each position.
    """
    basis, weights = context.basis, checkpoint.weights
    if "blocks.0.attn.W_Q" not in weights:
        raise NotApplicable("The model has no attention, and so no heads.")
    check_basis(basis, weights["embed.W_E"])
    embedding = weights["embed.W_E"][: basis.size].astype(np.float64)
    query, key, value = (_heads(checkpoint, name, embedding) for name in ("W_Q", "W_K", "W_V"))
    query /= np.sqrt(checkpoint.model.d_head)
    maps = query @ key.swapaxes(-1, -2)
    score = _last_score(checkpoint, context, key)
    return AttentionSpectra(
        is_native=basis.is_native,
        qk_energy=maps.var(axis=(2, 3)),
        qk_share=variance_fractions(basis, maps.reshape(-1, *maps.shape[2:])).reshape(*maps.shape[:2], -1),
        qk_alignment=_alignment(basis, maps),
        query_share=_shares(basis, query),
        key_share=_shares(basis, key),
        value_share=_shares(basis, value),
        score_energy=None if score is None else score.var(axis=2),
        score_share=None if score is None else _shares(basis, score[..., None]),
    )


def _heads(
    checkpoint: Checkpoint, name: str, residual: Float[np.ndarray, "token d_model"]
) -> Float[np.ndarray, "layer head token d_head"]:
    """What every head makes of rows of the residual stream by its matrix `name`."""
    layers = (checkpoint.weights[f"blocks.{i}.attn.{name}"] for i in range(checkpoint.model.n_layers))
    return np.stack([residual @ weight.astype(np.float64) for weight in layers])


def _last_score(
    checkpoint: Checkpoint, context: Context, key: Float[np.ndarray, "layer head token d_head"]
) -> Float[np.ndarray, "layer head token"] | None:
    """Scores of the token at the answer position with each token; None where that is not always the same one."""
    asks = np.unique(context.probe.tokens[:, context.answer_position])
    if len(asks) > 1:
        return None
    residual = checkpoint.weights["embed.W_E"][asks].astype(np.float64)
    if "pos_embed.W_pos" in checkpoint.weights:
        residual = residual + checkpoint.weights["pos_embed.W_pos"][context.answer_position]
    query = _heads(checkpoint, "W_Q", residual) / np.sqrt(checkpoint.model.d_head)
    return (query @ key.swapaxes(-1, -2))[:, :, 0]


def _shares(basis: Basis, values: Float[np.ndarray, "layer head token item"]) -> Float[np.ndarray, "layer head freq"]:
    energy = energy_by_frequency(basis, np.moveaxis(values, 2, 0)).sum(axis=-1)
    total = energy.sum(axis=0)
    return np.moveaxis(np.divide(energy, total, out=np.zeros_like(energy), where=total > 0), 0, -1)


def _alignment(basis: Basis, maps: Float[np.ndarray, "layer head query key"]) -> Float[np.ndarray, "layer head freq"]:
    """NaN where a block is empty. Two waves, a query and a key, have the cosine of the difference of their phases."""
    f = np.zeros((2 * basis.n_frequencies, basis.size))  # for even p the last wave's sine is empty
    f[: basis.size - 1] = basis.matrix[1:]
    halves = [(f[i::2], f[j::2]) for i in (0, 1) for j in (0, 1)]
    cc, cs, sc, ss = (np.einsum("fq,lhqk,fk->lhf", q, maps, k, optimize=True) for q, k in halves)
    nuclear = np.sqrt(cc**2 + cs**2 + sc**2 + ss**2 + 2 * np.abs(cc * ss - cs * sc))
    return np.divide(cc + ss, nuclear, out=np.full_like(nuclear, np.nan), where=nuclear > 0)


def nulls(spectra: Artifact[AttentionSpectra], context: Context) -> Iterator[Null]:
    """Random functions of a token, and random query-key maps."""
    yield of_one_frequency(asked(spectra.last)).of("overview")
    yield _of_alignment(spectra.last, context.basis).of("alignment")
    for step, output in spectra.items():
        for part, field in SHARES.items():
            if (shares := getattr(output, field)) is not None:
                yield of_one_frequency(shares, len(spectra)).of("spectrum", step, part=part)


def asked(output: AttentionSpectra) -> Float[np.ndarray, "layer head freq"]:
    """By frequency, the score of the token that asks; where it is not always the same, that of tokens with tokens."""
    return output.qk_share if output.score_share is None else output.score_share


def _of_alignment(last: AttentionSpectra, basis: Basis) -> Null:
    """At the frequency by which each head compares tokens most."""
    chosen = last.qk_share.argmax(axis=-1)
    is_circle = 2 * (chosen + 1) < basis.size  # a wave of two tokens has no phase: it is 1 or -1
    sizes = np.abs(np.take_along_axis(last.qk_alignment, chosen[..., None], axis=-1)[..., 0][is_circle])
    mean, threshold = (float(sizes.mean()), random_alignment(sizes.size)) if sizes.size else (np.nan, np.nan)
    return Null("mean size of the alignment over heads", mean, threshold, "99 % of random weights")


@lru_cache(maxsize=64)
def random_alignment(n_heads: int) -> float:
    """The mean size over so many heads in 99 % of draws; the block of a random map has four Gaussian entries."""
    a, b, c, d = np.random.default_rng(0).normal(size=(4, DRAWS, n_heads))
    nuclear = np.sqrt(a**2 + b**2 + c**2 + d**2 + 2 * np.abs(a * d - b * c))
    return float(np.quantile((np.abs(a + d) / nuclear).mean(axis=1), 0.99))


instrument = PerCheckpoint(
    attention_spectra,
    measures=lambda x: {"largest_score_share": x.qk_share.max(), "largest_value_share": x.value_share.max()},
    nulls=nulls,
)
