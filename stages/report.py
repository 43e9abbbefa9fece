"""Bind a variant's views into one page that needs no network: python stages/report.py VARIANT"""

from pathlib import Path

from miscope.report.page import page
from miscope.report.timeline import timeline
from miscope.workspace import Workspace
from miscope.workspace.command import run
from miscope.workspace.files import write


def main(variant: str) -> None:
    loaded = Workspace(Path()).load(variant)
    write(loaded.folder.report, page(loaded.folder, timeline(loaded)))
    print(f"{variant} report: {loaded.folder.report}")


if __name__ == "__main__":
    run(main)
