"""Shows how concentrated the embedding's spectrum is over training."""

import pandas as pd
from miscope.views.shared.tidy import long, over_steps

from miscope.analyzers.dominant_frequencies import DominantFrequencies, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines, theme
from miscope.views.shared import nulls

CHANCE = "Gini coefficient, tokens in random order"
MEASURES = ("Gini coefficient", "inverse participation ratio", CHANCE)


def table(frequencies: Artifact[DominantFrequencies], context: Context) -> pd.DataFrame:
    """One row per (step, measure); `sparsity` in [0, 1]."""
    values = over_steps(frequencies, "gini", "inverse_participation_ratio", "chance_gini")
    found = long("sparsity", values, step=frequencies.steps, measure=MEASURES).sort_values(["measure", "step"])
    gini, _, null = values[-1]
    found.attrs |= {
        "limits": {"sparsity": (0.0, 1.0)},
        "tones": {CHANCE: theme.GREY},
        "null": nulls.against("Gini coefficient", gini, null, "99 % of token orders"),
    }
    return found


view = View(
    question="How sparse is the embedding's spectrum?",
    reading="Both measures are low when all frequencies share the power and near 1 when one has everything. Spread "
    "over F equal frequencies the inverse participation ratio is 1 / F. Grey: the Gini coefficient that one "
    "random order of the tokens in a hundred exceeds.",
    needs=analyzer,
    table=table,
    draw=lines("step", "sparsity", "measure"),
)
