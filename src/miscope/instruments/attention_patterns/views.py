"""Where each head looks, on average and input by input."""

import numpy as np

from miscope.instruments._shared.heads import head_names, mark
from miscope.instruments.attention_patterns.measure import AttentionPatterns, even_attention
from miscope.plugin import Artifact, Context, MiscopeError, NotApplicable, Null, Table, bars, heatmap, lines, long, view
from miscope.renderers.tidy import names_of_positions, probe_axes

TITLES = {"attention": "mean attention", "query": "from", "key": "to"}
LIMITS = {"attention": (0.0, 1.0)}


@view(
    question="Where does each head attend?",
    reading="Rows are the positions that attend (queries), columns those attended to (keys); each row sums to 1. A "
    "causal network cannot attend to cells above the diagonal.",
    draw=heatmap("key", "query", "attention", "head", is_square=True, titles=TITLES),
)
def overview(patterns: Artifact[AttentionPatterns], context: Context, step: int) -> Table:
    """One row per (head, query, key); `attention` is the mean weight over the probe, in [0, 1], `std` its spread."""
    output = patterns[step]
    layers, heads, n, _ = output.mean.shape
    names = names_of_positions(context)[:n]
    mean = output.mean.reshape(-1, n, n)
    rows = long("attention", mean, head=head_names(layers, heads), query=names, key=names)
    return Table(rows.assign(std=np.asarray(output.std, dtype=np.float32).ravel()), limits=LIMITS)


@view(
    question="Which frequencies does each head's attention follow?",
    reading="The share of the variance of a head's attention map at each frequency; frequencies above 10 % are "
    "coloured and named. In a grokked network each head follows one frequency of the embedding.",
    draw=bars("frequency", "fraction", facet="head", emphasis="is_large", titles={"frequency": "frequency k"}),
)
def frequencies(
    patterns: Artifact[AttentionPatterns], context: Context, step: int, null: Null, *, key: int = 0
) -> Table:
    """One row per (head, frequency); `fraction` of the variance of the head's attention map at that frequency."""
    fractions = patterns[step].map_fraction
    if fractions is None:
        raise NotApplicable("Frequencies of attention maps need a probe that is the full grid of two input tokens.")
    layers, heads, _, n = fractions.shape
    values, names = fractions[:, :, key].reshape(-1, n), head_names(layers, heads)
    rows = long("fraction", values, head=names, frequency=np.arange(1, n + 1))
    rows["is_large"] = rows["fraction"] >= 0.1
    return Table(rows, limits={"fraction": (0.0, 1.15)}, marks=mark(null))


@view(
    question="How does a head's attention depend on the input?",
    reading="Each panel is a head: its attention from the answer position to one other position, for all inputs. "
    "Stripes mean that the attention depends on the value of a single token.",
    draw=heatmap("b", "a", "attention", "head", is_square=True, columns=2, height=430),
)
def maps(patterns: Artifact[AttentionPatterns], context: Context, step: int, *, key: int = 0) -> Table:
    """One row per (head, probe input); `attention` from the answer position to the position `key`, in [0, 1].

    Source: the maps are those of Nanda et al. 2023, arXiv:2301.05217, section 4.2 (attention as a function of a and b).
    """
    answer = patterns[step].answer_pattern
    layers, heads, keys, batch = answer.shape
    if not 0 <= key < keys:
        raise MiscopeError(f"`key` = {key}; allowed: a position from 0 to {keys - 1}.")
    axes, titles = probe_axes(context)
    inputs = np.arange(batch, dtype=np.int32)
    rows = long("attention", answer[:, :, key].reshape(-1, batch), head=head_names(layers, heads), input=inputs)
    rows = rows.assign(**{axis: np.tile(values, layers * heads) for axis, values in axes.items()})
    names = names_of_positions(context)
    return Table(rows, titles=titles, limits=LIMITS, note=f"from {names[context.answer_position]} to {names[key]}")


@view(
    question="How does attention from the answer position shift over training?",
    reading="One panel per head, one curve per position that it attends to. Where the curves separate, the head "
    "attends to one position more than to another.",
    draw=lines("step", "attention", "key", "head", columns=2),
)
def over_time(patterns: Artifact[AttentionPatterns], context: Context) -> Table:
    """One row per (head, key, step); `attention` from the answer position, mean over the probe, in [0, 1]."""
    means = np.stack([output.mean[:, :, context.answer_position] for output in patterns.values()], axis=-1)
    layers, heads, keys, n = means.shape
    axes = {"head": head_names(layers, heads), "key": [f"to {name}" for name in names_of_positions(context)[:keys]]}
    rows = long("attention", means.reshape(-1, keys, n), **axes, step=patterns.steps)
    even = even_attention(patterns.last.mean)[context.answer_position].max()
    return Table(rows, limits=LIMITS, note=f"even attention is {even:.3g}")
