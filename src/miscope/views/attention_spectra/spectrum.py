"""Shows the frequencies of each head's weights at one step."""

from typing import Literal

import numpy as np
import pandas as pd
from miscope.views.shared.tidy import highest, long

from miscope.analyzers.attention_spectra import AttentionSpectra, analyzer
from miscope.core import Artifact, Context, NotApplicable, View
from miscope.renderers import bars
from miscope.views.shared.heads import head_names, of_one_frequency

Part = Literal["value", "key", "query", "query-key", "score"]
FIELDS = {
    "value": "value_share",
    "key": "key_share",
    "query": "query_share",
    "query-key": "qk_share",
    "score": "score_share",
}


def table(spectra: Artifact[AttentionSpectra], context: Context, step: int, *, part: Part = "key") -> pd.DataFrame:
    """One row per (head, frequency); `share` of the energy of that part of the head, its constant left out."""
    shares = getattr(spectra[step], FIELDS[part])
    if shares is None:
        raise NotApplicable("The probe's inputs do not all end on the same token, so no one token asks.")
    layers, heads, n = shares.shape
    found = long("share", shares.reshape(-1, n), head=head_names(layers, heads), frequency=np.arange(1, n + 1))
    found["is_large"] = found["share"] >= 3 / n
    null = of_one_frequency(shares, len(spectra))
    top = 1.15 * max(highest(spectra, FIELDS[part]), *null["marks"].values())
    found.attrs |= {"limits": {"share": (0.0, top)}, "note": part, **null}
    return found


view = View(
    question="Which frequencies do the weights of each head hold?",
    reading="The share of energy at each frequency of what a head looks for (query), offers (key) or moves (value), "
    "or of the score between them; those above 3 times the mean are coloured and named. `score` is the last token's.",
    needs=analyzer,
    table=table,
    draw=bars("frequency", "share", facet="head", emphasis="is_large", titles={"frequency": "frequency k"}),
)
