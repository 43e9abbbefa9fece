"""Bring what instruments measure on one variant up to date: python stages/analyze.py VARIANT [INSTRUMENT ...]"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope.core import MiscopeError
from miscope.workspace import Workspace, analysis
from miscope.workspace.command import run


def main(variant: str, *instruments: str) -> None:
    """One that raises is reported and fails the stage in the end; the others are computed all the same."""

    def progress(steps: Iterable[int]) -> Iterable[int]:
        return tqdm(steps, desc=f"analyze {variant}", unit="checkpoint", delay=2, mininterval=0.5)

    workspace = Workspace(Path())
    chosen = instruments or workspace.catalog.stored
    done = analysis.bring_up_to_date(workspace.config, workspace.folder(variant), chosen, progress)
    failed = dict(workspace.catalog.faults) | {name: done[name].error for name in done if done[name].error}
    for instrument, summary in done.items():
        print(f"{variant} {instrument}: {summary}")
    if failed:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise MiscopeError(f"{len(failed)} instruments failed on `{variant}`; the others are up to date. {reasons}")


if __name__ == "__main__":
    run(main)
