"""How right answers would lie by chance: what random labels, random layouts and the untrained network show."""

from collections.abc import Callable

import numpy as np

from miscope.analyzers.representation_geometry import FEWEST_ON_A_RING, RepresentationGeometry
from miscope.core import Artifact
from miscope.maths.random_clouds import rare_rings, rare_snr
from miscope.views.shared import nulls

Geometry = Artifact[RepresentationGeometry]
LABELS = "99 % of random answers"
HEADS = "99 % of untrained heads"


def dimensions(output: RepresentationGeometry, at: int) -> float:
    """Participation ratio of the inputs of one answer at a site, mean over answers; NaN where they are one point."""
    found = output.participation_ratio[at]
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def of_snr(geometry: Geometry, at: int) -> str:
    """The verdict on the last checkpoint's signal to noise at a site."""
    last = geometry[geometry.steps[-1]]
    chance = rare_snr(len(last.label), int(last.n_inputs.sum()), _filled(last, at))
    return _against("signal to noise", geometry, lambda output: float(output.snr[at]), chance)


def of_nearest_pair(geometry: Geometry, at: int) -> str:
    """The same of Fisher's criterion of the two answers hardest to tell apart: of two classes twice that ratio."""
    last = geometry[geometry.steps[-1]]
    chance = 2 * rare_snr(2, 2 * int(last.n_inputs.min()), _filled(last, at))
    return _against("criterion of the nearest pair", geometry, lambda output: float(output.fisher_min[at]), chance)


def _filled(output: RepresentationGeometry, at: int) -> float:
    found = dimensions(output, at)
    return round(found, 1) if np.isfinite(found) else 1.0


def _against(what: str, geometry: Geometry, measure: Callable[[RepresentationGeometry], float], chance: float) -> str:
    """Against random answers, or the untrained network where it parts the answers more than they would."""
    start = measure(geometry[0]) * nulls.MARGIN if geometry.steps[0] == 0 else 0.0
    if start > chance:
        return nulls.against_untrained(what, geometry, measure)
    return nulls.against(what, measure(geometry[geometry.steps[-1]]), chance, LABELS)


def of_circularity(geometry: Geometry, at: int) -> str:
    """The verdict on the last checkpoint's circularity at a site."""
    last = geometry[geometry.steps[-1]]
    assert last.circularity is not None
    return nulls.against("circularity", float(last.circularity[at]), rare_rings(len(last.label)).circularity, HEADS)


def of_alignment(output: RepresentationGeometry, at: int) -> str:
    """The verdict on how well the answers follow one another around the plane of PC1 and PC2, at a site."""
    if output.ring_alignment is None:
        return nulls.none(f"fewer than {FEWEST_ON_A_RING} right answers lie on a circle however they are laid out")
    null = rare_rings(len(output.label)).alignment
    return nulls.against("alignment of their angles", float(output.ring_alignment[at]), null, HEADS)
