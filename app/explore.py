"""The page Explore: any views of one variant, all at one step."""

import time

import address
import chart
import figures
import options
import streamlit as st
import style
from data import OpenVariant, OpenWorkspace, Options
from streamlit.delta_generator import DeltaGenerator

from miscope.catalog import Catalog
from miscope.core import MiscopeError
from miscope.instrument import View
from miscope.workspace.bound_view import FORMATS, BoundView
from miscope.workspace.status import command

FIRST_VIEWS = (
    "losses.overview",
    "dominant_frequencies.overview",
    "neuron_activations.overview",
    "neuron_spectra.clusters",
)
SPEEDS = {"1 step a second": 1.0, "2 steps a second": 0.5, "4 steps a second": 0.25}


def page(workspace: OpenWorkspace) -> None:
    """Draw the page: the choice of variant and views in the sidebar, the step on top, the views below."""
    address.arrive()
    if not workspace.variants:
        style.say("params.yaml declares no variants. Add one under `variants:`.")
        return
    loaded, views, columns = _sidebar(workspace)
    if not loaded.steps:
        address.show({"variant": [loaded.name], "view": views})
        st.header(loaded.name)
        style.say(f"`{loaded.name}` is not trained. Run `{command(loaded.name)}`.")
        return
    chart.load_library()
    st.fragment(_body, run_every=st.session_state.get("pace"))(loaded, views, columns)


# ---------------------------------------------------------------- the sidebar


def _sidebar(workspace: OpenWorkspace) -> tuple[OpenVariant, list[str], int]:
    names, catalog = tuple(workspace.variants), workspace.catalog
    with st.sidebar:
        address.bind("variant", names[0], lambda texts: address.one_of(texts[0], names))
        if st.session_state["variant"] not in names:
            st.session_state["variant"] = names[0]
        name = st.selectbox("Variant", names, key="variant", help="A name in params.yaml.")
        loaded = workspace.load(name)
        address.bind("columns", 2, lambda texts: int(address.one_of(texts[0], ("1", "2"))))
        task_views = _task_views(loaded)
        known = (*catalog.views(), *task_views)
        views = address.bind("view", _first_views(known), lambda texts: [address.one_of(t, known) for t in texts])
        st.session_state["view"] = [view for view in views if view in known]  # another family may bring other views
        st.segmented_control("Columns", (1, 2), key="columns", required=True)
        if (control := loaded.control) and control.steps:
            text = f"Draw `{control.name}` too: the same task, changed so that the network must fail."
            st.toggle("Control run", True, key="control", help=text)
        st.markdown("##### Views")
        if task_views:
            _picker(task_views[0].partition(".")[0], "", task_views)
        for instrument in catalog.names:
            if offered := _views(catalog, instrument):
                _picker(instrument, loaded.status(instrument).state, offered)
    return loaded, st.session_state["view"], st.session_state["columns"]


def _task_views(loaded: OpenVariant) -> tuple[str, ...]:
    """The names of the views that the variant's family brings; a sentence where they cannot be loaded."""
    try:
        return tuple(loaded.task_views)
    except MiscopeError as fault:
        st.warning(f"The views of the family `{loaded.variant.family_name}` are left out. {fault}")
        return ()


def _views(catalog: Catalog, instrument: str) -> tuple[str, ...]:
    return () if instrument in catalog.view_faults else catalog.views(instrument)


def _picker(group: str, state: str, offered: tuple[str, ...]) -> None:
    """The views of one instrument, or of the task's family, to be switched on and off."""
    label = group.replace("_", " ").capitalize() + (f" · {state}" if state not in ("", "fresh") else "")
    key = f"pick {group}"
    st.session_state[key] = [view for view in st.session_state["view"] if view in offered]
    st.pills(
        label, offered, key=key, selection_mode="multi", on_change=_pick, args=(key, offered),
        format_func=lambda view: view.split(".")[1].replace("_", " "),
    )  # fmt: skip


def _pick(key: str, offered: tuple[str, ...]) -> None:
    chosen, shown = st.session_state[key], st.session_state["view"]
    kept = [view for view in shown if view not in offered or view in chosen]
    st.session_state["view"] = kept + [view for view in chosen if view not in kept]


def _first_views(known: tuple[str, ...]) -> list[str]:
    return [view for view in FIRST_VIEWS if view in known] or list(known[:4])


# ---------------------------------------------------------------- the step


def _body(loaded: OpenVariant, views: list[str], columns: int) -> None:
    """All that depends on the step: a fragment, so that a new step redraws nothing else. The figures are sent first."""
    steps = loaded.steps
    bar, step = st.container(key="bar", horizontal=True, vertical_alignment="center"), _current(steps)
    cards = dict(zip(views, _cells(views, columns), strict=True))
    shown = [(name, _figure(loaded, loaded.declared(name), step, card)) for name, card in cards.items()]
    with bar:
        _step_bar(steps, step)
    for name, chosen in shown:
        with cards[name]:
            _tools(loaded, loaded.declared(name), step, chosen)
    if not views:
        st.info("Choose a view in the sidebar.")
    set_options = {key: texts for name, chosen in shown for key, texts in options.query(name, chosen).items()}
    address.show(
        {"variant": [loaded.name], "view": views, "step": [str(step)], "columns": [str(columns)], **set_options}
    )
    near = [steps[i] for d in (1, -1, 2) if 0 <= (i := steps.index(step) + d) < len(steps)]
    figures.draw_ahead(loaded, shown, near)


def _cells(views: list[str], columns: int) -> list[DeltaGenerator]:
    """An empty card for each view, in rows."""
    rows = [st.columns(columns, gap="large") for _ in range(0, len(views), columns)]
    cells = [cell for row in rows for cell in row][: len(views)]
    return [cell.container(key=f"card_{name}") for cell, name in zip(cells, views, strict=True)]


def _current(steps: tuple[int, ...]) -> int:
    """The checkpoint to show, as the slider, the address, a click or the player has set it."""
    address.bind("step", steps[-1], lambda texts: address.whole_number(texts[0]))
    step = st.session_state["step"] = nearest(steps, st.session_state["step"])
    if not st.session_state.get("playing"):
        return step
    _tick(steps)
    return int(st.session_state["step"])


def _step_bar(steps: tuple[int, ...], step: int) -> None:
    """Play, the slider over the checkpoints, and the current step."""
    is_playing = bool(st.session_state.get("playing"))
    icon = ":material/pause:" if is_playing else ":material/play_arrow:"
    st.button("Pause" if is_playing else "Play", icon=icon, on_click=_toggle, args=(steps,), key="play")
    if len(steps) > 1:
        st.select_slider("Step", steps, key="step", format_func=lambda s: f"{s:,}", label_visibility="collapsed")
    st.markdown(f"step **{step:,}** · {steps.index(step) + 1} of {len(steps)}", width="content")
    speed = st.selectbox("Speed", list(SPEEDS), key="speed", label_visibility="collapsed", width=165)
    pace = SPEEDS[speed] if is_playing else None
    if pace != st.session_state.get("pace"):  # only the page can restart the fragment at another pace
        st.session_state["pace"] = pace
        st.rerun()


def nearest(steps: tuple[int, ...], step: float) -> int:
    """The checkpoint nearest to a step."""
    return min(steps, key=lambda s: abs(s - step))


def _speed() -> str:
    return st.session_state.setdefault("speed", next(iter(SPEEDS)))


def _toggle(steps: tuple[int, ...]) -> None:
    playing = st.session_state["playing"] = not st.session_state.get("playing")
    st.session_state["ticked"] = time.monotonic()
    if playing and st.session_state["step"] == steps[-1]:
        st.session_state["step"] = steps[0]


def _tick(steps: tuple[int, ...]) -> None:
    """Move one checkpoint on when it is time; stop at the last."""
    if time.monotonic() - st.session_state["ticked"] < 0.8 * SPEEDS[_speed()]:
        return
    st.session_state["ticked"] = time.monotonic()
    following = [s for s in steps if s > st.session_state["step"]]
    if following:
        st.session_state["step"] = following[0]
    else:
        st.session_state["playing"] = False


def _go(key: str) -> None:
    step = chart.clicked_step(key)
    if step is not None:
        st.session_state["step"] = step


# ---------------------------------------------------------------- one view


def _figure(loaded: OpenVariant, view: View, step: int, card: DeltaGenerator) -> Options:
    """Draw one view, or say why it cannot be drawn; return its options."""
    with card:
        chosen = options.values(view)
        try:
            chart.draw(_drawn(loaded, view.name, step, chosen), f"chart {view.name}", _go)
        except MiscopeError as error:
            style.say_why_not(view, error)
    return chosen


def _drawn(loaded: OpenVariant, name: str, step: int, chosen: Options) -> str:
    return figures.figure_json(loaded, name, step, chosen, has_control=st.session_state.get("control", True))


def _tools(loaded: OpenVariant, view: View, step: int, chosen: Options) -> None:
    with st.container(key=f"tools_{view.name}", horizontal=True, gap="small"):
        options.popovers(view)
        st.toggle("Table", key=f"table {view.name}")
        bound = loaded.bound(view.name, step, chosen)
        stem = f"{loaded.name}_{view.name}_{step}"
        with st.popover("Export", type="tertiary"):
            for format in FORMATS:
                if format != "gif" or view.is_per_step:
                    _download(bound, format, f"{stem}.{format}", f"{format} {view.name}")
    if st.session_state[f"table {view.name}"]:
        try:
            st.dataframe(bound.table(), hide_index=True, height=260)
        except MiscopeError:
            st.caption("There is no table, for the reason above.")


def _download(bound: BoundView, format: str, file: str, key: str) -> None:
    """A button that makes the file when it is clicked."""
    label = f"{format.upper()}: an animation over all checkpoints" if format == "gif" else format.upper()
    st.download_button(label, lambda: _exported(bound, format), file, type="tertiary", on_click="ignore", key=key)


def _exported(bound: BoundView, format: str) -> bytes | str:
    """The content of the file, or a sentence that says why it cannot be made."""
    try:
        return bound.exported(format)
    except MiscopeError as error:
        return str(error)
