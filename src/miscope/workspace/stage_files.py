"""Writes `stages/<instrument>/dvc.yaml`: for every variant, a stage that measures and one that draws.

The files are derived from the catalog, committed, and held to it by a test. They name no variant: DVC takes those from
params.yaml.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from miscope.catalog import Plugin
from miscope.core import MiscopeError
from miscope.instrument import OverTraining
from miscope.keys import SOURCE, closure
from miscope.workspace import Workspace
from miscope.workspace.files import write

COMMAND = "python -m miscope stages"
HEAD = f"# Written by `{COMMAND}`; do not edit.\nvars: [../../params.yaml:variants]\n\nstages:\n"
STAGE = """\
  {stage}:
    foreach: ${{variants}}
    do:
      wdir: ../..
      cmd: env OMP_NUM_THREADS=1 python stages/{stage}.py ${{key}} {instrument}
      deps:
{deps}
      outs:
        - {out}: {{persist: true}}
"""


def bring_up_to_date(workspace: Workspace) -> list[str]:
    """Write the files that differ and remove those of instruments that are gone; what comes back are lines to print."""
    said = []
    for path, text in sorted(wanted(workspace).items()):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write(path, text)
            said.append(f"wrote {path.relative_to(workspace.root)}")
    for path in gone(workspace):
        path.unlink()
        path.with_name("dvc.lock").unlink(missing_ok=True)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
        for folder in workspace.artifacts.glob(f"*/*/{path.parent.name}"):
            if folder.parent.name in ("instruments", "views"):
                shutil.rmtree(folder)
        said.append(f"removed {path.relative_to(workspace.root)}")
    return said


def check(workspace: Workspace) -> None:
    """
    Raises:
        MiscopeError: the stages of an instrument are missing or differ; the command that writes them.
    """
    for path, text in sorted(wanted(workspace).items()):
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            state = "differ from its code" if path.is_file() else "are missing"
            raise MiscopeError(f"The stages of the instrument `{path.parent.name}` {state}. Run `{COMMAND}`.")
    for path in gone(workspace):
        raise MiscopeError(f"There is no instrument `{path.parent.name}`, but it has stages. Run `{COMMAND}`.")


def wanted(workspace: Workspace) -> dict[Path, str]:
    """Path -> text, for every instrument that stores or draws anything."""
    catalog = workspace.catalog
    plugins = (catalog.plugin(name) for name in catalog.names)
    texts = {plugin.name: "\n".join(_stages(workspace, plugin)) for plugin in plugins}
    return {path_of(workspace, name): HEAD + text for name, text in texts.items() if text}


def gone(workspace: Workspace) -> list[Path]:
    """Files of instruments that no longer exist."""
    there = (workspace.root / "stages").glob("*/dvc.yaml")
    ours = (path for path in there if path.read_text(encoding="utf-8").startswith(HEAD[:40]))
    return sorted(path for path in ours if path.parent.name not in workspace.catalog.plugins)


def path_of(workspace: Workspace, instrument: str) -> Path:
    return workspace.root / "stages" / instrument / "dvc.yaml"


def _stages(workspace: Workspace, plugin: Plugin) -> Iterator[str]:
    name, instrument = plugin.name, plugin.instrument
    own = f"artifacts/${{key}}/instruments/{name}"
    is_stored = getattr(instrument, "is_stored", True)
    if is_stored:
        deps = [
            "artifacts/${key}/checkpoints",
            "artifacts/${key}/probe.safetensors",
            f"artifacts/keys/instruments/{name}",
        ]
        if isinstance(instrument, OverTraining):
            deps += ["artifacts/${key}/curves.csv"] if instrument.reads_curve else []
            deps += [f"artifacts/${{key}}/instruments/{needed.name}" for needed in instrument.needs]
        yield _stage("analyze", name, [*deps, *_beside(workspace, plugin, "measure")], own)
    if plugin.has_views:
        read = own if is_stored else "artifacts/${key}/checkpoints"
        phases = "artifacts/${key}/instruments/phases"
        deps = [read, phases, "artifacts/${key}/probe.safetensors"]
        deps += ["artifacts/keys/tasks/${key}", f"artifacts/keys/views/{name}"]
        yield _stage("render", name, [*deps, *_beside(workspace, plugin, "views")], f"artifacts/${{key}}/views/{name}")


def _stage(stage: str, instrument: str, deps: list[str], out: str) -> str:
    lines = "\n".join(f"        - {dep}" for dep in dict.fromkeys(sorted(deps)))
    return STAGE.format(stage=stage, instrument=instrument, deps=lines, out=out)


def _beside(workspace: Workspace, plugin: Plugin, part: str) -> list[str]:
    """The code of a plugin that lies in the workspace, but not in this package."""
    root = workspace.root.resolve()
    files = (path.resolve() for path in closure(plugin.source(part)))
    return [
        str(f.relative_to(root)) for f in files if f.is_relative_to(root) and not f.is_relative_to(SOURCE.resolve())
    ]
