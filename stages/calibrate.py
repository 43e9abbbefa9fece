"""Try every instrument on models whose answer is known, and write the table: python stages/calibrate.py"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope.calibration import table
from miscope.calibration.case import Case
from miscope.workspace.command import run


def main() -> None:
    """What is wrong is shown and in the table; it does not fail the stage."""

    def progress(cases: Iterable[Case]) -> Iterable[Case]:
        return tqdm(cases, desc="calibrate", unit="case", delay=2, mininterval=0.5)

    found = table.measured(table.cases(), progress)
    table.save(Path(), found)
    print("\n".join(found.lines()))


if __name__ == "__main__":
    run(main)
