"""The page Scaling: what a study's runs say about the best use of compute, how surely, and what they cannot say."""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
import style

from miscope.core import MiscopeError
from miscope.renderers.theme import PALETTE
from miscope.scaling import figures, laws, page, results, tables, variants
from miscope.workspace import configuration


def page_of(root: Path) -> None:
    """One study: its numbers with intervals and refusals, its pictures, its checklist."""
    st.header("How does the loss scale?")
    studies = _studies(root)
    if not studies:
        st.info("There is no scaling study: params.yaml declares none under `scaling`, and artifacts/scaling is empty.")
        return
    name = st.selectbox("Study", studies, key="scaling.study")
    if not laws.path(root, name).is_file():
        style.say(f"The study `{name}` is not fitted. Run `dvc repro fit@{name}`.")
        return
    files = (results.path(root, name), laws.path(root, name))
    fit, drawn = _drawn(root, name, tuple((f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file()))
    st.markdown(_facts(fit))
    if fit["refusal"]:
        st.warning(f"**{fit['refusal']['kind']}**: {fit['refusal']['sentence']}")
    for refusal in _refusals(fit):
        st.warning(refusal)
    for one in drawn:
        st.markdown(f"#### {one.question}")
        st.plotly_chart(_without_question(one), key=f"scaling.{one.name}", theme=None)
        st.caption(one.reading)
        with st.expander("Table"):
            st.dataframe(one.table, hide_index=True, key=f"scaling.{one.name}.table")
    _numbers(fit)
    _instruments(root, name)


def _instruments(root: Path, study: str) -> None:
    """When a measure of any instrument moves, against the size of the model and the tokens seen."""
    st.markdown("#### When does a measure move, as models grow?")
    measure = st.text_input("Measure", "losses.test_loss", key="scaling.measure", help="as on the page Order")
    try:
        table = variants.against_scale(root, study, measure)
    except MiscopeError as error:
        style.say(str(error))
        return
    figure = go.Figure(layout={"template": "miscope", "height": 380, "margin": {"t": 20}})
    for i, (budget, part) in enumerate(table.groupby("budget", sort=True)):
        reach = {"type": "data", "symmetric": False, "array": 0 * part["by"], "arrayminus": part["by"] - part["before"]}
        figure.add_scatter(
            x=part["parameters"], y=part["by"], error_y=reach, mode="markers+lines", name=f"{budget:.3g} FLOPs",
            marker={"size": 9, "color": PALETTE[i % len(PALETTE)]},
        )  # fmt: skip
    figure.update_xaxes(type="log", title_text="parameters N")
    figure.update_yaxes(title_text="tokens seen when it has come half of its way", rangemode="tozero")
    st.plotly_chart(figure, key="scaling.measure.drawn", theme=None)
    st.caption("A bar reaches down to the checkpoint before: the move lies between the two.")
    st.dataframe(table, hide_index=True, key="scaling.measure.table")


def _studies(root: Path) -> list[str]:
    """Those that params.yaml declares, then those whose runs or fits lie there."""
    folder = root / "artifacts" / "scaling"
    lying = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return list(dict.fromkeys([*configuration.load(root).scaling, *lying]))


@st.cache_data(show_spinner="Drawing ...", max_entries=8)
def _drawn(root: Path, study: str, made_from: tuple[tuple[int, int], ...]) -> tuple[tables.Fit, list[figures.Drawn]]:
    fit = page.load(root, study)
    return fit, figures.drawn(results.read(results.path(root, study), study), fit)


def _facts(fit: tables.Fit) -> str:
    floor = "" if fit["entropy"] is None else f" The source's entropy is known: {fit['entropy']:.4f} nats."
    return (
        f"{fit['n_fitted']} of {fit['n_runs']} runs fitted. {fit['convention']}{floor}  \n"
        f"**Methods.** {fit['disagreement']['sentence']}  \n"
        f"**Bias of IsoFLOP,** {page.bias_sentence(fit)}"
    )


def _refusals(fit: tables.Fit) -> list[str]:
    """What is refused, one text for each kind; the sentences stand in the tables below."""
    asked = [tables.estimates(fit).rename(columns={"parameter": "what"})]
    asked += [t.assign(what=t["quantity"] + t["budget"].map(" at {:.3g} FLOPs".format)) for t in [tables.targets(fit)]]
    minima = tables.minima(fit)
    places = minima["budget"].map("minimum at {:.3g} FLOPs".format)
    asked.append(minima.assign(what=places, method="IsoFLOP, " + minima["shape"]))
    found: dict[str, dict[str, list[str]]] = {}
    for row in pd.concat(asked)[["method", "what", "refused"]].itertuples():
        if row.refused:
            found.setdefault(row.refused.partition(": ")[0], {}).setdefault(row.method, []).append(row.what)
    return [
        f"**Refused: {kind}**  \n" + "  \n".join(f"{method}: {', '.join(names)}" for method, names in by_method.items())
        for kind, by_method in found.items()
    ]


def _without_question(one: figures.Drawn) -> object:
    """The figure without its first line, which stands above it as a heading."""
    return one.figure.update_layout(title_text="", margin_t=24, height=one.figure.layout.height - 60)


def _numbers(fit: tables.Fit) -> None:
    for text, table in (
        ("What the methods found", tables.estimates(fit)),
        ("At a target budget", tables.targets(fit)),
        ("With and without the runs in question", _sensitivity(fit)),
        ("Runs that stand out or are left out", _questioned(fit)),
        ("For whoever repeats it", pd.DataFrame(fit["checklist"]).fillna("not recorded")),
    ):
        st.markdown(f"##### {text}")
        if len(table):
            st.dataframe(table, hide_index=True, key=f"scaling.{text}")
        else:
            st.caption("none")


def _sensitivity(fit: tables.Fit) -> pd.DataFrame:
    rows = [
        {"runs": row["runs"], "n": row["n"], **(row["law"] or {}), "a": row.get("a"), "N*": row.get("parameters"),
         "at FLOPs": row["budget"], "refused": row["refusal"]["sentence"] if row["refusal"] else ""}
        for row in fit["sensitivity"]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _questioned(fit: tables.Fit) -> pd.DataFrame:
    rows = [{"id": row["id"], "left out": True, "reason": row["reason"]} for row in fit["set_aside"]]
    rows += [{"id": row["id"], "left out": False, "reason": "; ".join(row["reasons"])} for row in fit["outliers"]]
    return pd.DataFrame(rows)
