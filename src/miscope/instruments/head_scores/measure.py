r"""What each attention head attends to, judged by the tokens alone, against even attention on the same probe.

A previous-token head, and a head that attends to the token after earlier occurrences of the current one (prefix
matching), are the two halves of an induction circuit. Both scores are at chance before training and rise together
towards 1.

Maths: $A(q, j)$ is a head's attention from position $q = 0, 1, \dots$ to $j$, $t_q$ the token at $q$, $n_q$ the number
of positions that $q$ sees. Means are over inputs and over $q$: all $q \ge 1$ in the first two, those whose token has
occurred before in the next two.
$$\text{previous\_token} = \operatorname{mean} A(q, q - 1), \qquad
\text{first\_position} = \operatorname{mean} A(q, 0),$$
$$\text{duplicate\_token} = \operatorname{mean} \sum_{j < q,\, t_j = t_q} A(q, j), \qquad
\text{prefix\_matching} = \operatorname{mean} \sum_{j < q,\, t_j = t_q} A(q, j + 1),$$
$$\text{entropy} = \operatorname{mean}_{n_q > 1} \frac{-\sum_j A(q, j) \ln A(q, j)}{\ln n_q}, \qquad
\text{copying} = \frac{\sum_i \lambda_i}{\sum_i \lvert \lambda_i \rvert}.$$
`offset_score` at $d$ is the mean of $A(q, q - d)$. Each chance is the same with $A = 1 / n_q$. $\lambda_i$ are the
eigenvalues of $W_E W_V W_O W_U$ over the tokens that are answers, the norms' gains taken in. `copying_std` is the
standard deviation of the score over heads whose $W_V$ and $W_O$ have entries from $N(0, 1)$, between the same $W_E$ and
$W_U$: where those share few directions, any head copies much or the opposite.

Source: Olsson et al. 2022, arXiv:2209.11895, appendix on head activation evaluators (prefix matching, copying);
Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (eigenvalues of the OV circuit). Prefix matching
is summed over all earlier occurrences: with the last one alone, a head that spreads over four repeats scores a third.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from miscope.instruments._shared.guessing import z_score
from miscope.instruments._shared.heads import MARGIN
from miscope.instruments._shared.nulls import NO_START, against_untrained, with_margin
from miscope.plugin import Artifact, Checkpoint, Context, NotApplicable, Null, Output, PerCheckpoint

N_RANDOM_HEADS = 64
HALVES = ("previous token", "prefix matching")  # of an induction circuit
Pattern = Float32[np.ndarray, "batch head query key"]


@dataclass(frozen=True)
class HeadScores(Output):
    """Shares of attention in [0, 1], means over the probe; a `chance` is what attention even over all visible gives."""

    previous_token: Float[np.ndarray, "layer head"]  # to the position before, from all but the first
    first_position: Float[np.ndarray, "layer head"]  # to the first position, from all others (attention sink)
    neighbour_chance: float  # of both of these
    duplicate_token: Float[np.ndarray, "layer head"] | None  # to earlier occurrences; None: no token occurs twice
    prefix_matching: Float[np.ndarray, "layer head"] | None  # to what followed each of them, the token itself included
    repeat_chance: float | None  # of both of these: there are as many of the one as of the other
    n_repeats: int  # places in the probe whose token has occurred before, over which those two are means
    entropy: Float[np.ndarray, "layer head"]  # of the attention, over that of even attention: 1 is even, 0 one position
    offset: Int[np.ndarray, " offset"]  # how far back; below 0 ahead, where the model is not causal
    offset_score: Float[np.ndarray, "layer head offset"]  # to the position that far back, wherever there is one
    offset_chance: Float[np.ndarray, " offset"]
    copying: Float[np.ndarray, "layer head"] | None  # in [-1, 1], 0 at random; None: answers are not tokens, or under 8
    copying_std: Float[np.ndarray, " layer"] | None  # of the score of random heads, whose mean is 0


def head_scores(checkpoint: Checkpoint, context: Context) -> HeadScores:
    """Attention scores of every head on the probe, and the copying score of its weights."""
    tokens, model = context.probe.tokens, checkpoint.model
    n = tokens.shape[1]
    if n < 2:
        raise NotApplicable("The probe's sequences have one position, so heads have nothing to choose from.")
    is_seen = np.tri(n, dtype=bool) if model.is_causal else np.ones((n, n), dtype=bool)
    visible = is_seen.sum(axis=1)
    # [input from to]: whether `to` is an earlier occurrence of the token at `from`, and whether it stands behind one
    is_earlier = (tokens[:, :, None] == tokens[:, None, :]) & np.tri(n, k=-1, dtype=bool)
    is_behind = np.pad(is_earlier[:, :, :-1], ((0, 0), (0, 0), (1, 0)))
    patterns = [checkpoint.activations[f"blocks.{i}.attn.hook_pattern"] for i in range(model.n_layers)]
    offset = np.arange(0 if model.is_causal else 1 - n, n)
    by_offset = np.stack([_by_offset(p.mean(axis=0, dtype=np.float64), offset) for p in patterns])
    occurrences = is_earlier.sum(axis=2)
    has_repeats = bool(occurrences.any())
    copying, copying_std = _copying(checkpoint)
    return HeadScores(
        previous_token=by_offset[:, :, offset == 1][:, :, 0],
        first_position=np.stack([p[:, :, 1:, 0].mean(axis=(0, 2), dtype=np.float64) for p in patterns]),
        neighbour_chance=float((1 / visible[1:]).mean()),
        duplicate_token=np.stack([_mean_on(p, is_earlier) for p in patterns]) if has_repeats else None,
        prefix_matching=np.stack([_mean_on(p, is_behind) for p in patterns]) if has_repeats else None,
        repeat_chance=float((occurrences / visible)[occurrences > 0].mean()) if has_repeats else None,
        n_repeats=int((occurrences > 0).sum()),
        entropy=np.stack([_entropy(p, visible) for p in patterns]),
        offset=offset,
        offset_score=by_offset,
        offset_chance=_by_offset((is_seen / visible[:, None])[None], offset)[0],
        copying=copying,
        copying_std=copying_std,
    )


def _mean_on(pattern: Pattern, is_sought: Bool[np.ndarray, "batch query key"]) -> Float[np.ndarray, " head"]:
    """The attention that goes where it is sought, mean over the (input, query) where anything is."""
    attention = np.einsum("bhqk,bqk->bh", pattern, is_sought.astype(np.float32))
    return attention.sum(axis=0, dtype=np.float64) / is_sought.any(axis=2).sum()


def _entropy(pattern: Pattern, visible: Int[np.ndarray, " query"]) -> Float[np.ndarray, " head"]:
    logarithm = np.log(pattern, out=np.zeros_like(pattern), where=pattern > 0)
    nats = -(pattern * logarithm).sum(axis=3).mean(axis=0, dtype=np.float64)
    can_choose = visible > 1
    return (nats[:, can_choose] / np.log(visible[can_choose])).mean(axis=1)


def _by_offset(
    mean: Float[np.ndarray, "head query key"], offset: Int[np.ndarray, " offset"]
) -> Float[np.ndarray, "head offset"]:
    return np.stack([np.diagonal(mean, -back, axis1=1, axis2=2).mean(axis=1) for back in offset], axis=1)


def _copying(
    checkpoint: Checkpoint,
) -> tuple[Float[np.ndarray, "layer head"] | None, Float[np.ndarray, " layer"] | None]:
    """The copying scores of the heads, and the standard deviation of those of random heads in their place.

    The eigenvalues are those of the small product W_O W_U W_E W_V. Absent where class n of the output is not token n,
    as far as the shapes tell (special tokens may lack an answer); of few tokens random weights mostly score 1 or -1.
    """
    w, (m, many) = checkpoint.weights, sorted((checkpoint.model.d_vocab, checkpoint.model.d_vocab_out))
    if m < 8 or 2 * m < many:
        return None, None
    final = w.get("ln_final.w", np.ones(1))[:, None].astype(np.float64)
    through = (final * w["unembed.W_U"][:, :m]) @ w["embed.W_E"][:m]  # [d_model, d_model]
    scores, spreads, rng = [], [], np.random.default_rng(0)
    for i in range(checkpoint.model.n_layers):
        middle = through * w.get(f"blocks.{i}.ln1.w", np.ones(1))
        value, out = w[f"blocks.{i}.attn.W_V"], w[f"blocks.{i}.attn.W_O"]
        scores.append(_raised(out @ middle @ value))
        random_value, random_out = (rng.normal(size=(N_RANDOM_HEADS, *x.shape[1:])) for x in (value, out))
        spreads.append(_raised(random_out @ middle @ random_value).std())
    return np.stack(scores), np.array(spreads)


def _raised(circuits: Float[np.ndarray, "head d_head d_head"]) -> Float[np.ndarray, " head"]:
    """Sum of the eigenvalues over the sum of their sizes: 1 where attended tokens are raised; NaN where all are 0."""
    values = np.linalg.eigvals(circuits)
    size = np.abs(values).sum(axis=1)
    return np.divide(values.sum(axis=1).real, size, out=np.full(len(size), np.nan), where=size > 0)


def measures(output: HeadScores) -> dict[str, float]:
    """The largest score of any head."""
    named = ("previous_token", "duplicate_token", "prefix_matching", "copying")
    return {name: float(scores.max()) for name in named if (scores := getattr(output, name)) is not None}


def shares_of_attention(output: HeadScores) -> dict[str, tuple[Float[np.ndarray, "layer head"], float]]:
    """By name those that the probe has, each beside what even attention gives."""
    named = {
        "previous token": (output.previous_token, output.neighbour_chance),
        "prefix matching": (output.prefix_matching, output.repeat_chance),
        "duplicate token": (output.duplicate_token, output.repeat_chance),
        "first position": (output.first_position, output.neighbour_chance),
    }
    return {name: (x, chance) for name, (x, chance) in named.items() if x is not None and chance is not None}


def nulls(scores: Artifact[HeadScores], context: Context) -> Iterator[Null]:
    """The untrained network's departure from even attention, and random heads between the same embeddings."""
    yield _of_rise(scores).of("overview")
    yield _of_copying(scores.last).of("copying")
    share = "largest difference of a share of attention from even attention"
    offset = "largest difference of attention to one offset from even attention"
    for step in scores:
        yield against_untrained(share, scores, _departure, step, margin=MARGIN).of("heads", step)
        yield against_untrained(offset, scores, _departure_by_offset, step, margin=MARGIN).of("offsets", step)


def _of_rise(scores: Artifact[HeadScores]) -> Null:
    """How far the best head of either half of an induction circuit is above even attention, by untrained ones."""
    if scores.steps[0] != 0:
        return Null.absent(NO_START)
    both = (shares_of_attention(scores[step]) for step in (0, scores.steps[-1]))
    first, last = (np.array([x - chance for name, (x, chance) in of.items() if name in HALVES]) for of in both)
    statistic, start = "largest rise above even attention", float(np.abs(first).max())
    return with_margin(statistic, float(last.max()), start, "the untrained network", margin=MARGIN)


def _of_copying(last: HeadScores) -> Null:
    if last.copying is None or last.copying_std is None:
        return Null.absent("copying was not measured")
    threshold = min(1.0, float(last.copying_std.max()) * z_score(last.copying.size))
    largest, source = float(np.nanmax(last.copying, initial=-1)), "99 % of random heads between the same embeddings"
    return Null("largest copying score", largest, threshold, source, "matched")


def _departure(output: HeadScores) -> float:
    return max(float(np.abs(x - chance).max()) for x, chance in shares_of_attention(output).values())


def _departure_by_offset(output: HeadScores) -> float:
    return float(np.abs(output.offset_score - output.offset_chance).max())


instrument = PerCheckpoint(head_scores, needs=("attn.hook_pattern",), positions="all", measures=measures, nulls=nulls)
