"""When representations rest, change, and are what they will be at the end."""

import numpy as np

from miscope.instruments._shared.curves import COLORS, by_layer
from miscope.instruments._shared.sites import Kind, index_of, names, of_layer
from miscope.instruments.representation_similarity.measure import RepresentationSimilarity
from miscope.plugin import Context, NotApplicable, Table, heatmap, lines, long, theme, view

MEASURES = {"debiased CKA": theme.PALETTE[0], "CKA": theme.PALETTE[1], "CKA by chance": theme.GREY}


@view(
    question="During which parts of training is the representation the same?",
    reading="The similarity of a site's representation at every two checkpoints. A bright block on the diagonal is a "
    "part of training in which the representation does not change, and its edge is where it changes. Rotations and "
    "scale do not count as change.",
    draw=heatmap(
        "step", "other_step", "similarity", height=430,
        titles={"other_step": "other step", "similarity": "similarity (linear CKA)"},
    ),
)  # fmt: skip
def overview(
    similarity: RepresentationSimilarity, context: Context, *, site: Kind = "resid_post", layer: int = -1,
    is_debiased: bool = True,
) -> Table:  # fmt: skip
    """One row per two steps; `similarity` is linear CKA, at most 1."""
    at = index_of(similarity.site, site, layer)
    values = (similarity.debiased_cka if is_debiased else similarity.cka)[at]
    if np.isnan(values).all():
        raise NotApplicable(f"The probe's inputs are all the same at {site}.")
    chance = "debiased, 0 by chance" if is_debiased else f"{similarity.gaussian_cka[at]:.2g} between Gaussians"
    rows = long("similarity", values, other_step=similarity.steps, step=similarity.steps)
    return Table(rows, limits={"similarity": (min(0.0, float(np.nanmin(values))), 1.0)}, note=f"{site}; {chance}")


@view(
    question="When does each representation change fastest?",
    reading="The angle between a site's similarity matrices at neighbouring checkpoints, per 1,000 steps, drawn at the "
    "middle of the interval. Rotations and scale do not count. At 90 degrees nothing is in common.",
    draw=lines("step", "turn", "site", "layer", log_y=True, titles={"turn": "degrees per 1,000 steps"}),
)
def change(similarity: RepresentationSimilarity, context: Context) -> Table:
    """One row per (layer, site, interval) in which something changes; `turn` in degrees per 1,000 steps."""
    steps = similarity.steps
    if len(steps) < 2:
        raise NotApplicable("A change needs two checkpoints at least.")
    turn = np.where(similarity.turn > 0, similarity.turn, np.nan) * 1000 / np.diff(steps)
    if not (turn > 0).any():
        raise NotApplicable("No representation changes between checkpoints.")
    return Table(by_layer("turn", turn, similarity.site, (steps[:-1] + steps[1:]) / 2), colors=COLORS)


@view(
    question="How early is each site similar to its final state?",
    reading="The similarity to the last checkpoint, 1 at the end. Grey: the CKA of two representations with as many "
    "dimensions and nothing else in common; only values above it are evidence.",
    draw=lines("step", "similarity", "measure", "site", columns=2, titles={"similarity": "similarity to the last"}),
)
def to_final(similarity: RepresentationSimilarity, context: Context, *, layer: int = -1) -> Table:
    """One row per (site, measure, step); `similarity` of the step's representation to that of the last checkpoint."""
    at = of_layer(similarity.site, layer)
    measures = (similarity.debiased_cka, similarity.cka, similarity.chance_cka)
    values = np.stack([measure[at][:, -1] for measure in measures], axis=1)
    rows = long("similarity", values, site=names(similarity.site, at), measure=[*MEASURES], step=similarity.steps)
    return Table(rows, colors=MEASURES, limits={"similarity": (min(-0.05, float(rows["similarity"].min())), 1.03)})
