"""The page Variants: what params.yaml declares, what of it is there, and the command that makes the rest."""

import html
import json
from pathlib import Path
from typing import Any

import streamlit as st
import style
from data import OpenVariant, OpenWorkspace

from miscope.core import field_names
from miscope.workspace.status import Status, command

States = dict[str, dict[str, Status]]  # variant -> instrument -> state


def page(workspace: OpenWorkspace, exploring: Any) -> None:
    """A card for each variant, and the state of every instrument on each."""
    st.header("Variants")
    names = workspace.catalog.names
    variants = [workspace.load(name) for name in workspace.variants]
    st.caption(f"{workspace.root / 'params.yaml'} declares {len(variants)} variants.")
    states = {variant.name: {name: variant.status(name) for name in names} for variant in variants}
    for variant in variants:
        with st.container(border=True, key=f"variant_{variant.name}"):
            _card(variant, states[variant.name], exploring)
    style.say_faults(workspace.catalog)
    if variants:
        st.markdown("##### Instruments")
        st.html(_matrix(variants, states, names))


def _card(variant: OpenVariant, states: dict[str, Status], exploring: Any) -> None:
    left, right = st.columns([6, 1], vertical_alignment="center")
    with left:
        st.markdown(f"**{variant.label}** &nbsp; :gray[{variant.name} · {variant.variant.family_name}]")
        st.html(f'<div class="facts">{_settings(variant)}</div><div class="facts">{_results(variant)}</div>')
    right.page_link(exploring, label="Explore", icon=":material/arrow_forward:", query_params={"variant": variant.name})
    undone = [status for status in states.values() if status.command]
    if undone:
        some = f"{len(undone)} of {len(states)} instruments are missing or stale."
        st.caption(undone[0].detail if len(undone) == len(states) else some)
        st.code(command(variant.name), language="bash")


def _settings(loaded: OpenVariant) -> str:
    variant = loaded.variant
    own = {name: getattr(variant.family, name) for name in field_names(type(variant.family))}
    shown = own | {"seed": variant.seed, "data_seed": variant.data_seed, "d_model": variant.model.d_model,
                   "d_mlp": variant.model.d_mlp, "weight_decay": variant.recipe.weight_decay}  # fmt: skip
    return " &nbsp; ".join(f"{html.escape(k.replace('_', ' '))} <b>{html.escape(str(v))}</b>" for k, v in shown.items())


def _results(variant: OpenVariant) -> str:
    """How training ended; absent numbers are left out."""
    steps, declared = variant.steps, variant.variant
    if not steps:
        planned = f"{declared.recipe.steps:,} steps and {len(declared.checkpoint_steps)} checkpoints"
        return f"not trained; {planned} planned"
    facts = {"steps": f"{steps[-1]:,}", "checkpoints": str(len(steps)), **_metrics(variant.folder.metrics)}
    return " &nbsp; ".join(f"{name} <b>{value}</b>" for name, value in facts.items())


def _metrics(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    metrics = json.loads(path.read_text(encoding="utf-8"))
    texts = {"test_accuracy": "{:.2%}", "test_loss": "{:.3g} nats"}
    return {key.replace("_", " "): text.format(metrics[key]) for key, text in texts.items() if key in metrics}


def _matrix(variants: list[OpenVariant], states: States, instruments: tuple[str, ...]) -> str:
    """Instruments down, variants across: a word and a colour in each cell, the reason on hover."""
    head = "".join(f"<th>{html.escape(variant.label)}</th>" for variant in variants)
    rows = "".join(
        f"<tr><td>{name.replace('_', ' ')}</td>{''.join(_cell(states[v.name][name]) for v in variants)}</tr>"
        for name in instruments
    )
    return f'<table class="matrix"><tr><th>instrument</th>{head}</tr>{rows}</table>'


def _cell(status: Status) -> str:
    kind = status.state.replace(" ", "-")
    return f'<td><span class="state {kind}" title="{html.escape(status.sentence)}">{status.state}</span></td>'
