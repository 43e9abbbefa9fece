"""What every instrument keeps, found by discovery: a new folder is tested the moment it exists."""

import inspect
import re
import sys
from contextlib import suppress
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import workspace

from miscope.calibration.toys import toys
from miscope.catalog import builtin
from miscope.check import check_instrument
from miscope.core import Context, NotApplicable
from miscope.instrument import Null, OverTraining, PerCheckpoint, Table
from miscope.renderers import Frame

CATALOG = builtin()
PHASES = type("Phases", (), {"phase": ("memorisation", "cleanup"), "phase_start": np.array([0, 300]),
                             "phase_end": np.array([300, 600])})()  # fmt: skip
# what was built in by hand: waves, tuned neurons and few directions here, heads that look and copy there
BUILT_IN = {
    "solved": (
        *("losses.overview", "losses.accuracy", "losses.margins", "logit_lens.overview", "phases.overview"),
        *("dominant_frequencies.overview", "dominant_frequencies.sparsity", "dominant_frequencies.unembedding"),
        *("neuron_spectra.overview", "neuron_spectra.clusters", "neuron_fourier.alignment", "neuron_dynamics.overview"),
        *("logit_spectra.overview", "logit_spectra.excluded", "progress_measures.overview", "circuit_style.overview"),
        *("representation_geometry.overview", "representation_geometry.ring", "representations.overview"),
        *("singular_values.overview", "singular_values.effective_rank", "parameter_trajectory.overview"),
    ),
    "solved_induction": (
        *("losses.overview", "logit_difference.overview", "logit_lens.attribution", "loss_by_position.positions"),
        *("head_scores.overview", "head_scores.copying", "head_scores.offsets", "composition_scores.overview"),
        *("attention_patterns.overview", "linear_probes.latents", "representation_geometry.separation"),
        *("singular_values.overview", "parameter_trajectory.overview"),
    ),
}
NOT_BUILT_IN = {
    "solved": ("attention_patterns.overview", "head_scores.overview", "attention_spectra.overview"),  # attends evenly
    "solved_induction": ("dominant_frequencies.overview", "representation_geometry.ring"),  # tokens have no order
}


@pytest.mark.parametrize("name", CATALOG.names)
def test_an_instrument_keeps_what_all_instruments_keep(name: str) -> None:
    assert check_instrument(CATALOG.plugin(name), **workspace.TOY_SETTINGS.get(name, {})) == []


@pytest.mark.parametrize("name", CATALOG.names)
def test_an_instrument_is_named_for_its_folder_and_says_its_maths_before_its_source(name: str) -> None:
    instrument = CATALOG.instrument(name)
    assert instrument.name == name == instrument.compute.__name__
    text = inspect.cleandoc(sys.modules[instrument.compute.__module__].__doc__ or "")
    parts = re.fullmatch(r"(.+?)\n\nMaths: (.+?)\n\n(Source: .{20}.*)", text, re.S)
    assert parts, f"the docstring of {name} has no paragraph `Maths:` before `Source:`"
    prose, maths, source = parts.groups()
    assert "$" not in prose + source
    around, displayed = maths.split("$$")[::2], maths.split("$$")[1::2]
    assert len(around) == len(displayed) + 1 > 1, f"a `$$` of {name} is missing or not closed"
    assert not [formula for formula in displayed if "$" in formula]
    assert not [words for words in around if words.count("$") % 2]
    assert maths.count("{") - maths.count(r"\{") == maths.count("}") - maths.count(r"\}")


@pytest.mark.parametrize("name", CATALOG.names)
def test_the_maths_of_an_instrument_names_what_it_gives_and_is_given(name: str) -> None:
    instrument = CATALOG.instrument(name)
    upstream = instrument.needs if isinstance(instrument, OverTraining) else ()
    kinds = [instrument.output_type, *(needed.output_type for needed in upstream), Context]
    known = {field.name for kind in kinds for field in fields(kind)} | set(instrument.settings) | set(CATALOG.names)
    text = sys.modules[instrument.compute.__module__].__doc__ or ""
    maths = text.partition("\n\nMaths:")[2].partition("\n\nSource:")[0].replace(r"\_", "_")
    assert set(re.findall(r"(?:`|\\text\{)(\w+_\w+)[`}]", maths)) <= known


@pytest.mark.parametrize("name", [name for name in CATALOG.names if CATALOG.instrument(name).settings])
def test_params_lists_every_setting_of_an_instrument_at_its_default(name: str) -> None:
    shipped = workspace.shipped().config.instruments
    assert dict(shipped[name]) == dict(CATALOG.instrument(name).settings)


@pytest.mark.parametrize("name", CATALOG.views())
def test_a_view_asks_a_question_and_says_how_to_read_the_answer(name: str) -> None:
    view = CATALOG.view(name)
    assert view.name == name
    assert view.question.endswith("?") and len(view.question) > 10
    assert view.reading.strip().endswith(".")
    assert view.is_per_step <= isinstance(view.needs, PerCheckpoint)
    assert CATALOG.views(view.needs.name)[0].endswith(".overview")


@cache
def measured(toy: str, instrument: str) -> tuple[Any, tuple[Null, ...]]:
    """What an instrument measures of a run, and what chance would show; each once."""
    artifact = toys()[toy].artifact(CATALOG.instrument(instrument), **workspace.TOY_SETTINGS.get(instrument, {}))
    return artifact, toys()[toy].nulls(CATALOG.instrument(instrument), artifact)


def tabulated(toy: str, name: str, which: int = -1) -> Table:
    """What a view shows of a run, at its last step.

    Raises:
        NotApplicable: it has nothing to show.
    """
    view = CATALOG.view(name)
    artifact, nulls = measured(toy, view.needs.name)
    return view.tabulate(artifact, toys()[toy].context, nulls, artifact.steps[which] if view.is_per_step else None)


def null_of(toy: str, name: str) -> Null:
    null = tabulated(toy, name).null
    assert null is not None
    return null


@pytest.mark.parametrize(("toy", "view"), [(toy, view) for toy, views in BUILT_IN.items() for view in views])
def test_what_was_built_in_by_hand_is_beyond_its_null(toy: str, view: str) -> None:
    assert null_of(toy, view).is_beyond


@pytest.mark.parametrize(("toy", "view"), [(toy, view) for toy, views in NOT_BUILT_IN.items() for view in views])
def test_what_a_solution_does_not_use_is_within_its_null(toy: str, view: str) -> None:
    assert null_of(toy, view).verdict == "Within its null"


@cache
def shown(name: str) -> Table:
    """The table of a view of a solved run, of addition where it applies, otherwise of induction."""
    for toy in ("solved", "solved_induction", "sparse_parity"):
        with suppress(NotApplicable):
            return tabulated(toy, name)
    raise AssertionError(f"`{name}` has nothing to show on any of the runs")


def figure(name: str, **frame: object) -> go.Figure:
    view = CATALOG.view(name)
    return view.draw(shown(name), Frame(view.question, "a_label", 300, PHASES, **frame))


@pytest.mark.parametrize("name", CATALOG.views())
def test_a_drawing_has_the_question_as_its_title_and_phases_and_the_step_on_a_step_axis(name: str) -> None:
    made = figure(name)
    title = re.sub(r"<[^>]+>", " ", made.layout.title.text)
    assert title.startswith(CATALOG.view(name).question)
    assert "a_label" in title and made.data and made.layout.height
    if not any(axis.title.text == "step" for axis in made.select_xaxes()):
        return
    lines = [shape for shape in made.layout.shapes if shape.name == "current step"]
    assert lines and all(line.x0 == line.x1 == 300 for line in lines)
    if name != "phases.overview":  # it is made of them
        assert {a.text for a in made.layout.annotations if a.name == "phase label"} == set(PHASES.phase)
    shapes = figure(name, has_log_steps=True).layout.shapes
    assert all(shape.x0 >= 1 for shape in shapes if shape.name == "current step")


@pytest.mark.parametrize("name", CATALOG.views())
def test_the_frame_can_lock_a_scale_from_outside(name: str) -> None:
    data = shown(name).data
    numbers = [column for column in data if pd.api.types.is_float_dtype(data[column])]
    layout = figure(name, limits=dict.fromkeys(numbers, (0.5, 7.0))).to_dict()["layout"]
    scale, scene = layout.get("coloraxis", {}), layout.get("scene", {})
    axes = [axis for part in (layout, scene) for key, axis in part.items() if "axis" in key and isinstance(axis, dict)]
    ranges = [tuple(axis.get("range", ())) for axis in axes] + [(scale.get("cmin"), scale.get("cmax"))]
    assert not numbers or any(end in ranges for end in [(0.5, 7.0), tuple(np.log10([0.5, 7.0]))])


@pytest.mark.parametrize("name", [name for name in CATALOG.views() if CATALOG.view(name).is_per_step])
def test_scales_do_not_jump_from_step_to_step(name: str) -> None:
    for toy in ("solved", "solved_induction"):
        try:
            first, last = (tabulated(toy, name, which).limits for which in (0, -1))
        except NotApplicable:
            continue
        assert first == last
        assert first or name == "losses.correctness"  # categories have no scale
