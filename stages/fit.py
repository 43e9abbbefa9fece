"""Fit the scaling law to a study's runs, with intervals, refusals and a checklist: python stages/fit.py STUDY"""

from pathlib import Path

from miscope.scaling import laws, results
from miscope.scaling.settings import settings
from miscope.workspace import files
from miscope.workspace.command import run


def main(study: str) -> None:
    runs = results.read(results.path(Path(), study), study)
    found = laws.study(runs, settings(Path(), study))
    files.write(laws.path(Path(), study), files.pretty_json(found))
    print(f"{study} fit: {found['n_fitted']} runs; {found['disagreement']['sentence']}")


if __name__ == "__main__":
    run(main)
