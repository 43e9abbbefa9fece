"""Which inputs the network holds to be alike."""

import numpy as np
from jaxtyping import Int

from miscope.instruments._shared.sites import Kind, columns, index_of
from miscope.instruments.representations.measure import Representations, cosines
from miscope.plugin import DIVERGING, Artifact, Context, MiscopeError, Table, heatmap, long, view


@view(
    question="Which inputs does the network represent alike?",
    reading="Every pair of a sample of inputs, sorted by right answer. Red squares on the diagonal are answers whose "
    "inputs are alike; red elsewhere is answers that are alike.",
    draw=heatmap(
        "column", "row", "cosine", is_square=True, height=430, colorscale=DIVERGING, extra="answer",
        titles={"row": "input", "column": "input", "answer": "right answer of the row"},
    ),
)  # fmt: skip
def overview(
    representations: Artifact[Representations], context: Context, step: int, *, site: Kind = "resid_post",
    layer: int = -1, n: int = 120,
) -> Table:  # fmt: skip
    """One row per two of about `n` inputs, in the order of their right answers; `cosine` in [-1, 1]."""
    if n < 2:
        raise MiscopeError(f"`n` = {n}; allowed: 2 or more.")
    output = representations[step]
    answers = context.probe.targets[output.chosen]
    order = _shown(answers, n)
    numbers = np.arange(len(order))
    cosine = cosines(output.value[:, columns(output.width, index_of(output.site, site, layer))][order])
    rows = long("cosine", cosine, row=numbers, column=numbers).assign(answer=np.repeat(answers[order], len(order)))
    return Table(rows, limits={"cosine": (-1.0, 1.0)}, note=site)


def _shown(answers: Int[np.ndarray, " input"], n: int) -> Int[np.ndarray, " shown"]:
    """About `n` inputs sorted by answer: all of as many answers as that allows, spread evenly; of two, some of each."""
    label = np.unique(answers)
    kept = label[_spread(len(label), max(2, round(len(label) * n / len(answers))))]
    order = np.argsort(answers, kind="stable")
    order = order[np.isin(answers[order], kept)]
    return order[_spread(len(order), n)] if len(order) > 1.5 * n else order


def _spread(size: int, n: int) -> Int[np.ndarray, " chosen"]:
    return np.linspace(0, size - 1, min(n, size)).round().astype(int)
