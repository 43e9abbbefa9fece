"""Whether the network adds like a clock or like a pizza, and by which way it comes to it."""

import numpy as np
import pandas as pd

from miscope.instruments._shared import curves
from miscope.instruments.circuit_style.measure import CircuitStyle
from miscope.plugin import Artifact, Context, Table, lines, long, once, over_steps, path, theme, view

COLORS = {"this network": theme.PALETTE[0], "untrained network": theme.PALETTE[1], "chance": theme.GREY}
OF_DISTANCES = curves.colors_of("mean", "std")
MEASURES = ("gradient symmetry", "distance irrelevance")
PIZZA = (0.98, 0.6)  # symmetry above and irrelevance below, in the source


@view(
    question="Does the network add like a clock or like a pizza?",
    reading="A pizza has a gradient symmetry above 0.98 and a distance irrelevance below 0.6; a published clock has "
    "0.33 and 0.85. Symmetry alone says little: an untrained network has 0.99, because its attention is even, and a "
    "network that only memorises loses it. The null is gradients of unrelated triples, and logits shuffled over the "
    "pairs.",
    draw=lines("step", "value", "curve", "measure", titles={"value": " "}),
)
def overview(style: Artifact[CircuitStyle], context: Context) -> Table:
    """One row per (measure, curve, step); a variant without step 0 has no curve of the untrained network."""
    own = over_steps(style, "gradient_symmetry", "distance_irrelevance")
    chance = over_steps(style, "mismatched_symmetry", "shuffled_irrelevance")
    untrained = np.broadcast_to(own[0] if style.steps[0] == 0 else np.nan, own.shape)
    values = np.stack([own, untrained, chance]).transpose(2, 0, 1)  # [measure curve step]
    rows = long("value", values, measure=MEASURES, curve=tuple(COLORS), step=style.steps)
    symmetry, irrelevance = own[-1]
    name = "a pizza" if symmetry > PIZZA[0] and irrelevance < PIZZA[1] else "no pizza"
    note = f"step {style.steps[-1]:,}: {name} (symmetry {symmetry:.2f}, irrelevance {irrelevance:.2f})"
    return Table(rows, colors=COLORS, note=note)


@view(
    question="Does the right logit depend on the distance between the summands?",
    reading="The right logit over all pairs of one distance. In a pizza it is small at the distances at which its "
    "waves cancel, and all pairs of one distance are alike; in a clock it is flat.",
    draw=lines("distance", "logit", "curve", titles={"distance": "distance b - a", "logit": "right logit"}),
)
def distances(style: Artifact[CircuitStyle], context: Context, step: int) -> Table:
    """One row per (curve, distance); `logit` of the right answer over the pairs of one distance b - a modulo p."""
    output = style[step]
    around = curves.around(output.logit_mean, output.logit_std)
    rows = long("logit", around, curve=tuple(OF_DISTANCES), distance=output.distance)
    return Table(rows, colors=OF_DISTANCES, limits={"logit": _span(style)})


@once
def _span(style: Artifact[CircuitStyle]) -> tuple[float, float]:
    """The lowest and the highest that any curve comes to over training."""
    every = np.stack([curves.around(output.logit_mean, output.logit_std) for output in style.values()])
    return float(every.min()), float(every.max())


@view(
    question="How does the network reach its style of adding?",
    reading="Pizzas are at the bottom right (symmetry above 0.98, irrelevance below 0.6), clocks at the top left. A "
    "path through one of these corners to the other is a network that changed its style.",
    draw=path("symmetry", "irrelevance", titles={"symmetry": MEASURES[0], "irrelevance": MEASURES[1]}),
    null="overview",
)
def plane(style: Artifact[CircuitStyle], context: Context) -> Table:
    """One row per step: `symmetry` in [-1, 1] and `irrelevance` in [0, 1]."""
    symmetry, irrelevance = over_steps(style, "gradient_symmetry", "distance_irrelevance").T
    rows = pd.DataFrame({"step": style.steps, "symmetry": symmetry, "irrelevance": irrelevance})
    low, high = min(0.0, float(symmetry.min()) - 0.05), max(1.05, 1.05 * float(irrelevance.max()))
    return Table(rows, limits={"symmetry": (low, 1.05), "irrelevance": (0.0, high)})
