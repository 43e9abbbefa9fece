"""Shows which inputs the network holds to be alike, at one step."""

import numpy as np
import pandas as pd

from miscope.analyzers.representations import Representations, analyzer
from miscope.core import Artifact, Context, MiscopeError, View
from miscope.renderers import DIVERGING, heatmap
from miscope.views.sites import Kind, index_of
from miscope.views.tidy import long


def table(
    representations: Artifact[Representations],
    context: Context,
    step: int,
    *,
    site: Kind = "resid_post",
    layer: int = -1,
    n: int = 120,
) -> pd.DataFrame:
    """One row per two of about `n` inputs, in the order of their right answers; `cosine` in [-1, 1]."""
    if n < 2:
        raise MiscopeError(f"`n` = {n}; allowed: 2 or more.")
    output = representations[step]
    at = index_of(output.site, site, layer)
    end = int(output.width[: at + 1].sum())
    answers = context.probe.targets[output.chosen]
    order = _shown(answers, n)
    values = output.value[order, end - int(output.width[at]) : end].astype(np.float32)
    centred = values - values.mean(axis=0)
    sizes = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, sizes, out=np.zeros_like(centred), where=sizes > 0)
    found = long("cosine", unit @ unit.T, row=np.arange(len(order)), column=np.arange(len(order)))
    found["answer"] = np.repeat(answers[order], len(order))
    found.attrs |= {"limits": {"cosine": (-1.0, 1.0)}, "note": site}
    return found


def _shown(answers: np.ndarray, n: int) -> np.ndarray:
    """About `n` inputs sorted by answer: all of as many answers as that allows, spread evenly; of two, some of each."""
    label = np.unique(answers)
    kept = label[_spread(len(label), max(2, round(len(label) * n / len(answers))))]
    order = np.argsort(answers, kind="stable")
    order = order[np.isin(answers[order], kept)]
    return order[_spread(len(order), n)] if len(order) > 1.5 * n else order


def _spread(size: int, n: int) -> np.ndarray:
    return np.linspace(0, size - 1, min(n, size)).round().astype(int)


view = View(
    question="Which inputs does the network hold to be alike?",
    reading="Every two of a sample of inputs, sorted by their right answer. Red squares on the diagonal are answers "
    "whose inputs have come together; red off it are answers that lie near one another.",
    needs=analyzer,
    table=table,
    draw=heatmap(
        "column", "row", "cosine", is_square=True, height=430, colorscale=DIVERGING, extra="answer",
        titles={"row": "input", "column": "input", "answer": "right answer of the row"},
    ),
)  # fmt: skip
