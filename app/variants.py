"""The page Variants: what params.yaml declares, how each training ended, and the command for what is missing."""

import html
import json
from pathlib import Path
from typing import Any

import streamlit as st
import style
from data import OpenVariant, OpenWorkspace

from miscope.core import field_names
from miscope.workspace.status import Status

States = dict[str, dict[str, Status]]  # variant -> instrument -> state


def page(workspace: OpenWorkspace, exploring: Any) -> None:
    """A card for each variant, and the state of every instrument on each."""
    st.header("Variants")
    names = workspace.catalog.names
    variants = [workspace.load(name) for name in workspace.variants]
    st.caption(f"{workspace.root / 'params.yaml'} declares {len(variants)} variants.")
    states: States = {}
    for variant in variants:
        states[variant.name] = {name: variant.status(name) for name in names}
        with st.container(border=True, key=f"variant_{variant.name}"):
            _card(variant, states[variant.name], exploring)
    style.say_faults(workspace.catalog)
    if variants:
        st.markdown("##### Instruments")
        st.html(_matrix(variants, states, names))


def _card(variant: OpenVariant, states: dict[str, Status], exploring: Any) -> None:
    left, right = st.columns([6, 1], vertical_alignment="center")
    with left:
        st.markdown(f"**{variant.name}** &nbsp; :gray[{variant.variant.family_name} · {variant.label}]")
        st.html(f'<div class="facts">{_settings(variant)}</div><div class="facts">{_results(variant)}</div>')
    right.page_link(exploring, label="Explore", icon=":material/arrow_forward:", query_params={"variant": variant.name})
    outdated = [status for status in states.values() if status.command]
    if outdated:
        some = f"{len(outdated)} of {len(states)} instruments are missing or stale."
        st.caption(outdated[0].detail if len(outdated) == len(states) else some)
        longest = max((status.command for status in outdated), key=len)  # the one that forces DVC, if any needs it
        st.code(longest, language="bash")


def _settings(loaded: OpenVariant) -> str:
    variant = loaded.variant
    own = {name: getattr(variant.family, name) for name in field_names(type(variant.family))}
    own |= {"seed": variant.seed, "data_seed": variant.data_seed, "n_layers": variant.model.n_layers,
            "d_model": variant.model.d_model, "d_mlp": variant.model.d_mlp,
            "weight_decay": variant.recipe.weight_decay}  # fmt: skip
    shown = {key: value for key, value in own.items() if value != "" and value is not False}
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
    head = "".join(f'<th title="{html.escape(v.label)}">{html.escape(v.name)}</th>' for v in variants)
    rows = "".join(
        f"<tr><td>{name.replace('_', ' ')}</td>{''.join(_cell(states[v.name][name]) for v in variants)}</tr>"
        for name in instruments
    )
    return f'<table class="matrix"><tr><th>instrument</th>{head}</tr>{rows}</table>'


def _cell(status: Status) -> str:
    kind = status.state.replace(" ", "-")
    return f'<td><span class="state {kind}" title="{html.escape(status.sentence)}">{status.state}</span></td>'
