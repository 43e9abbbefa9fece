"""Bring one instrument's artifact of one variant up to date: python stages/analyze.py VARIANT INSTRUMENT"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope import analysis
from miscope.command import run


def main(variant: str, instrument: str) -> None:
    def progress(steps: Iterable[int]) -> Iterable[int]:
        return tqdm(steps, desc=f"{variant} {instrument}", unit="checkpoint", delay=2, mininterval=0.5)

    print(f"{variant} {instrument}: {analysis.bring_up_to_date(Path(), variant, instrument, progress)}")


if __name__ == "__main__":
    run(main)
