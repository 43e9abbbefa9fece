"""Bind a variant's views into one page that needs no network: python stages/report.py VARIANT"""

from pathlib import Path

from miscope.workspace import files
from miscope.workspace.command import run


def main(variant: str) -> None:
    folder = files.folder_of(Path(), variant)
    files.write(folder.report, report.page(folder, story.story(Path(), variant)))
    print(f"{variant} report: {folder.report}")


if __name__ == "__main__":
    run(main)
