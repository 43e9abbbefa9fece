"""The command line: lists what a workspace holds, and declares variants. See `python -m miscope --help`."""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from miscope import catalog
from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import OverTraining
from miscope.workspace import Workspace, controls
from miscope.workspace.status import command

if TYPE_CHECKING:
    import pandas as pd


RENAMED = {"twin": "control", "order": "lead_lag", "answers": "calibration"}


def main() -> None:
    """Parse the command line and print; a user's mistake is one line on stderr and exit status 1 or 2."""
    parser = argparse.ArgumentParser(
        prog="python -m miscope",
        description="List what a workspace and the catalogue hold, and declare variants; `dvc repro` makes the rest.",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the folder with params.yaml (default: this one)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (function, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        if function is fit:
            sub.add_argument("path", help="a CSV with the columns loss and two of N, D and C, or a results.json")
        if function in (variant, lead_lag, plan, points, seeds, control, nulls):
            sub.add_argument("name")
        if function is lead_lag:
            text = "list only pairs with this measure, such as losses.test_loss"
            sub.add_argument("measure", nargs="?", help=text)
        if function is seeds:
            sub.add_argument("n", type=int, nargs="?", default=4, help="how many more seeds (default: 4)")
        if function is run:
            text = "as for `dvc repro`: report@NAME, stages/losses/dvc.yaml:analyze@NAME (default: everything)"
            sub.add_argument("targets", nargs="*", help=text)
            sub.add_argument("-j", "--jobs", type=int, default=0, help="cores to use (default: all)")
        if function is import_weights:
            sub.add_argument("path", help="a safetensors file, or a folder of such files, each named by its step")
            sub.add_argument("name", help="the variant's name")
            sub.add_argument("settings", nargs="*", help="as in params.yaml: family=modulo_addition modulus=113 ...")
    _check_renamed()
    given = parser.parse_args()
    arguments = [
        vars(given)[key] for key in ("path", "name", "n", "measure", "settings", "targets", "jobs") if key in given
    ]
    try:
        for line in COMMANDS[given.command][0](Workspace(given.root), *arguments):
            print(line)
    except MiscopeError as error:
        raise SystemExit(f"error: {error}") from None
    except BrokenPipeError:
        sys.stderr.close()


def _check_renamed() -> None:
    """Say the new name of a command that is called by its old one."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--root")
    first.add_argument("command", nargs="?")
    command = first.parse_known_args()[0].command
    if command in RENAMED:
        raise SystemExit(f"error: the command `{command}` is called `{RENAMED[command]}` now.")


def families(workspace: Workspace) -> Iterator[str]:
    for name in catalog.families():
        family = catalog.family(name)
        settings = ", ".join(f"{f.name}={f.default!r}" for f in fields(family))
        yield f"{name:24} {_first_line(sys.modules[family.__module__].__doc__)}\n{'':24} settings: {settings}"


def variants(workspace: Workspace) -> Iterator[str]:
    for name, declared in workspace.variants.items():
        yield f"{name:24} {declared.label:32} {_state(workspace, name)}"


def variant(workspace: Workspace, name: str) -> Iterator[str]:
    loaded = workspace.load(name)
    yield f"{name}: {loaded.label}, {len(loaded.steps)} checkpoints"
    for instrument in workspace.catalog.names:
        state = loaded.status(instrument)
        yield f"  {instrument:28} {state.state:16} {state.sentence}".rstrip()


def instruments(workspace: Workspace) -> Iterator[str]:
    for name in workspace.catalog.names:
        instrument = workspace.catalog.instrument(name)
        kind = "over training" if isinstance(instrument, OverTraining) else "per checkpoint"
        yield f"{name:28} {kind:16} {_first_line(sys.modules[instrument.compute.__module__].__doc__)}"
    for name, fault in workspace.catalog.faults.items():
        yield f"{name:28} {'cannot be loaded':16} {fault}"


def views(workspace: Workspace) -> Iterator[str]:
    catalog = workspace.catalog
    families = {declared.family_name: declared.family for declared in workspace.variants.values()}
    of_tasks = [view for family in families.values() for view in catalog.views_of_task(family).values()]
    for view in (*map(catalog.view, catalog.views()), *of_tasks):
        yield f"{view.name:40} {'one step' if view.is_per_step else 'over training':14} {view.question}"
    for name, fault in catalog.view_faults.items():
        yield f"{name:40} {'no views':14} {fault}"


def nulls(workspace: Workspace, name: str) -> Iterator[str]:
    loaded = workspace.load(name)
    for view in (*workspace.catalog.views(), *workspace.catalog.views_of_task(loaded.variant.family)):
        try:
            yield f"{view:40} {loaded.view(view).null()}"
        except NotApplicable:
            continue


def lead_lag(workspace: Workspace, name: str, measure: str | None) -> Iterator[str]:
    from miscope.report.lead_lag import lead_lag, variants_of

    chosen = variants_of(workspace, name)
    pairs = _asked(lead_lag(chosen), measure)
    yield f"{len(chosen)} variants: {', '.join(variant.name for variant in chosen)}"
    for row in pairs.itertuples():
        counts = f"in {row.leads} of {row.variants}, {row.lags} the other way, {row.undecided} undecided"
        yield f"{row.first:44} {row.lead:8,.0f} steps before {row.then:44} {counts}, p = {row.p:.2g}"


def _asked(pairs: "pd.DataFrame", measure: str | None) -> "pd.DataFrame":
    """The pairs with one measure; without a measure, pairs of two instruments, without single matrices and heads."""
    first, then = pairs["first"], pairs["then"]
    if measure is None:
        is_part = first.str.contains(" of ") | then.str.contains(" of ")
        return pairs[~is_part & (first.str.partition(".")[0] != then.str.partition(".")[0])]
    known = sorted({*first, *then})
    if measure not in known:
        near = get_close_matches(measure, known, n=1, cutoff=0)
        raise MiscopeError(f"No variant has an onset of `{measure}`; the nearest measure that has one: {near[0]}.")
    return pairs[(first == measure) | (then == measure)]


def import_weights(workspace: Workspace, path: str, name: str, settings: list[str]) -> Iterator[str]:
    from miscope.imports import declare

    yield from declare(workspace, path, name, settings)


def calibration(workspace: Workspace) -> Iterator[str]:
    from miscope.calibration import table

    measured = table.load(workspace)
    for row in measured.rows:
        if row.measured is not None and row.expected is not None:
            numbers = f"{row.measured:>11.6g} of {row.expected:>9.6g}"
            yield f"{row.verdict:6} {row.instrument:26} {numbers}  {row.quantity}"
    if stale := table.stale(measured, workspace.catalog):
        yield f"The code of {', '.join(stale)} changed after this table was made. Run `{table.COMMAND}`."
    yield from measured.lines()


def _state(workspace: Workspace, name: str) -> str:
    """untrained, trained, analysed or stale."""
    loaded = workspace.load(name)
    if not loaded.steps:
        return f"untrained: run `{command(name)}`"
    states = [loaded.status(instrument) for instrument in workspace.catalog.names]
    for state, word in (("stale", "stale"), ("missing", "trained")):
        if commands := [each.command for each in states if each.state == state]:
            make = max(commands, key=len)  # the one that forces DVC, if any needs it
            return f"{word}: {len(commands)} of {len(states)} instruments {state}; run `{make}`"
    return "analysed"


def plan(workspace: Workspace, name: str) -> Iterator[str]:
    from miscope.scaling import study  # imports torch, which the other commands do not need

    yield from study.lines_of(study.plan(study.load(workspace.root, name)))


def points(workspace: Workspace, name: str) -> Iterator[str]:
    from miscope.scaling import page

    yield from page.declare_points(workspace, name)


def fit(workspace: Workspace, path: str) -> Iterator[str]:
    from miscope.scaling import laws, page, results

    yield from page.lines_of(laws.fit_of(results.read(Path(path))))


def seeds(workspace: Workspace, name: str, n: int) -> Iterator[str]:
    yield from controls.declare_seeds(workspace, name, n)


def control(workspace: Workspace, name: str) -> Iterator[str]:
    yield from controls.declare_control(workspace, name)


def run(workspace: Workspace, targets: list[str], jobs: int) -> Iterator[str]:
    from miscope.workspace import runner

    yield from runner.lines(workspace.root, targets, jobs)


def stages(workspace: Workspace) -> Iterator[str]:
    from miscope.workspace import stage_files

    yield from stage_files.bring_up_to_date(workspace) or ["Every instrument has its stages; nothing to write."]


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]


COMMANDS: dict[str, tuple[Callable[..., Iterator[str]], str]] = {
    "families": (families, "list the tasks, with their settings"),
    "variants": (variants, "list the variants of params.yaml: untrained, trained, analysed or stale"),
    "variant": (variant, "list the state of every instrument's artifact of one variant"),
    "instruments": (instruments, "list what can be measured, at a checkpoint or over training"),
    "views": (views, "list what can be drawn, each view with its question"),
    "nulls": (nulls, "say of every view of a variant whether its last step shows more than chance would"),
    "lead_lag": (lead_lag, "compare all pairs of measures over the variants of a family: which changed first?"),
    "calibration": (calibration, "compare what instruments measure with known answers, after `make calibrate`"),
    "run": (run, "bring targets up to date as `dvc repro` does, independent stages side by side"),
    "stages": (stages, "write the stages of every instrument, stages/<instrument>/dvc.yaml"),
    "seeds": (seeds, "declare a variant with further seeds: does it happen again?"),
    "control": (control, "declare a variant's control run, which must fail; its curves are drawn behind"),
    "import": (import_weights, "declare a variant from weights that were trained elsewhere"),
    "plan": (plan, "print the points of a scaling study, warnings, and the hours that they take here"),
    "points": (points, "declare the points of a scaling study as variants, for instruments to measure"),
    "fit": (fit, "fit a scaling law to any runs, with intervals and refusals"),
}

if __name__ == "__main__":
    main()
