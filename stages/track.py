"""Bring one tracker's artifact of one variant up to date: python stages/track.py VARIANT TRACKER"""

from pathlib import Path

from miscope import analysis
from miscope.command import run


def main(variant: str, tracker: str) -> None:
    print(f"{variant} {tracker}: {analysis.bring_up_to_date(Path(), variant, tracker)}")


if __name__ == "__main__":
    run(main)
