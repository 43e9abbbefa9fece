"""How a network adds, held against chance: only the fall of distance irrelevance tells.

Symmetry does not: an untrained network has 0.99 by itself, and one that only memorises loses it.
"""

from miscope.analyzers.circuit_style import CircuitStyle
from miscope.views.shared import nulls


def against_shuffled(output: CircuitStyle) -> str:
    """The verdict on one step: does the distance between the summands tell more of the right logit than by chance?"""
    return nulls.against(
        "distance irrelevance",
        output.distance_irrelevance,
        1 - nulls.MARGIN * (1 - output.shuffled_irrelevance),
        f"logits shuffled over the pairs, with a margin of {nulls.MARGIN:g}",
        is_lower=True,
    )
