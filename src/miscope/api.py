"""The functions for notebooks and scripts: load a variant, draw its views, compare several variants.

variant = miscope.load_variant("modulus_113")
variant.view("losses").show()
variant.at(4_500).view("neuron_spectra.clusters").export("png")
miscope.compare("modulus_113", "modulus_59").view("losses", align="onset").show()
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
    """Two to four variants that params.yaml declares, to be compared.

    Raises:
        MiscopeError: there are fewer or more, a name occurs twice, or a variant is not declared.
    """
    from miscope.workspace import Workspace
    from miscope.workspace.comparison import compared

    return compared(Workspace(Path(root)), names)
