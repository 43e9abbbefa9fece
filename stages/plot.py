"""Draw a study's fit, each picture with its table, and one page of them all: python stages/plot.py STUDY"""

from pathlib import Path

from miscope.scaling import page
from miscope.workspace.command import run


def main(study: str) -> None:
    written = page.write(Path(), study)
    print(f"{study} plot: {len(written)} files in {written[0].parent}")


if __name__ == "__main__":
    run(main)
