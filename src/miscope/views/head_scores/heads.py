"""Shows which role each head plays at one step, against even attention."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from miscope.analyzers.head_scores import HeadScores, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import DIVERGING, heatmap
from miscope.views.shared import nulls
from miscope.views.shared.heads import MARGIN


class _Score(NamedTuple):
    name: str
    value: np.ndarray | None
    chance: float | None


def table(scores: Artifact[HeadScores], context: Context, step: int) -> pd.DataFrame:
    """One row per (head, score): its value, that of even attention, and how far above that it is.

    `above_chance` is (value - chance) / (1 - chance). Focus is 1 minus the entropy of the attention; the chance of
    copying is that of random weights. A score that this probe or model does not have has no rows.
    """
    output = scores[step]
    layers, heads = output.previous_token.shape
    names = [f"layer {i}, head {j}" for i in range(layers) for j in range(heads)]
    parts = [
        pd.DataFrame({"head": names, "score": score.name, "value": score.value.ravel(), "chance": score.chance})
        for score in _scores(output)
        if score.value is not None
    ]
    rows = pd.concat(parts, ignore_index=True).dropna(ignore_index=True)
    rows["above_chance"] = (rows["value"] - rows["chance"]) / (1 - rows["chance"])
    what = "furthest that a share of attention is from even"
    rows.attrs |= {
        "limits": {"above_chance": (-1.0, 1.0)},
        "null": nulls.against_untrained(what, scores, _departure, step, margin=MARGIN),
    }
    if output.n_repeats:
        rows.attrs["note"] = f"{output.n_repeats:,} repeated tokens in the probe"
    return rows


def _scores(output: HeadScores) -> tuple[_Score, ...]:
    return (
        *_attention(output),
        _Score("focus", 1 - output.entropy, 0.0),
        _Score("copying", output.copying, 0.0),
    )


def _attention(output: HeadScores) -> tuple[_Score, ...]:
    """Those that are shares of attention."""
    return (
        _Score("previous token", output.previous_token, output.neighbour_chance),
        _Score("prefix matching", output.prefix_matching, output.repeat_chance),
        _Score("duplicate token", output.duplicate_token, output.repeat_chance),
        _Score("first position", output.first_position, output.neighbour_chance),
    )


def _departure(output: HeadScores) -> float:
    return max(
        float(np.abs(score.value - score.chance).max())
        for score in _attention(output)
        if score.value is not None and score.chance is not None
    )


view = View(
    question="Which role does each head play?",
    reading="White is what even attention, or for copying random weights, would score; full red is a head that does "
    "nothing else. An induction head is red in prefix matching and in copying.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "score", "head", "above_chance", colorscale=DIVERGING,
        titles={"above_chance": "above chance, as a share of what is possible", "score": " ", "head": " "},
    ),
)  # fmt: skip
