"""What there is, and in what state: `python -m miscope --help`."""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

from miscope import analysis, api, catalog, config, order, store
from miscope.core import MiscopeError, OverTraining


def main() -> None:
    """Parse the command line and print; a user's mistake is one line on stderr and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m miscope", description="List what this workspace and the catalogue hold."
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the folder with params.yaml (default: here)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (function, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        if function in (stage, variant, lead_lag):
            sub.add_argument("name")
    given = parser.parse_args()
    function = COMMANDS[given.command][0]
    try:
        for line in function(given.root, *([given.name] if "name" in given else [])):
            print(line)
    except MiscopeError as error:
        raise SystemExit(f"error: {error}") from None
    except BrokenPipeError:
        sys.stderr.close()


def families(root: Path) -> Iterator[str]:
    for name in catalog.families():
        family = catalog.family(name)
        settings = ", ".join(f"{f.name}={f.default!r}" for f in fields(family))
        yield f"{name:24} {_first_line(sys.modules[family.__module__].__doc__)}\n{'':24} settings: {settings}"


def variants(root: Path) -> Iterator[str]:
    for name in config.load(root).variants:
        yield f"{name:24} {api.load_variant(name, root).label:32} {_state(root, name)}"


def variant(root: Path, name: str) -> Iterator[str]:
    loaded = api.load_variant(name, root)
    yield f"{name}: {loaded.label}, {len(loaded.steps)} checkpoints"
    for instrument in catalog.instruments():
        state = loaded.status(instrument)
        yield f"  {instrument:24} {state.state:16} {state.sentence}".rstrip()


def instruments(root: Path) -> Iterator[str]:
    for name in catalog.instruments():
        analyzer = catalog.instrument(name)
        kind = "over training" if isinstance(analyzer, OverTraining) else "per checkpoint"
        yield f"{name:24} {kind:16} {_first_line(sys.modules[analyzer.compute.__module__].__doc__)}"


def views(root: Path) -> Iterator[str]:
    for name in catalog.views():
        view = catalog.view(name)
        yield f"{name:36} {'one step' if view.is_per_step else 'over training':14} {view.question}"


def lead_lag(root: Path, name: str) -> Iterator[str]:
    chosen = order.variants_of(root, name)
    if not chosen:
        known = ", ".join(sorted({v.family_name for v in config.load(root).variants.values()}))
        raise MiscopeError(f"params.yaml declares no variant of `{name}`; it declares some of: {known}.")
    yield f"{len(chosen)} variants: {', '.join(chosen)}"
    for row in order.lead_lag(root, chosen).itertuples():
        counts = f"in {row.leads} of {row.variants}, {row.lags} the other way, {row.undecided} undecided"
        yield f"{row.first:44} {row.lead:8,.0f} steps before {row.then:44} {counts}, p = {row.p:.2g}"


def stage(root: Path, name: str) -> Iterator[str]:
    from miscope.stagefiles import stage_file

    yield stage_file(name).rstrip("\n")


def stages(root: Path) -> Iterator[str]:
    from miscope.stagefiles import write_all

    written = write_all(root)
    yield "\n".join(f"wrote {path}" for path in written) or "all stage files are up to date"


def _state(root: Path, name: str) -> str:
    """untrained, trained, analysed or stale."""
    if not store.folder(root, name).checkpoint_steps():
        return f"untrained: run `{analysis.command(name)}`"
    states = [analysis.status(root, name, instrument).state for instrument in catalog.instruments()]
    if "stale" in states:
        return f"stale: {states.count('stale')} of {len(states)} instruments; run `{analysis.command(name)}`"
    if "missing" in states:
        return (
            f"trained: {states.count('missing')} of {len(states)} instruments missing; run `{analysis.command(name)}`"
        )
    return "analysed"


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]


COMMANDS: dict[str, tuple[Callable[..., Iterator[str]], str]] = {
    "families": (families, "the tasks that can be trained, with their settings"),
    "variants": (variants, "what params.yaml declares: untrained, trained, analysed or stale"),
    "variant": (variant, "one variant, instrument by instrument"),
    "instruments": (instruments, "what can be measured, at a checkpoint or over training"),
    "views": (views, "what can be drawn, each with its question"),
    "order": (lead_lag, "which measure moved first: every two of them, over all variants of a family"),
    "stage": (stage, "print the dvc.yaml of an instrument, derived from its code"),
    "stages": (stages, "bring every stages/<instrument>/dvc.yaml up to date"),
}

if __name__ == "__main__":
    main()
