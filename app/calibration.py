"""The page Calibration: how many known answers did each instrument reproduce?"""

from dataclasses import asdict

import pandas as pd
import streamlit as st
import style

from miscope.calibration import table
from miscope.calibration.table import Table
from miscope.core import MiscopeError
from miscope.workspace import Workspace

ALL = "all instruments"
HELP = {
    "expected": "worked out in advance, from the source",
    "measured": "what the instrument measured",
    "tolerance": "the largest allowed difference between the two, in the unit of the quantity",
}


def page(workspace: Workspace) -> None:
    """The table that `make calibrate` wrote, of all instruments or of one."""
    st.header("Calibration")
    st.caption(
        "Every instrument measures models whose answer is known in advance: formulas in closed form, and circuits "
        "built by hand. A row compares the known answer with the measured one."
    )
    try:
        measured = table.load(workspace)
    except MiscopeError as missing:
        style.say(str(missing))
        return
    if stale := table.stale(measured, workspace.catalog):
        which = "every instrument" if len(stale) == len(workspace.catalog.names) else ", ".join(stale)
        style.say(f"The code or the known models of {which} changed after this table was made. Run `{table.COMMAND}`.")
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    rows = rows_of(measured)
    chosen = left.selectbox(
        "Instrument", [ALL, *dict.fromkeys(rows["instrument"])], key="calibration.instrument",
        format_func=lambda name: name.replace("_", " "),
    )  # fmt: skip
    if right.toggle("Hide right answers", key="calibration.wrong"):
        rows = rows[rows["verdict"] != "right"]
    shown = rows if chosen == ALL else rows[rows["instrument"] == chosen]
    st.markdown(f"**{sentence(measured, None if chosen == ALL else chosen)}**")
    st.dataframe(
        shown, hide_index=True, key="calibration.table", height=min(720, 38 + 35 * max(len(shown), 1)),
        column_config={name: st.column_config.Column(help=text) for name, text in HELP.items()},
    )  # fmt: skip
    if measured.unknown:
        st.caption(f"Without a known answer: {', '.join(measured.unknown)}.")


def rows_of(measured: Table) -> pd.DataFrame:
    """One row per known answer, and one row per instrument that has none."""
    rows = pd.DataFrame(list(map(asdict, measured.rows)))
    numbers = ["expected", "measured", "tolerance"]
    rows[numbers] = rows[numbers].map(lambda x: "" if pd.isna(x) else f"{x:.4g}")
    return rows[["verdict", "instrument", "quantity", *numbers, "case", "source"]]


def sentence(measured: Table, instrument: str | None) -> str:
    """How many known answers all instruments, or one of them, reproduced."""
    rows = [row for row in measured.rows if instrument in (None, row.instrument) and row.verdict != "no known answer"]
    if not rows:
        return f"{instrument} has no known answer yet."
    who = f"{len({row.instrument for row in rows})} instruments were" if instrument is None else f"{instrument} was"
    return f"{who} right on {sum(row.verdict == 'right' for row in rows)} of {len(rows)} known answers."
