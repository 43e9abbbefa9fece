"""Plan a scaling study, which trains nothing: python stages/plan.py STUDY [--dry-run]

With --dry-run the points, and the expected hours, are printed and no file is written.
"""

from pathlib import Path

from miscope.core import MiscopeError
from miscope.scaling import documents, study
from miscope.workspace.command import run


def main(name: str, flag: str = "") -> None:
    if flag not in ("", "--dry-run"):
        raise MiscopeError(f"`{flag}` is unknown; allowed after the study: --dry-run.")
    plan = study.plan(study.load(Path(), name))
    lines = study.lines_of(plan) if flag else (f"{name}: {len(plan.points)} points planned", *plan.notes)
    if not flag:
        documents.write(documents.path(Path(), name, "plan.json"), plan)
    print("\n".join(lines))


if __name__ == "__main__":
    run(main)
