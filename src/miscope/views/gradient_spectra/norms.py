"""Shows how hard training pushes on each site."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.gradient_spectra import GradientSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import lines
from miscope.views.shared import nulls
from miscope.views.shared.gradients import SHUFFLED


def table(spectra: Artifact[GradientSpectra], context: Context) -> pd.DataFrame:
    """One row per (site, step); `norm` of the gradient of the mean train loss by the site's own weights."""
    values = np.maximum(spectra.stack("norm").T, np.finfo(np.float32).tiny)
    found = long("norm", values, site=spectra[spectra.steps[0]].site, step=spectra.steps)
    found.attrs["null"] = _is_fitted(spectra[spectra.steps[-1]])
    return found


def _is_fitted(output: GradientSpectra) -> str:
    """The verdict on one step: do the right labels push less than others, because the network knows them?"""
    return nulls.against(
        "norm of the gradient over all sites",
        float(np.linalg.norm(output.norm)),
        float(np.linalg.norm(output.shuffled_norm)) / nulls.MARGIN,
        f"{SHUFFLED}, with a margin of {nulls.MARGIN:g}",
        is_lower=True,
    )


view = View(
    question="How hard does training push on each part of the network?",
    reading="The norm of the train loss's gradient, weight decay left out, on a logarithmic axis. After memorisation "
    "it falls by orders of magnitude: what moves the network from there on is weight decay as much as the loss.",
    needs=analyzer,
    table=table,
    draw=lines("step", "norm", "site", log_y=True, titles={"norm": "norm of the gradient"}),
)
