"""Shows which inputs the network holds to be alike, at one step."""

import numpy as np
import pandas as pd
from jaxtyping import Float32
from miscope.views.shared.tidy import long

from miscope.analyzers.representations import Representations, analyzer
from miscope.core import Artifact, Context, MiscopeError, View
from miscope.maths.random_clouds import rare_mean_of_pairs
from miscope.renderers import DIVERGING, heatmap
from miscope.views.shared import nulls
from miscope.views.shared.sites import Kind, index_of


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
    answers = context.probe.targets[output.chosen]
    order = _shown(answers, n)
    cosine = _cosines(_at_site(output, at)[order])
    found = long("cosine", cosine, row=np.arange(len(order)), column=np.arange(len(order)))
    found["answer"] = np.repeat(answers[order], len(order))
    found.attrs |= {"limits": {"cosine": (-1.0, 1.0)}, "note": site}
    found.attrs["null"] = _verdict(representations, answers, step, at)
    return found


def _at_site(output: Representations, at: int) -> Float32[np.ndarray, "input dim"]:
    end = int(output.width[: at + 1].sum())
    return output.value[:, end - int(output.width[at]) : end]


def _cosines(values: Float32[np.ndarray, "input dim"]) -> Float32[np.ndarray, "input input"]:
    """Of every two inputs, about the mean of all; 0 where one is the mean."""
    centred = values - values.mean(axis=0)
    sizes = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, sizes, out=np.zeros_like(centred), where=sizes > 0)
    return unit @ unit.T


def _verdict(representations: Artifact[Representations], answers: np.ndarray, step: int, at: int) -> str:
    """The mean cosine of two inputs of one right answer, over all that are stored."""
    pairs = np.nonzero(np.triu(answers[:, None] == answers, 1))
    if not 0 < len(pairs[0]) < len(answers) * (len(answers) - 1) / 2:
        return nulls.none("no two inputs have one right answer, or all have the same")
    cosines = _cosines(_at_site(representations[step], at))
    null, source = rare_mean_of_pairs(cosines, *pairs), "99 % of shuffled answers"
    if representations.steps[0] == 0:
        start = float(_cosines(_at_site(representations[0], at))[pairs].mean())
        null, source = null + nulls.MARGIN * max(start, 0), f"{source} on top of the untrained network"
    return nulls.against("mean cosine within an answer", float(cosines[pairs].mean()), null, source)


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
