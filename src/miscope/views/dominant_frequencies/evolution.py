"""Shows when the frequencies that the finished network uses take over its embedding."""

import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.dominant_frequencies import DominantFrequencies, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared.frequencies import of_embedding


def table(frequencies: Artifact[DominantFrequencies], context: Context) -> pd.DataFrame:
    """One row per (step, frequency); `power` is a share of the embedding's squared norm without its constant."""
    first = frequencies[frequencies.steps[0]]
    found = long("power", frequencies.stack("power"), step=frequencies.steps, frequency=first.frequency)
    found.attrs["null"] = of_embedding(frequencies[frequencies.steps[-1]])
    return found


view = View(
    question="When do the frequencies that the network ends with take over its embedding?",
    reading="Each row is a frequency, bright where it holds much of the embedding. Rows that brighten and stay are "
    "kept; rows that brighten and fade were tried and dropped.",
    needs=analyzer,
    table=table,
    draw=heatmap("step", "frequency", "power", titles={"frequency": "frequency k", "power": "share of power"}),
)
