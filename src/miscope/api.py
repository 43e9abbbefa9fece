"""The notebook's door, and the app's: load a variant, ask it for a view; compare several.

variant = miscope.load_variant("calibration")
variant.view("losses").show()
variant.at(4_000).view("neuron_spectra.clusters").export("png")
miscope.compare("calibration", "modulus_59").view("losses", align="onset").show()
"""

from pathlib import Path
from typing import TYPE_CHECKING

from miscope.core import Family

if TYPE_CHECKING:
    from miscope.workspace.comparison import Comparison
    from miscope.workspace.loaded import LoadedVariant


def load_family(name: str) -> type[Family]:
    """The family's class: its fields are the task's settings.

    Raises:
        MiscopeError: there is no such family; the error names the nearest.
    """
    from miscope import catalog

    return catalog.family(name)


def load_variant(name: str, root: str | Path = ".") -> "LoadedVariant":
    """A variant that params.yaml in the folder `root` declares, trained or not.

    Raises:
        MiscopeError: params.yaml declares no such variant, or is not valid.
    """
    from miscope.workspace import Workspace

    return Workspace(Path(root)).load(name)


def variants(root: str | Path = ".") -> tuple[str, ...]:
    """The names of all variants that params.yaml declares."""
    from miscope.workspace import Workspace

    return tuple(Workspace(Path(root)).variants)


def compare(*names: str, root: str | Path = ".") -> "Comparison":
    """Two to four variants that params.yaml declares, to be seen together.

    Raises:
        MiscopeError: there are fewer or more, one stands there twice, or one is not declared.
    """
    from miscope.workspace import Workspace
    from miscope.workspace.comparison import compared

    return compared(Workspace(Path(root)), names)
