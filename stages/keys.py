"""Check params.yaml, and write what decides the outs of every stage: python stages/keys.py"""

from pathlib import Path

from miscope.workspace import Workspace, stage_files, stage_keys
from miscope.workspace.command import run


def main() -> None:
    workspace = Workspace(Path())
    stage_files.check(workspace)
    print(f"keys: {stage_keys.bring_up_to_date(workspace)} changed")


if __name__ == "__main__":
    run(main)
