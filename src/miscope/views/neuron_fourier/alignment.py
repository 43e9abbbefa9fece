"""Shows when neurons come to write the phase that adding two tokens needs.

Source: He et al. 2026, arXiv:2602.16849 (phase alignment).
"""

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import long

from miscope.analyzers.neuron_fourier import NeuronFourier, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import lines
from miscope.views.shared.frequencies import of_phases
from miscope.views.shared.quantiles import QUANTILES, quantiles


def table(neurons: Artifact[NeuronFourier], context: Context) -> pd.DataFrame:
    """One row per (statistic, step); `misalignment` |2 phi - psi| in radians, over all neurons that have a wave."""
    if neurons[neurons.steps[0]].misalignment is None:
        raise NotApplicable("The outputs are not tokens of the basis, so what neurons write has no phase.")
    values = quantiles(neurons.stack("misalignment"))
    found = long("misalignment", values, statistic=QUANTILES, step=neurons.steps)
    found.attrs |= {"limits": {"misalignment": (0.0, float(np.pi))}, "marks": {"at random": np.pi / 2}}
    found.attrs["null"] = of_phases(neurons[neurons.steps[-1]].misalignment)
    return found


view = View(
    question="When do the phases that neurons read and write fit together?",
    reading="For a sum, a neuron that reads a wave with phase phi has to write it with 2 phi. The curves are the "
    "distance from that, in radians, of the median neuron and of the tenth from either end. Far below the dashed line "
    "the phases fit; they begin to while the test loss is still rising.",
    needs=analyzer,
    table=table,
    draw=lines("step", "misalignment", "statistic", titles={"misalignment": "|2 phi − psi| (radians)"}),
)
