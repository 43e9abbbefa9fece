"""The page Order: which measure moved first, in every variant of a family, and what chance would make of it."""

import time
from pathlib import Path
from typing import Literal

import data
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from miscope.renderers.theme import PALETTE
from miscope.report import lead_lag
from miscope.workspace import configuration, files

SHOWN = 45  # measures in the picture: those that moved first


def page(root: Path) -> None:
    """Onsets as intervals, a colour per variant; below, the table of every two measures."""
    st.header("What moved first?")
    families = sorted({variant.family_name for variant in configuration.load(root).variants.values()})
    left, right = st.columns([1, 2])
    drawn = [
        v.family_name
        for v in configuration.load(root).variants.values()
        if files.folder_of(root, v.name).record.is_file()
    ]
    first = families.index(drawn[0]) if drawn else 0
    family = left.selectbox("Family", families, index=first, key="order.family")
    offered = lead_lag.variants_of(root, family)
    chosen = right.multiselect("Variants", offered, default=offered, key=f"order.variants.{family}")
    if not chosen:
        st.info("Choose at least one variant.")
        return
    _read_all(root, chosen)
    stamps = tuple(data.variant_stamp(root, name) for name in chosen)
    onsets = _onsets(root, tuple(chosen), stamps)
    if not st.toggle("every matrix, head and site", key="order.entries"):
        onsets = onsets[~onsets["measure"].str.contains(" of ")]
    st.plotly_chart(_drawn(onsets), key="lead_lag.onsets")
    st.caption(
        "A bar is the interval between two checkpoints in which a measure passes half of its way from first to last, "
        "for good. Bars that overlap have no order. Denser checkpoints make them shorter."
    )
    table = _leads(root, tuple(chosen), stamps)
    if len(table):
        shown = set(onsets["measure"])
        table = table[table["first"].isin(shown) & table["then"].isin(shown)]
    st.markdown("##### Every two measures")
    st.dataframe(table, hide_index=True, key="order.table")
    st.caption(
        f"`leads`, `lags`, `undecided`: in how many of the {len(chosen)} variants. `lead`: median, in steps. `p`: the "
        "chance of so uneven a split if neither led; with few variants it cannot be small."
    )
    _changes(root, tuple(chosen), stamps, sorted(set(onsets["measure"])))


def _changes(root: Path, variants: tuple[str, ...], made_from: tuple[int, ...], measures: list[str]) -> None:
    """The change points of one measure, at the usual penalty or at the elbow."""
    with st.expander("Change points of a measure"):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        measure = left.selectbox("Measure", measures, key="order.measure")
        at_elbow = right.toggle("penalty at the elbow", key="order.elbow")
        found = _change_points(root, variants, made_from, measure, "elbow" if at_elbow else "usual")
        st.dataframe(found, hide_index=True, key="lead_lag.changes")
        st.caption(
            "Where the curve takes another level, or another slope: the cheapest way to cut it, each cut at the "
            "`penalty`. The usual one is 2 noise² ln n; at the elbow most penalties agree on the number of cuts. A "
            "change that only one of the two finds is in doubt."
        )


@st.cache_data(show_spinner="Cutting the curve ...", max_entries=16)
def _change_points(
    root: Path, variants: tuple[str, ...], made_from: tuple[int, ...], measure: str, penalty: Literal["usual", "elbow"]
) -> pd.DataFrame:
    return lead_lag.changes(root, variants, measure, penalty, read=_read)


def _read_all(root: Path, names: list[str]) -> None:
    """Read the measures of every variant, with the time that is left."""
    start, bar = time.monotonic(), st.empty()
    for i, name in enumerate(names):
        left = (time.monotonic() - start) / i * (len(names) - i) if i else 0.0
        if left > 1:
            bar.progress(i / len(names), f"Reading {name}; about {left:.0f} s left")
        _read(root, name)
    bar.empty()


def _read(root: Path, name: str) -> dict[str, order.Curve]:
    return _measures(root, name, data.variant_stamp(root, name))


@st.cache_data(show_spinner=False, max_entries=32)
def _measures(root: Path, name: str, made_from: int) -> dict[str, order.Curve]:
    return lead_lag.measures(root, name)


@st.cache_data(show_spinner="Finding what moved ...", max_entries=8)
def _onsets(root: Path, variants: tuple[str, ...], made_from: tuple[int, ...]) -> pd.DataFrame:
    return lead_lag.onsets(root, variants, has_sharpness=True, read=_read)


@st.cache_data(show_spinner="Comparing ...", max_entries=8)
def _leads(root: Path, variants: tuple[str, ...], made_from: tuple[int, ...]) -> pd.DataFrame:
    return lead_lag.lead_lag(root, variants, read=_read)


def _drawn(onsets: pd.DataFrame) -> go.Figure:
    """One row per measure, the earliest on top, and a bar per variant."""
    measures = onsets.groupby("measure")["by"].median().sort_values(kind="stable").index[:SHOWN]
    figure = go.Figure(layout={"template": "miscope"})
    for i, (name, rows) in enumerate(onsets[onsets["measure"].isin(measures)].groupby("variant")):
        figure.add_bar(
            y=rows["measure"], x=rows["by"] - rows["before"], base=rows["before"], orientation="h", name=str(name),
            marker_color=PALETTE[i % len(PALETTE)],
            customdata=rows[["before", "by", "start", "end", "width", "sharpness"]],
            hovertemplate="%{y}<br>after step %{customdata[0]:,}, by %{customdata[1]:,}<br>"
            "from %{customdata[2]:.3g} to %{customdata[3]:.3g}, 10 to 90 %% in %{customdata[4]:,} steps<br>"
            "sharpness %{customdata[5]:.3g} (width in ln step; NaN: no logistic fits)"
            "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_yaxes(automargin=True, categoryorder="array", categoryarray=list(measures)[::-1])
    figure.update_layout(height=140 + 22 * len(measures), barmode="group", xaxis_title="step", margin={"t": 30})
    return figure
