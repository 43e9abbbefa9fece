"""Which frequencies the logits come to vary with, long before the loss tells, and what the network would lose by each.

In every view, s is what the answer is told by, and c an output.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Float

from miscope.instruments.logit_spectra.measure import LogitSpectra
from miscope.plugin import Artifact, Context, NotApplicable, Null, Table, bars, highest, lines, long, theme, view

MEAN, MEDIAN = "mean of the others", "median of the others"
SHARE, WITHOUT = "share of the logits' energy", "train loss without it (nats)"
FLOOR = 1e-9  # shares below are noise of float32 logits
WHOLE = "cos and sin(w s)"
EXACT, REST = "cos(w (s − c))", f"the rest of {WHOLE}"


@view(
    question="Which frequencies of the answer do the logits contain, and when?",
    reading="The share of the logits' energy in the cosine and sine of each frequency of s, on a logarithmic axis. "
    "Curves above the grey one are the frequencies of a circuit, visible while the loss is still flat; a curve that "
    "falls back is a frequency that the network drops.",
    draw=lines("step", "share", "series", log_y=True, titles={"share": SHARE}, labelled=True),
)
def overview(spectra: Artifact[LogitSpectra], context: Context, null: Null, *, n: int = 6) -> Table:
    """One row per (series, step): the `n` frequencies that ever have most, and the mean of the rest; above 1e-9."""
    rows, last = _largest("share", spectra, n, np.mean, MEAN), spectra.last
    rows["share"] = rows["share"].clip(lower=FLOOR)
    note = f"s is {last.along}" + ("" if last.is_native else "; the task has no such input group")
    return Table(rows, marks={"99 % of noise": null.threshold}, colors={MEAN: theme.GREY}, note=note)


@view(
    question="Which single frequencies does the network need on its training inputs?",
    reading="The train loss without one frequency of the logits, on a logarithmic axis. Where the network does not "
    "need a frequency, the curve equals the train loss, near the grey curve. A curve above it is a frequency that the "
    "answers need. No set of key frequencies has to be chosen.",
    draw=lines("step", "excluded_loss", "series", log_y=True, labelled=True, titles={"excluded_loss": WITHOUT}),
)
def excluded(spectra: Artifact[LogitSpectra], context: Context, *, n: int = 6) -> Table:
    """One row per (series, step): the `n` frequencies that ever cost most, in nats, and the median of the others.

    Source: Nanda et al. 2023, arXiv:2301.05217, section 5.1 (excluded loss, by single frequencies).
    """
    if spectra.last.excluded_loss is None:
        raise NotApplicable("The probe has no training inputs, on which the excluded loss is taken.")
    return Table(_largest("excluded_loss", spectra, n, np.median, MEDIAN), colors={MEDIAN: theme.GREY})


def _largest(
    name: str, spectra: Artifact[LogitSpectra], n: int, summary: Callable[..., np.ndarray], others: str
) -> pd.DataFrame:
    """A field as rows of (series, step): the `n` frequencies at which it is ever largest, and a summary of the rest."""
    values: Float[np.ndarray, "step freq"] = spectra.stack(name)
    chosen = np.sort(np.argsort(-np.nan_to_num(values).max(axis=0), kind="stable")[:n])
    rest = np.delete(values, chosen, axis=1)
    summed = summary(rest, axis=1) if rest.size else np.full(len(values), np.nan)
    series = [*(f"k = {k + 1}" for k in chosen), others]
    return long(name, np.vstack([values[:, chosen].T, summed]), series=series, step=spectra.steps)


@view(
    question="At which frequencies do the logits vary with the answer?",
    reading="Each bar is a frequency's share of the logits' energy; bars of 1 % or more are coloured and named. The "
    "lower part of a bar is what an exact circuit for modular addition has: cosines of s minus the output c.",
    draw=bars("frequency", "share", "part", emphasis="is_key", titles={"frequency": "frequency k", "share": SHARE}),
)
def spectrum(spectra: Artifact[LogitSpectra], context: Context, step: int) -> Table:
    """One row per (part, frequency); `share` of the logits' energy, in one part where outputs are not tokens."""
    output = spectra[step]
    frequency, parts = np.arange(1, len(output.share) + 1), {WHOLE: output.share}
    if output.trig_share is not None:
        parts = {EXACT: output.trig_share, REST: np.maximum(output.share - output.trig_share, 0)}
    rows = long("share", np.stack(list(parts.values())), part=tuple(parts), frequency=frequency)
    rows["is_key"] = np.isin(rows["frequency"], frequency[output.share >= 0.01])
    note = f"all frequencies together: {output.share.sum():.1%} of the logits' energy; s is {output.along}"
    return Table(rows, limits={"share": (0.0, 1.12 * highest(spectra, "share") or 1.0)}, note=note)
