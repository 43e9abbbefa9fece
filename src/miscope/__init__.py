"""MIScope: see how behaviour emerges during training.

import miscope
miscope.load_variant("modulus_113").view("losses").show()
"""

from miscope.api import compare, load_family, load_variant, variants
from miscope.core import MiscopeError, NotApplicable

__all__ = ["MiscopeError", "NotApplicable", "compare", "load_family", "load_variant", "variants"]
