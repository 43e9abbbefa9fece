"""Shows where the right answers lie in the plane of their two largest components, at one step."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import once

from miscope.analyzers.representation_geometry import RepresentationGeometry, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.maths.clouds import components
from miscope.renderers.points import points
from miscope.views.shared.answers import of_alignment
from miscope.views.shared.sites import Kind, index_of


def table(
    geometry: Artifact[RepresentationGeometry],
    context: Context,
    step: int,
    *,
    site: Kind = "resid_post",
    layer: int = -1,
) -> pd.DataFrame:
    """One row per right answer; `x` and `y` are its centroid's scores, `place` is k times its number, mod n."""
    output = geometry[step]
    at = index_of(output.site, site, layer)
    end = int(output.width[: at + 1].sum())
    scores, shares = components(output.centroid[:, end - int(output.width[at]) : end])
    if scores.shape[1] < 2 or not output.spread[at]:
        raise NotApplicable(f"The centroids at {site} do not spread over a plane.")
    k = 1 if output.ring_frequency is None else int(np.nan_to_num(output.ring_frequency[at], nan=1))
    n = len(output.label)
    reach = _reach(geometry, at)
    found = pd.DataFrame({"x": scores[:, 0], "y": scores[:, 1], "answer": output.label, "place": k * np.arange(n) % n})
    found.attrs |= {
        "titles": {axis: f"PC{i + 1} ({shares[i]:.0%} of the variance)" for i, axis in enumerate("xy")}
        | {"place": f"answer x {k}<br>mod {n}"},
        "limits": {"x": (-reach, reach), "y": (-reach, reach), "place": (0.0, float(n))},
        "note": site,
        "null": of_alignment(output, at),
    }
    return found


@once
def _reach(geometry: Artifact[RepresentationGeometry], at: int) -> float:
    """As far as the scores of PC1 ever reach, nearly: 2.2 of its largest standard deviations."""
    return 2.2 * max(float(o.spread[at] * np.sqrt(o.variance_share[at, 0])) for o in geometry.values()) or 1.0


view = View(
    question="How are the right answers laid out?",
    reading="Each point is the centroid of the inputs of one right answer, coloured by its place on the ring that fits "
    "best. A ring with colours in order is a circle of that frequency; the axes are those of this step.",
    needs=analyzer,
    table=table,
    draw=points("x", "y", "place", "answer"),
)
