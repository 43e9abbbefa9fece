"""Files of a fit's pictures: JSON and CSV of each, and one page of them all that needs no network."""

import html
import json
from pathlib import Path
from typing import Any

import pandas as pd
from plotly.offline import get_plotlyjs

from miscope.core import MiscopeError
from miscope.scaling import figures, laws, results, tables

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; font-size: 14px }} th {{ text-align: left; font-weight: 600 }}
td, th {{ padding: .1rem 1.2rem .1rem 0; vertical-align: top }} a {{ margin-right: 1rem; color: #0072b2 }}
details {{ overflow-x: auto }}
</style>
<script>{plotly}</script></head><body>
<h1>{title}</h1>
<table>{facts}</table>
<p>{links}</p>
{sections}
</body></html>
"""


def folder(root: Path, study: str) -> Path:
    return root / "artifacts" / "scaling" / study / "figures"


def load(root: Path, study: str) -> dict[str, Any]:
    """The content of fit.json.

    Raises:
        MiscopeError: there is none, or it is of another schema.
    """
    file = laws.path(root, study)
    if not file.is_file():
        raise MiscopeError(f"{file} does not exist. Run `dvc repro fit@{study}`.")
    found = json.loads(file.read_text(encoding="utf-8"))
    if found.get("schema") != laws.SCHEMA:
        raise MiscopeError(f"{file} is of another version. Run `dvc repro fit@{study}`.")
    return found


def write(root: Path, study: str) -> list[Path]:
    """Draws the study's fit; returns the files written. Those of pictures that are drawn no more are removed."""
    runs, fit = results.read(results.path(root, study), study), load(root, study)
    drawn = figures.drawn(runs, fit)
    files = {folder(root, study) / f"{one.name}.json": one.figure.to_json() for one in drawn}
    files |= {folder(root, study) / f"{one.name}.csv": one.table.to_csv(index=False) for one in drawn}
    files[folder(root, study) / "index.html"] = html_page(fit, drawn)
    for file, content in files.items():
        files.write(file, content)
    files.sweep(folder(root, study), set(files))
    return sorted(files)


def html_page(fit: tables.Fit, drawn: list[figures.Drawn]) -> str:
    """All pictures, the numbers with their intervals, and the checklist."""
    facts = {
        "runs": f"{fit['n_fitted']} fitted of {fit['n_runs']}",
        "N": fit["convention"],
        "methods": fit["disagreement"]["sentence"],
        "bias of IsoFLOP": bias_sentence(fit),
    }
    if fit["refusal"]:
        facts["refused"] = fit["refusal"]["sentence"]
    checks = pd.DataFrame(fit["checklist"]).fillna("not recorded")
    sections = [_section(one) for one in drawn]
    sections += [
        f'<h2 id="{name}">{name}</h2>\n{_table(table)}'
        for name, table in (("numbers", tables.estimates(fit)), ("targets", tables.targets(fit)), ("checklist", checks))
    ]
    return PAGE.format(
        title=html.escape(f"{fit['study']}: scaling law"),
        plotly=get_plotlyjs(),
        facts="".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items()),
        links=" ".join(
            f'<a href="#{name}">{name.replace("_", " ")}</a>'
            for name in (*(one.name for one in drawn), "numbers", "targets", "checklist")
        ),
        sections="\n".join(sections),
    )


def bias_sentence(fit: tables.Fit) -> str:
    """What the IsoFLOP method would say of runs without noise, at the very sizes of this study."""
    if not fit["bias"]:
        return "not known: no law was fitted, or no budget has enough sizes."
    parts = []
    for shape, one in fit["bias"].items():
        if one["a"] is None or not one["targets"]:
            parts.append(f"{shape}: no answer ({one['refusal']['sentence'] if one['refusal'] else 'refused'})")
            continue
        at = one["targets"][-1]
        parts.append(
            f"{shape}: a {one['a']:.3f} where the law has {one['a_of_law']:.3f}, N* at {at['budget']:.3g} FLOPs "
            f"{at['ratio'] - 1:+.1%} off"
        )
    return "on noise-free losses of the fitted law at the sizes that ran, " + "; ".join(parts) + "."


def _section(one: figures.Drawn) -> str:
    figure = one.figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=f"figure_{one.name}",
        config={"responsive": True, "displaylogo": False},
    )
    return (
        f'<h2 id="{one.name}">{one.name.replace("_", " ")}</h2>\n{figure}\n<p>{html.escape(one.reading)}</p>\n'
        f"<details><summary>table</summary>{_table(one.table.head(200))}</details>"
    )


def _table(table: pd.DataFrame) -> str:
    return table.to_html(index=False, float_format=lambda v: f"{v:.5g}", na_rep="", border=0)
