"""Draw all views of one variant, as Plotly JSON: python stages/render.py VARIANT"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope.workspace import drawing
from miscope.workspace.command import run


def main(variant: str) -> None:
    def progress(instruments: Iterable[str]) -> Iterable[str]:
        return tqdm(instruments, desc=f"draw {variant}", unit="instrument", delay=2, mininterval=0.5)

    print(f"{variant} views: {drawing.bring_views_up_to_date(Path(), variant, progress)}")


if __name__ == "__main__":
    run(main)
