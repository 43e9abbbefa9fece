"""A workspace: a folder with params.yaml and the artifacts made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miscope.catalog import Catalog
from miscope.core import Variant
from miscope.workspace import configuration
from miscope.workspace.configuration import Config
from miscope.workspace.files import Folder, folder_of

if TYPE_CHECKING:
    from miscope.workspace.analysis import Compute
    from miscope.workspace.loaded import LoadedVariant


@dataclass(frozen=True)
class Workspace:
    """The folder `root`. params.yaml is read again whenever it has changed."""

    root: Path

    @property
    def config(self) -> Config:
        """What params.yaml declares.

        Raises:
            MiscopeError: one line that names the key, the value and what is allowed.
        """
        return configuration.load(self.root)

    @property
    def catalog(self) -> Catalog:
        """Instruments of this package, and those that params.yaml names."""
        return self.config.catalog

    @property
    def variants(self) -> Mapping[str, Variant]:
        return self.config.variants

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    def folder(self, variant: str) -> Folder:
        return folder_of(self.root, variant)

    def load(self, variant: str, compute: "Compute | None" = None) -> "LoadedVariant":
        """A variant that params.yaml declares, trained or not; `compute` computes Outputs that are never stored.

        Raises:
            MiscopeError: params.yaml declares no such variant, or is not valid.
        """
        from miscope.workspace.analysis import compute_at
        from miscope.workspace.loaded import LoadedVariant

        return LoadedVariant(self, self.config.variant(variant), compute or compute_at)

    def settings(self, instrument: str) -> dict[str, Any]:
        return self.config.settings(instrument)
