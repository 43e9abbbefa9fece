"""Shows which frequencies training pushes on at each site, and from when."""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.gradient_spectra import GradientSpectra, analyzer
from miscope.core import Artifact, Context, View
from miscope.renderers import heatmap
from miscope.views.shared import nulls
from miscope.views.shared.gradients import beside_shuffled, sharing


def table(spectra: Artifact[GradientSpectra], context: Context) -> pd.DataFrame:
    """One row per (site, frequency, step); `share` of that frequency in the site's gradient, the constant left out."""
    power = spectra.stack("power").transpose(1, 2, 0)
    first = spectra[spectra.steps[0]]
    found = long("share", power, site=first.site, frequency=np.arange(1, power.shape[1] + 1), step=spectra.steps)
    found.attrs["note"] = _of_the_task(spectra) + ("" if first.is_native else "; the task has no such input group")
    found.attrs["null"] = nulls.against_untrained(
        "frequencies that share the embedding's gradient",
        spectra,
        lambda output: float(sharing(output.concentration)[0]),
        is_lower=True,
    )
    return found


def _of_the_task(spectra: Artifact[GradientSpectra]) -> str:
    """Whether the embedding's gradient is ever narrower than for shuffled labels by the margin, and when most."""
    own, shuffled = beside_shuffled(spectra, "concentration")[..., 0]
    ratio = np.divide(own, shuffled, out=np.ones_like(own), where=shuffled > 0)
    at = int(ratio.argmax())
    if ratio[at] <= nulls.MARGIN:
        return f"at no step {nulls.MARGIN:g} times as concentrated as for shuffled labels"
    return f"step {spectra.steps[at]:,}: {ratio[at]:.1f} times as concentrated as for shuffled labels"


view = View(
    question="Which frequencies does training push on, and from when?",
    reading="Each column is one step's gradient of the train loss, as shares of its frequencies. Lines that light up "
    "are frequencies on which errors flow back; an even column favours none. The network's own circuit makes such "
    "lines for any labels: the view `concentration` judges whether these need the right ones.",
    needs=analyzer,
    table=table,
    draw=heatmap("step", "frequency", "share", "site", titles={"frequency": "frequency k"}, columns=1, height=260),
)
