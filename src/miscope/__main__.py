"""What there is, and in what state: `python -m miscope --help`."""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from miscope import api, catalog
from miscope.calibration import table as known_answers
from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import OverTraining
from miscope.report import lead_lag
from miscope.workspace import configuration, files, relatives, status


def main() -> None:
    """Parse the command line and print; a user's mistake is one line on stderr and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m miscope", description="List what this workspace and the catalogue hold."
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the folder with params.yaml (default: here)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (function, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        if function is fit:
            sub.add_argument("path", help="a CSV with the columns loss and two of N, D and C, or a results.json")
        if function in (variant, lead_lag, plan, points, seeds, twin, nulls):
            sub.add_argument("name")
        if function is lead_lag:
            text = "show only the pairs with this measure, such as losses.test_loss"
            sub.add_argument("measure", nargs="?", help=text)
        if function is seeds:
            sub.add_argument("n", type=int, nargs="?", default=4, help="how many more (default: 4)")
        if function is plan:
            sub.add_argument("--dry-run", action="store_true", help="write nothing, which this command never does")
        if function is import_weights:
            sub.add_argument("path", help="a safetensors file, or a folder of them, each named by its step")
            sub.add_argument("name", help="of the variant")
            sub.add_argument("settings", nargs="*", help="as in params.yaml: family=modulo_addition modulus=113 ...")
    given = parser.parse_args()
    function = COMMANDS[given.command][0]
    try:
        for line in function(
            given.root, *(vars(given)[key] for key in ("path", "name", "n", "measure", "settings") if key in given)
        ):
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
    for name in configuration.load(root).variants:
        yield f"{name:24} {api.load_variant(name, root).label:32} {_state(root, name)}"


def variant(root: Path, name: str) -> Iterator[str]:
    loaded = api.load_variant(name, root)
    yield f"{name}: {loaded.label}, {len(loaded.steps)} checkpoints"
    for instrument in catalog.instruments():
        state = loaded.status(instrument)
        yield f"  {instrument:28} {state.state:16} {state.sentence}".rstrip()


def instruments(root: Path) -> Iterator[str]:
    for name in catalog.instruments():
        analyzer = catalog.instrument(name)
        kind = "over training" if isinstance(analyzer, OverTraining) else "per checkpoint"
        yield f"{name:24} {kind:16} {_first_line(sys.modules[analyzer.compute.__module__].__doc__)}"


def views(root: Path) -> Iterator[str]:
    for name in catalog.views():
        view = catalog.view(name)
        yield f"{name:36} {'one step' if view.is_per_step else 'over training':14} {view.question}"


def nulls(root: Path, name: str) -> Iterator[str]:
    loaded = api.load_variant(name, root)
    for view in catalog.views():
        try:
            yield f"{view:40} {loaded.view(view).null()}"
        except NotApplicable:
            continue


def lead_lag(root: Path, name: str, measure: str | None) -> Iterator[str]:
    chosen = lead_lag.variants_of(root, name)
    if not chosen:
        known = ", ".join(sorted({v.family_name for v in configuration.load(root).variants.values()}))
        raise MiscopeError(f"params.yaml declares no variant of `{name}`; it declares some of: {known}.")
    pairs = _asked(lead_lag.lead_lag(root, chosen), measure)
    yield f"{len(chosen)} variants: {', '.join(chosen)}"
    for row in pairs.itertuples():
        counts = f"in {row.leads} of {row.variants}, {row.lags} the other way, {row.undecided} undecided"
        yield f"{row.first:44} {row.lead:8,.0f} steps before {row.then:44} {counts}, p = {row.p:.2g}"


def _asked(table: pd.DataFrame, measure: str | None) -> pd.DataFrame:
    """The pairs with one measure; without one, those that are no part of a list, of two instruments."""
    first, then = table["first"], table["then"]
    if measure is None:
        is_part = first.str.contains(" of ") | then.str.contains(" of ")
        return table[~is_part & (first.str.partition(".")[0] != then.str.partition(".")[0])]
    known = sorted({*first, *then})
    if measure not in known:
        near = get_close_matches(measure, known, n=1, cutoff=0)
        raise MiscopeError(f"No measure `{measure}` moved; the nearest that did: {', '.join(near)}.")
    return table[(first == measure) | (then == measure)]


def import_weights(root: Path, path: str, name: str, settings: list[str]) -> Iterator[str]:
    from miscope.importing import declare

    yield from declare(root, path, name, settings)


def answers(root: Path) -> Iterator[str]:
    found = known_answers.load(root)
    for row in found.rows:
        if row.measured is not None and row.expected is not None:
            numbers = f"{row.measured:>11.6g} of {row.expected:>9.6g}"
            yield f"{row.verdict:6} {row.instrument:26} {numbers}  {row.quantity}"
    if known_answers.is_stale(found):
        yield f"The code has changed since. Run `{known_answers.COMMAND}`."
    yield from found.lines()


def plan(root: Path, name: str) -> Iterator[str]:
    from miscope.scaling import planner, study, timing  # with torch, which the other commands do without

    yield from timing.lines(planner.plan(study.load(root, name)))


def _state(root: Path, name: str) -> str:
    """untrained, trained, analysed or stale."""
    if not files.folder_of(root, name).checkpoint_steps():
        return f"untrained: run `{status.command(name)}`"
    states = [status.status(root, name, instrument).state for instrument in catalog.instruments()]
    if "stale" in states:
        return f"stale: {states.count('stale')} of {len(states)} instruments; run `{status.command(name)}`"
    if "missing" in states:
        return f"trained: {states.count('missing')} of {len(states)} instruments missing; run `{status.command(name)}`"
    return "analysed"


def points(root: Path, name: str) -> Iterator[str]:
    from miscope.scaling import variants

    yield from variants.declare(root, name)


def seeds(root: Path, name: str, n: int) -> Iterator[str]:
    yield from relatives.declare_seeds(root, name, n)


def twin(root: Path, name: str) -> Iterator[str]:
    yield from relatives.declare_twin(root, name)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]


def fit(root: Path, path: str) -> Iterator[str]:
    from miscope.scaling import laws, page, results, tables

    found = laws.study(results.read(Path(path)))
    if found["refusal"]:
        yield f"refused, {found['refusal']['kind']}: {found['refusal']['sentence']}"
    for row in tables.estimates(found).to_dict("records"):
        ends = "" if pd.isna(row["low"]) or pd.isna(row["high"]) else f"{row['low']:.5g} to {row['high']:.5g}"
        said = row["refused"] or f"{row['value']:.5g}"
        yield f"{row['method']:18} {row['parameter']:6} {ends:24} {said}"
    yield from (f"left out: {row['id']}: {row['reason']}" for row in found["set_aside"])
    yield from (f"stands out: {row['id']}: {'; '.join(row['reasons'])}" for row in found["outliers"])
    for row in found["sensitivity"]:
        law = ", ".join(f"{name} {value:.5g}" for name, value in (row["law"] or {}).items())
        yield f"{row['runs']}, {row['n']}: {law or row['refusal']['sentence']}"
    yield found["disagreement"]["sentence"]
    yield f"Bias of IsoFLOP: {page.bias_sentence(found)}"


COMMANDS: dict[str, tuple[Callable[..., Iterator[str]], str]] = {
    "families": (families, "the tasks that can be trained, with their settings"),
    "variants": (variants, "what params.yaml declares: untrained, trained, analysed or stale"),
    "variant": (variant, "one variant, instrument by instrument"),
    "instruments": (instruments, "what can be measured, at a checkpoint or over training"),
    "views": (views, "what can be drawn, each with its question"),
    "plan": (plan, "the points of a scaling study, what is odd about them, and the hours that they take here"),
    "points": (points, "declare the points of a scaling study as variants, for the instruments to look at"),
    "nulls": (nulls, "of every view of a variant at its last step, whether what it shows is beyond chance"),
    "seeds": (seeds, "declare a variant in further seeds: is it the same again?"),
    "twin": (twin, "declare a variant's control, which must fail, to be drawn behind it: would I see this by chance?"),
    "order": (lead_lag, "which measure moved first: every two of them, over all variants of a family"),
    "fit": (fit, "a scaling law fitted to anyone's runs, with intervals and refusals"),
    "import": (import_weights, "weights in TransformerLens' names, trained elsewhere, as a variant"),
    "answers": (answers, "what instruments find on models whose answer is known, as `make calibrate` left it"),
}

if __name__ == "__main__":
    main()
