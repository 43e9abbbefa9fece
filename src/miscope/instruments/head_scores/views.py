"""Which role each head plays, and since when."""

import numpy as np
import pandas as pd

from miscope.instruments._shared.heads import head_names, mark
from miscope.instruments.head_scores.measure import HeadScores, shares_of_attention
from miscope.plugin import DIVERGING, Artifact, Context, NotApplicable, Null, Table, heatmap, lines, theme, view
from miscope.renderers.tidy import highest, long

EVEN = "even attention"
TITLES = {"above_chance": "above chance, as a share of what is possible", "score": " ", "head": " "}


@view(
    question="When do previous-token heads and induction heads form?",
    reading="The attention of each head, averaged over the probe. In an induction circuit one head of an early layer "
    "rises above the grey line of even attention in the top panel, and at the same time one head of a later layer in "
    "the bottom panel.",
    draw=lines("step", "attention", "head", "score"),
)
def overview(scores: Artifact[HeadScores], context: Context) -> Table:
    """One row per (score, head, step); `attention` in [0, 1]. Where no token occurs twice, only the first score."""
    last, n = scores.last, len(scores)
    curves = {"to the previous token": ("previous_token", last.neighbour_chance)}
    if last.repeat_chance is not None:
        curves["to what followed the same token before (prefix matching)"] = ("prefix_matching", last.repeat_chance)
    of_heads = ((np.full(n, chance), scores.stack(field).reshape(n, -1)) for field, chance in curves.values())
    values = np.stack([np.column_stack(both).T for both in of_heads])
    rows = long("attention", values, score=list(curves), head=[EVEN, *_names(last)], step=scores.steps)
    return Table(rows, limits={"attention": (0.0, 1.0)}, colors={EVEN: theme.GREY}, note=_repeats(last))


@view(
    question="When do heads copy the tokens that they attend to?",
    reading="1: attending to a token raises the logit of that token, for all tokens; -1: lowers it. Random heads are "
    "near 0, and spread more if the embeddings share few directions. An induction head attends to the answer and "
    "copies it.",
    draw=lines("step", "copying", "head", titles={"copying": "copying score"}),
)
def copying(scores: Artifact[HeadScores], context: Context, null: Null) -> Table:
    """One row per (head, step); `copying` in [-1, 1], from the weights alone."""
    if scores.last.copying is None:
        raise NotApplicable("The answers are not tokens of the input, or are fewer than 8, so copying says nothing.")
    values = scores.stack("copying").reshape(len(scores), -1).T
    rows = long("copying", values, head=_names(scores.last), step=scores.steps)
    return Table(rows, limits={"copying": (-1.02, 1.02)}, marks={"random": 0.0} | mark(null))


@view(
    question="Which role does each head play?",
    reading="White is the score of even attention, or for copying of random weights; full red is a head that does only "
    "this. An induction head is red in prefix matching and in copying.",
    draw=heatmap("score", "head", "above_chance", colorscale=DIVERGING, titles=TITLES),
)
def heads(scores: Artifact[HeadScores], context: Context, step: int) -> Table:
    """One row per (head, score) that probe and model have; `above_chance` is (value - chance) / (1 - chance).

    Focus is 1 minus the entropy of the attention; the chance of copying is that of random weights.
    """
    output, names = scores[step], _names(scores[step])
    shown = shares_of_attention(output) | {"focus": (1 - output.entropy, 0.0)}
    shown |= {} if output.copying is None else {"copying": (output.copying, 0.0)}
    columns = ({"head": names, "score": s, "value": x.ravel(), "chance": chance} for s, (x, chance) in shown.items())
    rows = pd.concat(map(pd.DataFrame, columns), ignore_index=True).dropna(ignore_index=True)
    rows["above_chance"] = (rows["value"] - rows["chance"]) / (1 - rows["chance"])
    return Table(rows, limits={"above_chance": (-1.0, 1.0)}, note=_repeats(output) if output.n_repeats else "")


@view(
    question="How far back does each head attend?",
    reading="The attention to the position this many tokens back; 0 is the position itself. A bright cell is a head "
    "that attends by position: a previous-token head at 1, and further back a head that counts positions without "
    "reading tokens.",
    draw=heatmap("offset", "head", "attention", titles={"offset": "positions back", "head": " "}),
)
def offsets(scores: Artifact[HeadScores], context: Context, step: int) -> Table:
    """One row per (head, offset); `attention` in [0, 1], mean over the probe and the positions that have one there."""
    output = scores[step]
    values = np.vstack([output.offset_chance, output.offset_score.reshape(-1, len(output.offset))])
    rows = long("attention", values, head=[EVEN, *_names(output)], offset=output.offset)
    return Table(rows, limits={"attention": (0.0, highest(scores, "offset_score"))})


def _names(output: HeadScores) -> list[str]:
    return head_names(*output.previous_token.shape)


def _repeats(output: HeadScores) -> str:
    return f"{output.n_repeats:,} repeated tokens in the probe"
