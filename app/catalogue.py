"""The page Catalogue: every instrument, what it measures, from what, by which source, and the views that draw it."""

import ast
import inspect
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from miscope import catalog
from miscope.core import Analyzer, OverTraining


def page(root: Path, exploring: Any) -> None:
    """One instrument at a time, all of it read from its own file."""
    st.header("Catalogue")
    names = catalog.instruments()
    st.caption(f"{len(names)} instruments and {len(catalog.views())} views; each instrument is one file.")
    name = st.selectbox("Instrument", names, key="catalogue.instrument", format_func=lambda n: n.replace("_", " "))
    analyzer = catalog.instrument(name)
    module = sys.modules[analyzer.compute.__module__]
    first, _, rest = (module.__doc__ or "").strip().partition("\n\n")
    st.markdown(f"#### {first}")
    st.markdown(rest)
    st.markdown(_needs(analyzer))
    st.markdown("##### What it gives")
    st.dataframe(_outputs(analyzer), hide_index=True, key=f"catalogue.outputs.{name}")
    if analyzer.settings:
        st.markdown("##### Settings")
        listed = ", ".join(f"{key}: {value}" for key, value in analyzer.settings.items())
        st.code(f"instruments:\n  {name}: {{{listed}}}", language="yaml")
    st.markdown("##### Views")
    for view in catalog.views(name):
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.markdown(f"**{catalog.view(view).question}**  \n{catalog.view(view).reading}")
        right.page_link(exploring, label="Open", icon=":material/arrow_forward:", query_params={"view": view})


def _needs(analyzer: Analyzer) -> str:
    if isinstance(analyzer, OverTraining):
        read = ["the weights of every checkpoint"] if analyzer.reads_weights else []
        read += [f"`{needed.name}`" for needed in analyzer.needs]
        return f"Over the whole of training; reads {', '.join(read)}."
    if not analyzer.needs:
        return "At each checkpoint; reads the weights alone."
    hooks = ", ".join(f"`{hook}`" for hook in analyzer.needs)
    where = "the answer position" if analyzer.positions == "answer" else "all positions"
    return f"At each checkpoint; reads {hooks} on the probe, at {where}."


def _outputs(analyzer: Analyzer) -> pd.DataFrame:
    """The fields of the Output with their shapes and the comments beside them."""
    kind = analyzer.output_type
    lines = inspect.getsource(kind).splitlines()
    found = ast.parse(inspect.cleandoc("\n".join(lines))).body[0]
    assert isinstance(found, ast.ClassDef)
    rows = []
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            comment = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")[2]
            rows.append({"field": node.target.id, "shape": ast.unparse(node.annotation), "meaning": comment})
    assert [row["field"] for row in rows] == [field.name for field in fields(kind)]
    return pd.DataFrame(rows)
