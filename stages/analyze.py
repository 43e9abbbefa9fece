"""Bring what instruments find of one variant up to date: python stages/analyze.py VARIANT [INSTRUMENT ...]"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope import catalog
from miscope.workspace import analysis
from miscope.workspace.command import run


def main(variant: str, *instruments: str) -> None:
    def progress(steps: Iterable[int]) -> Iterable[int]:
        return tqdm(steps, desc=f"analyze {variant}", unit="checkpoint", delay=2, mininterval=0.5)

    done = analysis.bring_all_up_to_date(Path(), variant, instruments or catalog.stored(), progress)
    for instrument, summary in done.items():
        print(f"{variant} {instrument}: {summary}")


if __name__ == "__main__":
    run(main)
