"""Write a variant's probe, the fixed inputs of all its analyses: python stages/probe.py VARIANT"""

from pathlib import Path

from miscope.workspace import Workspace, analysis
from miscope.workspace.command import run


def main(variant: str) -> None:
    workspace = Workspace(Path())
    print(f"{variant} probe: {analysis.write_probe(workspace.config, workspace.folder(variant)):,} inputs")


if __name__ == "__main__":
    run(main)
