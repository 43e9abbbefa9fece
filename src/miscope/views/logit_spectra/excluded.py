"""Shows what the network would lose on its training inputs if one frequency were taken out of its logits.

Source: Nanda et al. 2023, arXiv:2301.05217, section 5.1 (excluded loss, by single frequencies).
"""

from statistics import NormalDist

import numpy as np
import pandas as pd
from jaxtyping import Float
from miscope.views.shared.tidy import long

from miscope.analyzers.logit_spectra import LogitSpectra, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.maths.null_distributions import RARE
from miscope.renderers import lines, theme
from miscope.views.shared import nulls

OTHER = "median of the others"


def table(spectra: Artifact[LogitSpectra], context: Context, *, n: int = 6) -> pd.DataFrame:
    """One row per (series, step): the `n` frequencies that ever cost most, and the median of the others.

    `excluded_loss` is the mean train loss in nats without that frequency.
    """
    if spectra[spectra.steps[0]].excluded_loss is None:
        raise NotApplicable("The probe has no training inputs, on which the excluded loss is taken.")
    losses = spectra.stack("excluded_loss")  # [step freq]
    chosen = np.sort(np.argsort(-np.nan_to_num(losses).max(axis=0), kind="stable")[:n])
    others = np.delete(losses, chosen, axis=1)
    rest = np.median(others, axis=1)[:, None] if others.size else np.full((len(losses), 1), np.nan)
    values = np.concatenate([losses[:, chosen], rest], axis=1).T
    found = long("excluded_loss", values, series=[*(f"k = {k + 1}" for k in chosen), OTHER], step=spectra.steps)
    found.attrs |= {"tones": {OTHER: theme.GREY}, "null": _said(losses[-1])}
    return found


def _said(losses: Float[np.ndarray, " freq"]) -> str:
    """The worst frequency against the spread of all, by their median absolute deviation, which a few keys leave."""
    logs = np.log(np.maximum(losses, np.finfo(np.float64).tiny))
    spread = 1.4826 * np.median(np.abs(logs - np.median(logs)))
    z = NormalDist().inv_cdf(1 - RARE / len(logs))
    null = float(np.exp(np.median(logs) + max(z * spread, np.log(nulls.MARGIN))))
    source = f"99 % of what the others cost, or {nulls.MARGIN:g} times their median"
    return nulls.against("train loss without the worst frequency", float(losses.max()), null, source)


view = View(
    question="Which single frequencies does the network need on its training inputs?",
    reading="The train loss with one frequency taken out of the logits, on a logarithmic axis. Where nothing hangs on "
    "a frequency the curve is the train loss, which the grey one is close to. A curve that rises off it is a "
    "frequency that memorised answers come to lean on. No choice of keys enters.",
    needs=analyzer,
    table=table,
    draw=lines(
        "step", "excluded_loss", "series", log_y=True, labelled=True,
        titles={"excluded_loss": "train loss without it (nats)"},
    ),
)  # fmt: skip
