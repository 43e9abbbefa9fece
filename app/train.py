"""The page Train: a form made from a family's settings, which adds a variant to params.yaml."""

import re
from typing import Any, get_type_hints

import options
import streamlit as st

from miscope import catalog
from miscope.core import Family, field_names
from miscope.workspace import Workspace, configuration
from miscope.workspace.status import command

OWN = "a family of your own ..."


def page(workspace: Workspace) -> None:
    """Choose a task and its settings, and see the entry that they make; one click adds it."""
    st.header("Train")
    st.caption(
        "Choose a family and its settings, and add the variant to params.yaml. `dvc repro` then trains and analyses it."
    )
    named = sorted({v.family_name for v in workspace.variants.values() if v.family_code})  # families of the user's own
    chosen = st.selectbox("Family", [*catalog.families(), *named, OWN], key="train.family")
    path = chosen if "." in chosen else ""
    if chosen == OWN:
        path = st.text_input("Dotted path of its class", key="train.path", placeholder="my_lab.tasks.S5")
        if not path:
            st.info(
                "A family is a frozen dataclass, in a module beside params.yaml or in an installed package. "
                "docs/plugins.md shows how to write one."
            )
            return
    spec = {"_target_": path} if path else {"family": chosen}
    cls = type(configuration.variant("new", spec, workspace.root).family)
    st.markdown((cls.__doc__ or "").split("\n\n")[0])
    _offer(workspace, spec | _own_settings(cls) | _training(cls) | _control(cls))


def _own_settings(cls: type[Family]) -> dict[str, Any]:
    """A widget for each setting of the task; only settings that differ from their defaults are written."""
    hints, default, chosen = get_type_hints(cls), cls(), {}
    for column, name in zip(_columns(len(field_names(cls))), field_names(cls), strict=False):
        with column:
            key, preset = f"train.{cls.__name__}.{name}", getattr(default, name)
            value = options.input_for(name.replace("_", " "), key, hints[name], preset)
        if value != preset:
            chosen[name] = value
    return chosen


def _training(cls: type[Family]) -> dict[str, Any]:
    left, middle, right = st.columns(3)
    recipe, key = cls().recipe(), f"train.{cls.__name__}"
    seed = left.number_input("seed", min_value=0, value=0, step=1, key="train.seed")
    data_seed = middle.number_input("data seed", min_value=0, value=0, step=1, key="train.data_seed")
    steps = right.number_input("steps", min_value=1, value=recipe.steps, step=100, key=f"{key}.steps")
    every = left.number_input("checkpoint every", 1, int(steps), max(1, int(steps) // 40), key=f"{key}.{steps}.every")
    seeds = {"seed": int(seed), "data_seed": int(data_seed)}
    return {**seeds, "steps": int(steps), "checkpoints": [{"every": int(every)}]}


def _control(cls: type[Family]) -> dict[str, Any]:
    """A control run of the family: the same task, changed so that the network must fail."""
    if not cls.controls:
        return {}
    none = "none"
    chosen = st.radio("Make it a control run", [none, *cls.controls], key=f"train.{cls.__name__}.control")
    return {} if chosen == none else dict(cls.controls[chosen])


def _offer(workspace: Workspace, spec: dict[str, Any]) -> None:
    """The entry for params.yaml and the button that adds it."""
    taken, root = workspace.variants, workspace.root
    stem = re.sub(r"\W+", "_", str(spec.get("_target_", spec.get("family"))).rpartition(".")[2])
    free = next(name for i in range(1, len(taken) + 2) if (name := f"{stem}_{i}") not in taken)
    name = st.text_input("Name", value=free, key=f"train.name.{free}")
    variant = configuration.variant(name, spec, root)  # the page shows an error as one line
    st.code(configuration.entry(name, spec), language="yaml")
    st.caption(f"{variant.recipe.steps:,} steps, {len(variant.checkpoint_steps)} checkpoints.")
    if st.button("Add to params.yaml", type="primary", key="train.add"):
        configuration.add(root, name, spec)
        st.success(f"params.yaml now declares `{name}`. This command trains it, analyses it and draws its views:")
        st.code(command(name), language="bash")


def _columns(n: int) -> list[Any]:
    return [column for _ in range((n + 2) // 3) for column in st.columns(3)]
