"""How much each head reads of what an earlier one writes."""

import numpy as np

from miscope.instruments.composition_scores.measure import KINDS, CompositionScores
from miscope.plugin import DIVERGING, Artifact, Context, MiscopeError, Null, Table, heatmap, lines, theme, view
from miscope.renderers.tidy import joined, long, once

CHANCE = "99 % of random heads"
TITLES = {"excess": "score above chance", "later": "read by", "earlier": "written by"}
NAMES = [f"{kind}-composition" for kind in KINDS]


@view(
    question="Which heads read an earlier head?",
    reading="The pairs with the highest scores at the end, for each kind of composition. 0.1 → 1.2 means that head 2 "
    "of layer 1 reads head 1 of layer 0, as its query, key or value. A curve above the grey line is composition.",
    draw=lines("step", "score", "pair", "kind", labelled=True, titles={"score": "composition"}),
)
def overview(scores: Artifact[CompositionScores], context: Context, null: Null, *, pairs: int = 3) -> Table:
    """One row per (kind, pair, step); `score` of the pairs of a kind that end highest, and what random ones reach."""
    if pairs < 1:
        raise MiscopeError(f"`pairs` = {pairs}; allowed: 1 or more.")
    stacked = scores.stack("score")
    names = [f"{a}.{i} → {b}.{j}" for a, i, b, j in np.ndindex(*stacked.shape[2:])]
    chance = np.full((len(scores), 1), null.threshold)
    parts = []
    for values in np.moveaxis(stacked, 1, 0).reshape(len(KINDS), len(scores), len(names)):
        order = np.argsort(-np.nan_to_num(values[-1], nan=-np.inf), kind="stable")
        kept = [i for i in order[:pairs] if np.isfinite(values[-1, i])]
        curves = np.concatenate([values[:, kept], chance], axis=1)
        parts.append(long("score", curves.T, pair=[*(names[i] for i in kept), CHANCE], step=scores.steps))
    return Table(joined(parts, NAMES, "kind"), colors={CHANCE: theme.GREY})


@view(
    question="How much does each head read of what an earlier head writes?",
    reading="Rows are the heads that write, columns the heads that read it as their query, key or value. White is the "
    "score of random heads, red is more, blue is less: the reader avoids what the writer writes.",
    draw=heatmap("later", "earlier", "excess", "kind", colorscale=DIVERGING, is_square=True, columns=3, titles=TITLES),
)
def matrix(scores: Artifact[CompositionScores], context: Context, step: int) -> Table:
    """One row per (kind, earlier head, later head); `excess` is the score above chance."""
    output, largest = scores[step], _largest(scores)
    names = [f"{layer}.{head}" for layer, head in np.ndindex(*output.score.shape[1:3])]
    excess = (output.score - output.chance).reshape(len(KINDS), len(names), len(names))
    rows = long("excess", excess, kind=NAMES, earlier=names, later=names)
    return Table(rows, limits={"excess": (-largest, largest)}, note=f"chance is {output.chance:.3f}")


@once
def _largest(scores: Artifact[CompositionScores]) -> float:
    """The furthest that any pair gets from chance over training: a colour scale that does not jump."""
    return max(float(np.nanmax(np.abs(output.score - output.chance), initial=1e-6)) for output in scores.values())
