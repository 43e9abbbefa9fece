"""Where a study's plan lies, and what reads it: the planner writes it, the runs go by it."""

import json
from pathlib import Path
from typing import Any

from miscope.core import MiscopeError

SCHEMA = 1


def path(root: Path, study: str) -> Path:
    return root / "artifacts" / "scaling" / study / "plan.json"


def read(root: Path, study: str) -> dict[str, Any]:
    """The plan that the stage `plan` wrote.

    Raises:
        MiscopeError: there is none, or it is of another version.
    """
    file = path(root, study)
    if not file.is_file():
        raise MiscopeError(f"{file} does not exist. Run `dvc repro plan@{study}`.")
    found = json.loads(file.read_text(encoding="utf-8"))
    if found.get("schema") != SCHEMA:
        raise MiscopeError(
            f"{file} has schema {found.get('schema')!r}; allowed: {SCHEMA}. Run `dvc repro -f plan@{study}`."
        )
    return found
