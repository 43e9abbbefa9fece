"""The page Catalogue: every instrument, what it measures, its maths, its source, and the views that draw it."""

import ast
import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from miscope import catalog
from miscope.instrument import GRADIENTS, OverTraining

# wide formulas go on in the next line where the page is narrow; what is wider than the page alone, Streamlit scrolls
CSS = """
.katex { font-size: 1.1em; }
.katex-display { text-align: left; margin: 0.2rem 0 0.4rem 1.2rem; }
.katex-display > .katex { text-align: left; white-space: normal; }
.katex-display > .katex > .katex-html > .base { margin: 0.35rem 0; }
@media (max-width: 640px) { .katex-display { margin-left: 0; } }
"""
LINKS = {
    r"arXiv:(\d{4}\.\d{4,5})": r"[\g<0>](https://arxiv.org/abs/\1)",
    r"doi:(10\.\d{4,}/[^\s,;)]*[^\s,;).:])": r"[\g<0>](https://doi.org/\1)",
}


def page(root: Path, exploring: Any) -> None:
    """One instrument at a time, all of it read from its own file."""
    st.header("Catalogue")
    names = catalog.instruments()
    st.caption(f"{len(names)} instruments and {len(catalog.views())} views; each instrument is one file.")
    name = st.selectbox("Instrument", names, key="catalogue.instrument", format_func=lambda n: n.replace("_", " "))
    analyzer = catalog.instrument(name)
    told = description(analyzer)
    st.markdown(f"#### {told.title}")
    st.markdown(told.prose)
    st.markdown(_needs(analyzer))
    if told.maths:
        show_maths(told)
    st.markdown(f"Source: {told.source}")
    st.markdown("##### What it gives")
    st.table(_outputs(analyzer).set_index("field"))
    if analyzer.settings:
        st.markdown("##### Settings")
        listed = ", ".join(f"{key}: {value}" for key, value in analyzer.settings.items())
        st.code(f"instruments:\n  {name}: {{{listed}}}", language="yaml")
    st.markdown("##### Views")
    for view in catalog.views(name):
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.markdown(f"**{catalog.view(view).question}**  \n{catalog.view(view).reading}")
        right.page_link(exploring, label="Open", icon=":material/arrow_forward:", query_params={"view": view})


class Description(NamedTuple):
    """What an instrument's file says of it first, as Markdown."""

    title: str
    prose: str
    maths: str  # each display formula a block of its own
    source: str  # identifiers of papers as links


def description(analyzer: Analyzer) -> Description:
    """The parts of the docstring of the instrument's module: a line, the prose, `Maths:` and `Source:`."""
    text = inspect.cleandoc(sys.modules[analyzer.compute.__module__].__doc__ or "")
    body, _, source = text.partition("\n\nSource:")
    body, _, maths = body.partition("\n\nMaths:")
    title, _, prose = body.partition("\n\n")
    for identifier, link in LINKS.items():
        source = re.sub(identifier, link, source)
    maths = re.sub(r"\s*\$\$(.+?)\$\$\s*", lambda found: f"\n\n$$\n{_breakable(found[1])}\n$$\n\n", maths, flags=re.S)
    return Description(title, prose, maths.strip(), source.strip())


def _breakable(formula: str) -> str:
    """LaTeX that may begin a line behind each `\\qquad`, and nowhere else."""
    parts = (" ".join(part.split()) for part in formula.split(r"\qquad"))
    return r" \qquad \allowbreak ".join(f"{{{part}}}" for part in parts)


def show_maths(told: Description) -> None:
    """The formulas, set by KaTeX, under a heading of their own."""
    st.html(f"<style>{CSS}</style>")
    st.markdown("##### Maths")
    st.markdown(told.maths[:1].upper() + told.maths[1:])


def _needs(analyzer: Analyzer) -> str:
    if isinstance(analyzer, OverTraining):
        read = ["the weights of every checkpoint"] if analyzer.reads_weights else []
        read += [f"`{needed.name}`" for needed in analyzer.needs]
        return f"Over the whole of training; reads {', '.join(read)}."
    when = f"At {analyzer.checkpoints} checkpoints by default" if analyzer.checkpoints else "At each checkpoint"
    read = ["the network and its gradients"] if GRADIENTS in analyzer.needs else []
    if analyzer.hooks:
        where = "the answer position" if analyzer.positions == "answer" else "all positions"
        read.append(f"{', '.join(f'`{hook}`' for hook in analyzer.hooks)} on the probe, at {where}")
    return f"{when}; reads {', and '.join(read) or 'the weights alone'}."


def _outputs(analyzer: Analyzer) -> pd.DataFrame:
    """The fields of the Output with their shapes and the comments beside them, as Markdown."""
    kind = analyzer.output_type
    lines = inspect.getsource(kind).splitlines()
    found = ast.parse(inspect.cleandoc("\n".join(lines))).body[0]
    assert isinstance(found, ast.ClassDef)
    rows = []
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            comment = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")[2].replace(">", r"\>")
            shape = re.sub(r"np\.ndarray, ' *(.*?)'", r"\1", ast.unparse(node.annotation))
            rows.append({"field": node.target.id, "shape": shape, "meaning": comment})
    assert [row["field"] for row in rows] == [field.name for field in fields(kind)]
    return pd.DataFrame(rows)
