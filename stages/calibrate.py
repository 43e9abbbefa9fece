"""Try every instrument on models whose answer is known, and write the table: python stages/calibrate.py"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope.calibration import table
from miscope.instrument import Case
from miscope.workspace import Workspace
from miscope.workspace.command import run


def main() -> None:
    """What is wrong is shown and in the table; it does not fail the stage."""

    def progress(cases: Iterable[Case]) -> Iterable[Case]:
        return tqdm(cases, desc="calibrate", unit="case", delay=2, mininterval=0.5)

    workspace = Workspace(Path())
    measured = table.measured(workspace.catalog, progress)
    table.save(workspace, measured)
    print("\n".join(measured.lines()))


if __name__ == "__main__":
    run(main)
