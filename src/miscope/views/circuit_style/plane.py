"""Shows the way of the network through the plane in which clocks and pizzas were told apart."""

import pandas as pd
from miscope.views.shared.tidy import over_steps

from miscope.analyzers.circuit_style import CircuitStyle, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import path
from miscope.views.shared.styles import against_shuffled


def table(style: Artifact[CircuitStyle], context: Context) -> pd.DataFrame:
    """One row per step: `symmetry` in [-1, 1] and `irrelevance` in [0, 1]."""
    values = over_steps(style, "gradient_symmetry", "distance_irrelevance")
    found = pd.DataFrame({"step": style.steps, "symmetry": values[:, 0], "irrelevance": values[:, 1]})
    low = min(0.0, float(values[:, 0].min()) - 0.05)
    found.attrs["limits"] = {"symmetry": (low, 1.05), "irrelevance": (0.0, max(1.05, 1.05 * float(values[:, 1].max())))}
    found.attrs["null"] = against_shuffled(style[style.steps[-1]])
    return found


view = View(
    question="By which way does the network come to its style of adding?",
    reading="Pizzas lie at the right and low (symmetry above 0.98, irrelevance below 0.6), clocks at the left and "
    "high. A network that goes through one corner to the other has changed its style.",
    needs=analyzer,
    table=table,
    draw=path(
        "symmetry", "irrelevance", titles={"symmetry": "gradient symmetry", "irrelevance": "distance irrelevance"}
    ),
)
