"""Fit the scaling law to a study's runs, with intervals, refusals and a checklist: python stages/fit.py STUDY"""

from pathlib import Path

from miscope.scaling import documents, laws, results
from miscope.scaling.study import fit_settings
from miscope.workspace.command import run


def main(study: str) -> None:
    whole = laws.fit_of(results.of_study(Path(), study), fit_settings(Path(), study))
    documents.write(documents.path(Path(), study, "fit.json"), whole)
    print(f"{study} fit: {whole.n_fitted} runs; {whole.disagreement.sentence}")


if __name__ == "__main__":
    run(main)
