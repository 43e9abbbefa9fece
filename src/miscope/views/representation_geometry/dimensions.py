"""Shows how many dimensions the inputs of one right answer fill."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import joined, long

from miscope.analyzers.representation_geometry import RepresentationGeometry, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.answers import dimensions
from miscope.views.shared.sites import TONES, by_layer, names


def table(geometry: Artifact[RepresentationGeometry], context: Context) -> pd.DataFrame:
    """One row per (layer, site, step); `dimensions` is the participation ratio within an answer, mean over answers."""
    first = geometry[geometry.steps[0]]
    means = np.array([[dimensions(o, at) for at in range(len(o.site))] for o in geometry.values()])  # [step site]
    layers, last = by_layer(first.site), len(first.site) - 1
    parts = [
        long("dimensions", means.T[sites], site=names(first.site, sites), step=geometry.steps)
        for sites in layers.values()
    ]
    found = joined(parts, list(layers), "layer")
    least, most = int(first.n_inputs.min()), int(first.n_inputs.max())
    found.attrs |= {"tones": TONES, "note": f"{least if least == most else f'{least} to {most}'} inputs per answer"}
    found.attrs["null"] = nulls.against_untrained(
        "participation ratio at the last site", geometry, lambda output: dimensions(output, last), is_lower=True
    )
    return found


view = View(
    question="How many dimensions do the inputs of one right answer fill?",
    reading="Participation ratio of the inputs around their answer's centroid. A fall says that the network forgets "
    "what the answer does not need. With n inputs the number is below n - 1, so compare sites and steps, not probes.",
    needs=analyzer,
    table=table,
    draw=lines("step", "dimensions", "site", "layer", titles={"dimensions": "participation ratio"}),
)
