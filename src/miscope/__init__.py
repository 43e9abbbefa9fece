"""MIScope: see how behaviour emerges during training.

import miscope
miscope.load_variant("calibration").view("losses").show()
"""

from miscope.api import load_family, load_variant, variants
from miscope.core import MiscopeError, NotApplicable

__all__ = ["MiscopeError", "NotApplicable", "load_family", "load_variant", "variants"]
