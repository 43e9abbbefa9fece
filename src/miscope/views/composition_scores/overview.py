"""Shows when a head comes to build on an earlier one, and by which of its three inputs."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from miscope.views.shared.tidy import joined, long

from miscope.analyzers.composition_scores import KINDS, CompositionScores, analyzer
from miscope.core import Artifact, Context, MiscopeError, View
from miscope.renderers import lines
from miscope.renderers.theme import GREY
from miscope.views.shared.heads import of_composition, random_composition

CHANCE = "99 % of random heads"


def table(scores: Artifact[CompositionScores], context: Context, *, pairs: int = 3) -> pd.DataFrame:
    """One row per (kind, pair, step); `score` of the pairs of a kind that end highest, and what random ones reach."""
    if pairs < 1:
        raise MiscopeError(f"`pairs` = {pairs}; allowed: 1 or more.")
    found = scores.stack("score")
    n_layers, n_heads = found.shape[2:4]
    names = [f"{a}.{i} → {b}.{j}" for a, i, b, j in np.ndindex(n_layers, n_heads, n_layers, n_heads)]
    chance = np.full((len(scores), 1), random_composition(scores[scores.steps[-1]]))
    parts = []
    for values in np.moveaxis(found, 1, 0).reshape(len(KINDS), len(scores), len(names)):
        kept = _highest(values[-1], pairs)
        curves = np.concatenate([values[:, kept], chance], axis=1)
        parts.append(long("score", curves.T, pair=[*(names[i] for i in kept), CHANCE], step=scores.steps))
    shown = joined(parts, [f"{kind}-composition" for kind in KINDS], "kind")
    shown.attrs |= {"tones": {CHANCE: GREY}, "null": of_composition(scores[scores.steps[-1]])}
    return shown


def _highest(last: Float[np.ndarray, " pair"], n: int) -> list[int]:
    """The n highest that were measured, the highest first."""
    order = np.argsort(-np.nan_to_num(last, nan=-np.inf), kind="stable")
    return [int(i) for i in order[:n] if np.isfinite(last[i])]


view = View(
    question="Which heads come to build on an earlier head?",
    reading="For each kind the pairs that score highest at the end; 0.1 → 1.2 is head 1 of layer 0 read by head 2 of "
    "layer 1, as its query, key or value. What rises above the grey line is composition.",
    needs=analyzer,
    table=table,
    draw=lines("step", "score", "pair", "kind", labelled=True, titles={"score": "composition"}),
)
