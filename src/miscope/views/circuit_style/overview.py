"""Shows whether the network comes to add like a clock or like a pizza, and from when."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long, over_steps

from miscope.analyzers.circuit_style import CircuitStyle, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared.styles import against_shuffled

TONES = {"this network": theme.PALETTE[0], "untrained network": theme.PALETTE[1], "chance": theme.GREY}
PIZZA = (0.98, 0.6)  # symmetry above and irrelevance below, in the source


def table(style: Artifact[CircuitStyle], context: Context) -> pd.DataFrame:
    """One row per (measure, curve, step). Chance: gradients of unrelated triples; logits shuffled over the pairs.

    A variant without step 0 has no curve of the untrained network.
    """
    own = over_steps(style, "gradient_symmetry", "distance_irrelevance")
    chance = over_steps(style, "mismatched_symmetry", "shuffled_irrelevance")
    untrained = np.broadcast_to(own[0] if style.steps[0] == 0 else np.nan, own.shape)
    values = np.stack([own, untrained, chance]).transpose(2, 0, 1)  # [measure curve step]
    found = long(
        "value", values, measure=("gradient symmetry", "distance irrelevance"), curve=tuple(TONES), step=style.steps
    )
    found.attrs |= {"tones": TONES, "note": _verdict(values[:, :, -1], style.steps[-1])}
    found.attrs["null"] = against_shuffled(style[style.steps[-1]])
    return found


def _verdict(end: np.ndarray, step: int) -> str:
    """What the last step would have been called in the source."""
    symmetry, irrelevance = end[:, 0]
    name = "a pizza" if symmetry > PIZZA[0] and irrelevance < PIZZA[1] else "no pizza"
    return f"step {step:,}: {name} (symmetry {symmetry:.2f}, irrelevance {irrelevance:.2f})"


view = View(
    question="Does the network add like a clock or like a pizza?",
    reading="A pizza has symmetry above 0.98 and irrelevance below 0.6; a published clock has 0.33 and 0.85. Symmetry "
    "alone says nothing: an untrained network has 0.99 by itself, as its attention is even, and one that only "
    "memorises loses it. Chance is gradients of unrelated triples, and logits shuffled over the pairs.",
    needs=analyzer,
    table=table,
    draw=lines("step", "value", "curve", "measure", titles={"value": " "}),
)
