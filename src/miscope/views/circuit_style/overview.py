"""Shows whether the network comes to add like a clock or like a pizza, and from when."""

import numpy as np
import pandas as pd

from miscope.analyzers.circuit_style import CircuitStyle, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.tidy import long, over_steps

TONES = {"this network": theme.PALETTE[0], "untrained network": theme.PALETTE[1], "chance": theme.GREY}
PIZZA = (0.98, 0.6)  # symmetry above and irrelevance below, in the source


def table(style: Artifact[CircuitStyle], context: Context) -> pd.DataFrame:
    """One row per (measure, curve, step). Chance: gradients of unrelated triples; logits shuffled over the pairs."""
    own = over_steps(style, "gradient_symmetry", "distance_irrelevance")
    chance = over_steps(style, "mismatched_symmetry", "shuffled_irrelevance")
    values = np.stack([own, np.broadcast_to(own[0], own.shape), chance]).transpose(2, 0, 1)  # [measure curve step]
    found = long(
        "value", values, measure=("gradient symmetry", "distance irrelevance"), curve=tuple(TONES), step=style.steps
    )
    found.attrs |= {"tones": TONES, "note": _verdict(values[:, :, -1], style.steps[-1])}
    return found


def _verdict(end: np.ndarray, step: int) -> str:
    """What the last step would have been called in the source."""
    symmetry, irrelevance = end[:, 0]
    name = "a pizza" if symmetry > PIZZA[0] and irrelevance < PIZZA[1] else "no pizza"
    return f"step {step:,}: {name} (symmetry {symmetry:.2f}, irrelevance {irrelevance:.2f})"


view = View(
    question="Does the network add like a clock or like a pizza?",
    reading="A pizza has symmetry above 0.98 and irrelevance below 0.6; a published clock has 0.33 and 0.85. An "
    "untrained network is symmetric already, as its attention is even, so a pizza is told by the fall of irrelevance "
    "and a clock by that of symmetry. Chance is gradients of unrelated triples, and logits shuffled over the pairs.",
    needs=analyzer,
    table=table,
    draw=lines("step", "value", "curve", "measure", titles={"value": " "}),
)
