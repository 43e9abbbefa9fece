"""Write a variant's probe, the fixed inputs of all its analyses: python stages/probe.py VARIANT"""

from pathlib import Path

from miscope.workspace import analysis
from miscope.workspace.command import run


def main(variant: str) -> None:
    print(f"{variant} probe: {analysis.write_probe(Path(), variant):,} inputs")


if __name__ == "__main__":
    run(main)
