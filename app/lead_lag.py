"""The page Lead-lag: which measure changed first, in every variant of a family, with a sign test against chance."""

import time
from collections.abc import Mapping
from typing import Literal

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from data import OpenVariant, OpenWorkspace, Stamp

from miscope.renderers.theme import PALETTE
from miscope.report import lead_lag
from miscope.report.lead_lag import PART, Curve
from miscope.workspace.loaded import LoadedVariant

SHOWN = 45  # measures in the figure: those that changed first


def page(workspace: OpenWorkspace) -> None:
    """Onsets as intervals, one colour per variant; below, a table of all pairs of measures."""
    st.header("Which measure changed first?")
    if not workspace.variants:
        st.info("params.yaml declares no variants. Add one under `variants:`.")
        return
    names, made_from = _chosen(workspace)
    if not names:
        st.info("Choose at least one variant.")
        return
    onsets = _onsets(workspace, names, made_from)
    if not st.toggle("Show single matrices, heads and sites", key="lead_lag.parts"):
        onsets = onsets[~onsets["measure"].str.contains(PART)]
    st.plotly_chart(_drawn(onsets), key="lead_lag.onsets", theme=None)
    st.caption(
        "Each bar is the interval between two checkpoints in which a measure reached half of its total change and did "
        "not fall back. Where two bars overlap, the order is unknown. More checkpoints make the bars shorter."
    )
    table = _pairs(workspace, names, made_from)
    if len(table):
        shown = set(onsets["measure"])
        table = table[table["first"].isin(shown) & table["then"].isin(shown)]
    st.markdown("##### Pairs of measures")
    st.dataframe(table, hide_index=True, key="lead_lag.pairs")
    st.caption(
        "`leads`, `lags`, `undecided`: in how many variants the first measure changed before the second, after it, or "
        "in an overlapping interval. `lead`: the median lead in steps. `p`: the probability of counts at least this "
        f"uneven if neither measure led (sign test). {_least_p(len(names))}"
    )
    _changes(workspace, names, made_from, sorted(set(onsets["measure"])))


def _chosen(workspace: OpenWorkspace) -> tuple[tuple[str, ...], Stamp]:
    """The chosen variants of one family, and their stamp; the page opens on a family with a trained variant."""
    variants = workspace.variants.values()
    families = sorted({variant.family_name for variant in variants})
    trained = (v.family_name for v in variants if workspace.folder(v.name).record.is_file())
    left, right = st.columns([1, 2])
    first = families.index(next(trained, families[0]))
    family = left.selectbox("Family", families, index=first, key="lead_lag.family")
    offered = [variant.name for variant in lead_lag.variants_of(workspace, family)]
    names = right.multiselect("Variants", offered, default=offered, key=f"lead_lag.variants.{family}")
    chosen = [workspace.load(name) for name in names]
    _read_all(chosen)
    return tuple(names), hash(tuple(map(_made_from, chosen)))


def _least_p(n: int) -> str:
    """The smallest p that the sign test can give for so many variants, as a sentence."""
    return f"With {n} variant{'s' * (n > 1)} it is at least {0.5 ** (n - 1):.2g}; `python -m miscope seeds` adds more."


def _changes(workspace: OpenWorkspace, names: tuple[str, ...], made_from: Stamp, measures: list[str]) -> None:
    """The change points of one measure, with the usual penalty or the one at the elbow."""
    with st.expander("Change points of one measure"):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        measure = left.selectbox("Measure", measures, key="lead_lag.measure")
        at_elbow = right.toggle("Penalty at the elbow", key="lead_lag.elbow")
        table = _change_points(workspace, names, made_from, measure, "elbow" if at_elbow else "usual")
        st.dataframe(table, hide_index=True, key="lead_lag.changes")
        st.caption(
            "A change point is a step at which the curve changes its level or its slope. The curve is divided so that "
            "the squared error plus `penalty` for every change point is smallest. The usual penalty is 2 noise² ln n. "
            "The penalty at the elbow is the middle of the widest range of penalties that give the same number of "
            "change points. Doubt a change point that only one of the two penalties gives."
        )


# ---------------------------------------------------------------- what is read, kept while the files do not change


def _read_all(variants: list[OpenVariant]) -> None:
    """Read the measures of every variant, and show the time left."""
    start, bar = time.monotonic(), st.empty()
    for i, variant in enumerate(variants):
        left = (time.monotonic() - start) / i * (len(variants) - i) if i else 0.0
        if left > 1:
            bar.progress(i / len(variants), f"Reading {variant.name}; about {left:.0f} s left")
        _read(variant)
    bar.empty()


def _read(variant: LoadedVariant) -> Mapping[str, Curve]:
    assert isinstance(variant, OpenVariant), variant.name
    return _measures(variant.workspace, variant.name, _made_from(variant))


def _made_from(variant: OpenVariant) -> Stamp:
    """The stamp of all files that any stored artifact of a variant depends on."""
    return variant.stamp(*variant.workspace.catalog.stored)


@st.cache_data(show_spinner=False, max_entries=32)
def _measures(workspace: OpenWorkspace, name: str, made_from: Stamp) -> dict[str, Curve]:
    return lead_lag.measures(workspace.load(name))


@st.cache_data(show_spinner="Computing the onsets ...", max_entries=8)
def _onsets(workspace: OpenWorkspace, names: tuple[str, ...], made_from: Stamp) -> pd.DataFrame:
    return lead_lag.onsets([workspace.load(name) for name in names], has_sharpness=True, read=_read)


@st.cache_data(show_spinner="Comparing the measures ...", max_entries=8)
def _pairs(workspace: OpenWorkspace, names: tuple[str, ...], made_from: Stamp) -> pd.DataFrame:
    return lead_lag.lead_lag([workspace.load(name) for name in names], read=_read)


@st.cache_data(show_spinner="Computing the change points ...", max_entries=16)
def _change_points(
    workspace: OpenWorkspace, names: tuple[str, ...], made_from: Stamp, measure: str, penalty: Literal["usual", "elbow"]
) -> pd.DataFrame:
    return lead_lag.changes([workspace.load(name) for name in names], measure, penalty, read=_read)


# ---------------------------------------------------------------- the figure


def _drawn(onsets: pd.DataFrame) -> go.Figure:
    """One row per measure, the earliest on top, and a bar per variant."""
    measures = onsets.groupby("measure")["by"].median().sort_values(kind="stable").index[:SHOWN]
    figure = go.Figure(layout={"template": "miscope"})
    for i, (name, rows) in enumerate(onsets[onsets["measure"].isin(measures)].groupby("variant")):
        figure.add_bar(
            y=rows["measure"], x=rows["by"] - rows["before"], base=rows["before"], orientation="h", name=str(name),
            marker_color=PALETTE[i % len(PALETTE)],
            customdata=rows[["before", "by", "start", "end", "width", "sharpness"]],
            hovertemplate="%{y}<br>after step %{customdata[0]:,}, by step %{customdata[1]:,}<br>"
            "from %{customdata[2]:.3g} to %{customdata[3]:.3g}; 10 % to 90 % of the change in %{customdata[4]:,} steps"
            "<br>width in ln step: %{customdata[5]:.3g} (NaN: no logistic curve fits)"
            "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_yaxes(automargin=True, categoryorder="array", categoryarray=list(measures)[::-1])
    figure.update_layout(height=140 + 22 * len(measures), barmode="group", xaxis_title="step", margin={"t": 30})
    return figure
