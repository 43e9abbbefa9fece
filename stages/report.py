"""Bind a variant's views into one page that needs no network: python stages/report.py VARIANT"""

from pathlib import Path

from miscope import report, store, story
from miscope.command import run


def main(variant: str) -> None:
    folder = store.folder(Path(), variant)
    store.write(folder.report, report.page(folder, story.story(Path(), variant)))
    print(f"{variant} report: {folder.report}")


if __name__ == "__main__":
    run(main)
