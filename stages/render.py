"""Draw all views of one variant, as Plotly JSON: python stages/render.py VARIANT"""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from miscope.core import MiscopeError
from miscope.workspace import Workspace, drawing
from miscope.workspace.command import run


def main(variant: str) -> None:
    """One instrument whose views cannot be drawn fails the stage in the end; the others are drawn all the same."""

    def progress(instruments: Iterable[str]) -> Iterable[str]:
        return tqdm(instruments, desc=f"draw {variant}", unit="instrument", delay=2, mininterval=0.5)

    summary, failed = drawing.bring_views_up_to_date(Workspace(Path()).load(variant), progress)
    print(f"{variant} views: {summary}")
    for instrument, why in failed.items():
        print(f"{variant} {instrument}: failed: {why}")
    if failed:
        raise MiscopeError(f"The views of {', '.join(failed)} of `{variant}` cannot be drawn.")


if __name__ == "__main__":
    run(main)
