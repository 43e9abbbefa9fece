"""Gradients for the right labels beside those for shuffled ones, which the network's own weights narrow as well."""

import numpy as np

from miscope.analyzers.gradient_spectra import GradientSpectra
from miscope.core import Artifact
from miscope.renderers import theme
from miscope.views.shared import nulls

TONES = {"right labels": theme.PALETTE[0], "shuffled labels": theme.GREY}
SHUFFLED = "the same network with shuffled labels"


def beside_shuffled(spectra: Artifact[GradientSpectra], name: str) -> np.ndarray:
    """A field for the right labels and for shuffled ones: [labels step site ...]."""
    return np.stack([spectra.stack(field) for field in (name, f"shuffled_{name}")])


def sharing(concentration: np.ndarray) -> np.ndarray:
    """About how many frequencies share a gradient, from 1 to all; NaN where it does not vary over tokens."""
    return np.divide(
        1, concentration, out=np.full(np.shape(concentration), np.nan), where=np.asarray(concentration) > 0
    )


def against_shuffled(output: GradientSpectra) -> str:
    """The verdict on one step: is the gradient of any site narrower than for shuffled labels?"""
    own, shuffled = sharing(output.concentration), sharing(output.shuffled_concentration)
    ratio = own / shuffled
    site = int(np.nanargmin(ratio)) if np.isfinite(ratio).any() else 0
    return nulls.against(
        f"frequencies that share the gradient ({output.site[site]})",
        own[site],
        shuffled[site] / nulls.MARGIN,
        f"{SHUFFLED}, with a margin of {nulls.MARGIN:g}",
        is_lower=True,
    )
