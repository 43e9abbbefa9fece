"""The page Catalogue: every instrument, what it measures, its maths, its source, and the views that draw it."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st
import style

from miscope.catalog import OURS, Plugin
from miscope.instrument import GRADIENTS, Instrument, OverTraining
from miscope.workspace import Workspace

# on a narrow page a wide formula continues on the next line; Streamlit scrolls one that is too wide alone
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


def page(workspace: Workspace, exploring: Any) -> None:
    """One instrument at a time, as its own files describe it."""
    catalog = workspace.catalog
    st.header("Catalogue")
    counts = f"{len(catalog.names)} instruments and {len(catalog.views())} views"
    st.caption(f"{counts}. To add an instrument of your own, name its module in params.yaml: docs/plugins.md.")
    style.say_faults(catalog)
    name = st.selectbox("Instrument", catalog.names, key="catalogue.instrument", format_func=_in_words)
    plugin = catalog.plugin(name)
    _show(plugin)
    st.markdown("##### Views")
    for view in () if name in catalog.view_faults else plugin.views.values():
        left, right = st.columns([5, 1], vertical_alignment="center")
        left.markdown(f"**{view.question}**  \n{view.reading}")
        right.page_link(exploring, label="Open", icon=":material/arrow_forward:", query_params={"view": view.name})


def _show(plugin: Plugin) -> None:
    """What an instrument measures, what it reads, its maths, its source and its settings."""
    instrument = plugin.instrument
    parts = description(instrument)
    st.markdown(f"#### {parts.title or _in_words(plugin.name).capitalize()}")
    st.markdown(parts.prose)
    st.markdown(_needs(instrument))
    if parts.maths:
        show_maths(parts)
    st.markdown(f"Source: {parts.source or 'none is named.'}")
    st.markdown("##### What it measures")
    st.table(_outputs(instrument).set_index("field"))
    if instrument.settings:
        st.markdown("##### Settings")
        listed = ", ".join(f"{key}: {value}" for key, value in instrument.settings.items())
        st.code(f"instruments:\n  {_key(plugin)}: {{{listed}}}", language="yaml")


def _in_words(name: str) -> str:
    return name.replace("_", " ")


def _key(plugin: Plugin) -> str:
    """The instrument's name in params.yaml; for a plugin of the user, the dotted path of its module."""
    is_ours = plugin.module.startswith(f"{OURS}.")
    return plugin.name if is_ours or plugin.module.rpartition(".")[2] != plugin.name else plugin.module


class Description(NamedTuple):
    """The docstring of an instrument's measure.py, as Markdown."""

    title: str
    prose: str
    maths: str  # each display formula a block of its own
    source: str  # identifiers of papers as links


def description(instrument: Instrument) -> Description:
    """The parts of the docstring of the instrument's module: first line, prose, `Maths:` and `Source:`."""
    text = inspect.cleandoc(sys.modules[instrument.compute.__module__].__doc__ or "")
    body, _, source = text.partition("\n\nSource:")
    body, _, maths = body.partition("\n\nMaths:")
    title, _, prose = body.partition("\n\n")
    for identifier, link in LINKS.items():
        source = re.sub(identifier, link, source)
    maths = re.sub(r"\s*\$\$(.+?)\$\$\s*", lambda match: f"\n\n$$\n{_breakable(match[1])}\n$$\n\n", maths, flags=re.S)
    return Description(title, prose, maths.strip(), source.strip())


def _breakable(formula: str) -> str:
    """LaTeX that may break after each `\\qquad`, and nowhere else."""
    parts = (" ".join(part.split()) for part in formula.split(r"\qquad"))
    return r" \qquad \allowbreak ".join(f"{{{part}}}" for part in parts)


def show_maths(parts: Description) -> None:
    """The formulas, typeset by KaTeX, under their own heading."""
    st.html(f"<style>{CSS}</style>")
    st.markdown("##### Maths")
    st.markdown(parts.maths[:1].upper() + parts.maths[1:])


def _needs(instrument: Instrument) -> str:
    where = "the answer position" if instrument.positions == "answer" else "all positions"
    read = (
        [f"{', '.join(f'`{hook}`' for hook in instrument.hooks)} on the probe, at {where}"] if instrument.hooks else []
    )
    if isinstance(instrument, OverTraining):
        weights = ["the weights of every checkpoint"] if instrument.reads_weights else []
        read = [*weights, *read, *(f"`{needed.name}`" for needed in instrument.needs)]
        return f"Measured once over training; reads {' and '.join(read)}."
    when = f"{instrument.checkpoints} checkpoints by default" if instrument.checkpoints else "each checkpoint"
    gradients = ["the network and its gradients"] if GRADIENTS in instrument.needs else []
    return f"Measured at {when}; reads {' and '.join([*gradients, *read]) or 'the weights alone'}."


def _outputs(instrument: Instrument) -> pd.DataFrame:
    """The fields of the Output, with their shapes and comments, as Markdown."""
    kind = instrument.output_type
    rows = {row["field"]: row for cls in reversed(kind.__mro__) for row in _annotated(cls)}
    return pd.DataFrame([rows[field.name] for field in fields(kind)], columns=["field", "shape", "meaning"])


def _annotated(cls: type) -> Iterator[dict[str, str]]:
    """Field, shape and comment of every annotated name in a class body, from the syntax tree of its module."""
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    source = Path(file).read_text(encoding="utf-8") if file else ""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            for child in node.body:
                if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
                    comment = lines[(child.end_lineno or child.lineno) - 1].partition("  # ")[2].replace(">", r"\>")
                    shape = re.sub(r"np\.ndarray, ' *(.*?)'", r"\1", ast.unparse(child.annotation))
                    yield {"field": child.target.id, "shape": shape, "meaning": comment}
