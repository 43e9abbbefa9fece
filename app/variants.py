"""The page Variants: what params.yaml declares, what of it is there, and the command that makes the rest."""

import html
import json
from pathlib import Path
from typing import Any

import data
import streamlit as st

from miscope import api, catalog
from miscope.core import field_names
from miscope.workspace import status


def page(root: Path, exploring: Any) -> None:
    """A card for each variant, and the state of every instrument on each."""
    st.header("Variants")
    names = api.variants(root)
    st.caption(f"{root / 'params.yaml'} declares {len(names)}.")
    loaded = [data.load(root, name) for name in names]
    states = {variant.name: {i: variant.status(i) for i in catalog.instruments()} for variant in loaded}
    for variant in loaded:
        with st.container(border=True, key=f"variant_{variant.name}"):
            _card(variant, states[variant.name], exploring)
    if loaded:
        st.markdown("##### Instruments")
        st.html(_matrix(loaded, states))


def _card(variant: data.Remembered, states: dict[str, status.Status], exploring: Any) -> None:
    left, right = st.columns([6, 1], vertical_alignment="center")
    with left:
        st.markdown(f"**{variant.label}** &nbsp; :gray[{variant.name} · {variant.variant.family_name}]")
        st.html(f'<div class="facts">{_settings(variant)}</div><div class="facts">{_results(variant)}</div>')
    right.page_link(exploring, label="Explore", icon=":material/arrow_forward:", query_params={"variant": variant.name})
    undone = [status for status in states.values() if status.command]
    if undone:
        some = f"{len(undone)} of {len(states)} instruments are to be made."
        st.caption(undone[0].detail if len(undone) == len(states) else some)
        st.code(status.command(variant.name), language="bash")


def _settings(loaded: data.Remembered) -> str:
    variant = loaded.variant
    own = {name: getattr(variant.family, name) for name in field_names(type(variant.family))}
    shown = own | {"seed": variant.seed, "data_seed": variant.data_seed, "d_model": variant.model.d_model,
                   "d_mlp": variant.model.d_mlp, "weight_decay": variant.recipe.weight_decay}  # fmt: skip
    return " &nbsp; ".join(f"{html.escape(k.replace('_', ' '))} <b>{html.escape(str(v))}</b>" for k, v in shown.items())


def _results(loaded: data.Remembered) -> str:
    """How training ended; absent numbers are left out."""
    if not loaded.steps:
        planned = f"{loaded.variant.recipe.steps:,} steps and {len(loaded.variant.checkpoint_steps)} checkpoints"
        return f"not trained; {planned} planned"
    facts = {"steps": f"{loaded.steps[-1]:,}", "checkpoints": str(len(loaded.steps)), **_metrics(loaded.folder.metrics)}
    return " &nbsp; ".join(f"{name} <b>{value}</b>" for name, value in facts.items())


def _metrics(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    texts = {"test_accuracy": "{:.2%}", "test_loss": "{:.3g} nats"}
    return {key.replace("_", " "): text.format(found[key]) for key, text in texts.items() if key in found}


def _matrix(loaded: list[data.Remembered], states: dict[str, dict[str, status.Status]]) -> str:
    """Instruments down, variants across: a word and a colour in each cell, the reason on hover."""
    head = "".join(f"<th>{html.escape(variant.label)}</th>" for variant in loaded)
    rows = "".join(
        f"<tr><td>{instrument.replace('_', ' ')}</td>{''.join(_cell(states[v.name][instrument]) for v in loaded)}</tr>"
        for instrument in catalog.instruments()
    )
    return f'<table class="matrix"><tr><th>instrument</th>{head}</tr>{rows}</table>'


def _cell(status: status.Status) -> str:
    kind = status.state.replace(" ", "-")
    return f'<td><span class="state {kind}" title="{html.escape(status.sentence)}">{status.state}</span></td>'
