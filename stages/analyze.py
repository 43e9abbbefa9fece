"""Bring what an instrument measures on one variant up to date: python stages/analyze.py VARIANT INSTRUMENT"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope.core import MiscopeError
from miscope.workspace import Workspace, analysis
from miscope.workspace.command import run


def main(variant: str, instrument: str) -> None:
    """Instruments that look at the same activations are computed in the same pass; their own stages find them done."""

    def progress(steps: Iterable[int]) -> Iterable[int]:
        return tqdm(steps, desc=f"analyze {variant} {instrument}", unit="checkpoint", delay=2, mininterval=0.5)

    workspace = Workspace(Path())
    config, folder = workspace.config, workspace.folder(variant)
    summary = analysis.bring_up_to_date(config, folder, [instrument], progress, with_siblings=True)[instrument]
    if summary.error:
        raise MiscopeError(f"`{instrument}` failed on `{variant}`: {summary.error}")
    print(f"{variant} {instrument}: {summary}")


if __name__ == "__main__":
    run(main)
