"""The page Scaling: what a study's runs say about the best use of compute, with intervals and refusals."""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
import style

from miscope import keys
from miscope.core import MiscopeError
from miscope.renderers.theme import PALETTE
from miscope.scaling import documents, results, views
from miscope.scaling import page as tables
from miscope.scaling.fit import Fit
from miscope.workspace import Workspace


def page(workspace: Workspace) -> None:
    """One study: its estimates with intervals and refusals, its figures, its checklist."""
    st.header("How does the loss scale?")
    root, studies = workspace.root, _studies(workspace)
    if not studies:
        st.info("There is no scaling study. Declare one in params.yaml under `scaling:`; docs/scaling.md says how.")
        return
    name = st.selectbox("Study", studies, key="scaling.study")
    files = [documents.path(root, name, file) for file in ("fit.json", "results.json")]
    if not files[0].is_file():
        style.say(f"No law is fitted to the study `{name}` yet. Run `dvc repro plot@{name}`.")
        return
    fit, drawn = _drawn(root, name, tuple(map(keys.stamp, files)))
    st.markdown(_facts(fit))
    if fit.refusal:
        st.warning(f"**{fit.refusal.kind}**: {fit.refusal.sentence}")
    for refusal in _refusals(fit):
        st.warning(refusal)
    for view, (table, figure) in zip(views.views_of(fit), drawn, strict=True):
        st.markdown(f"#### {view.question}")
        st.plotly_chart(_without_question(figure), key=f"scaling.{view.leaf}", theme=None)
        st.caption(view.reading)
        with st.expander("Table"):
            st.dataframe(table, hide_index=True, key=f"scaling.{view.leaf}.table")
    _numbers(fit)
    _instruments(workspace, name)


def _instruments(workspace: Workspace, study: str) -> None:
    """When a measure of any instrument changes, against the size of the model and the tokens seen."""
    st.markdown("#### When does a measure change, as models grow?")
    measure = st.text_input("Measure", "losses.test_loss", key="scaling.measure", help="named as on the page Lead-lag")
    try:
        table = tables.against_scale(workspace, study, measure)
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
    figure.update_yaxes(title_text="tokens seen at half of its total change", rangemode="tozero")
    st.plotly_chart(figure, key="scaling.measure.drawn", theme=None)
    st.caption(
        "The measure reached half of its total change between two checkpoints, at the top and at the bottom of its bar."
    )
    st.dataframe(table, hide_index=True, key="scaling.measure.table")


def _studies(workspace: Workspace) -> list[str]:
    """Those that params.yaml declares, then others that have files in artifacts/scaling."""
    folder = workspace.artifacts / "scaling"
    on_disk = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return list(dict.fromkeys([*workspace.config.scaling, *on_disk]))


@st.cache_data(show_spinner="Drawing ...", max_entries=8)
def _drawn(
    root: Path, study: str, made_from: tuple[tuple[int, int], ...]
) -> tuple[Fit, list[tuple[pd.DataFrame, go.Figure]]]:
    fit, runs = Fit.of_study(root, study), results.of_study(root, study)
    return fit, [views.figure_of(view, fit, runs) for view in views.views_of(fit)]


def _facts(fit: Fit) -> str:
    floor = "" if fit.entropy is None else f" The entropy of the data is known: {fit.entropy:.4f} nats."
    return (
        f"{fit.n_fitted} of {fit.n_runs} runs fitted. {fit.convention}{floor}  \n"
        f"**Methods.** {fit.disagreement.sentence}  \n"
        f"**Bias of IsoFLOP,** {fit.bias_sentence}"
    )


def _refusals(fit: Fit) -> list[str]:
    """What is refused, one text for each kind of reason; the full sentences are in the tables below."""
    asked = [tables.estimates(fit).rename(columns={"parameter": "what"})]
    asked += [t.assign(what=t["quantity"] + t["budget"].map(" at {:.3g} FLOPs".format)) for t in [tables.targets(fit)]]
    minima = views.minima_of(fit)
    what = minima["budget"].map("minimum at {:.3g} FLOPs".format)
    asked.append(minima.assign(what=what, method="IsoFLOP, " + minima["shape"]))
    refused: dict[str, dict[str, list[str]]] = {}
    for row in pd.concat(asked)[["method", "what", "refused"]].itertuples():
        if row.refused:
            refused.setdefault(row.refused.partition(": ")[0], {}).setdefault(row.method, []).append(row.what)
    return [
        f"**Refused: {kind}**  \n" + "  \n".join(f"{method}: {', '.join(names)}" for method, names in by_method.items())
        for kind, by_method in refused.items()
    ]


def _without_question(figure: go.Figure) -> go.Figure:
    """The figure without its title, which the page shows as a heading above it."""
    return figure.update_layout(title_text="", margin_t=24, height=figure.layout.height - 60)


def _numbers(fit: Fit) -> None:
    for text, table in (
        ("Estimates of each method", tables.estimates(fit)),
        ("At a target budget", tables.targets(fit)),
        ("Sensitivity to which runs are fitted", tables.sensitivity(fit)),
        ("Outliers, and runs that the fit leaves out", tables.questioned(fit)),
        ("Checklist for reproducing the study", tables.checklist(fit)),
    ):
        st.markdown(f"##### {text}")
        if len(table):
            st.dataframe(table, hide_index=True, key=f"scaling.{text}")
        else:
            st.caption("none")
