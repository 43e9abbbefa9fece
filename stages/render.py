"""Draw the views of an instrument as Plotly JSON: python stages/render.py VARIANT INSTRUMENT

`task` in place of an instrument: the views that the family of the variant brings.
"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope.workspace import Workspace, drawing
from miscope.workspace.command import run


def main(variant: str, instrument: str) -> None:
    def progress(views: Iterable[str]) -> Iterable[str]:
        return tqdm(views, desc=f"draw {variant} {instrument}", unit="view", delay=2, mininterval=0.5)

    summary = drawing.bring_up_to_date(Workspace(Path()).load(variant), instrument, progress)
    print(f"{variant} {instrument} views: {summary}")


if __name__ == "__main__":
    run(main)
