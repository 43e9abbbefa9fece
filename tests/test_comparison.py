"""Two variants seen together: `tiny`, and a twin of it whose artifacts are the same."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

import miscope
from miscope.core import MiscopeError
from miscope.renderers import film, on_one_scale


def test_curves_of_two_variants_lie_over_each_other_in_one_figure(pair: Path) -> None:
    compared = miscope.compare("tiny", "twin", root=pair).view("losses")
    alone = miscope.load_variant("tiny", pair).view("losses").table()
    table = compared.table()
    assert len(table) == 2 * len(alone)
    assert list(table["variant"].unique()) == ["tiny", "twin"]
    (figure,) = compared.figures()
    drawn = [trace for trace in figure.data if trace.x is not None and len(trace.x) > 1]
    assert {(trace.name, trace.line.dash) for trace in drawn} == {
        ("train", "solid"), ("train", "dash"), ("test", "solid"), ("test", "dash")
    }  # fmt: skip
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert legend == ["test", "train", "tiny", "twin"] or legend == ["train", "test", "tiny", "twin"]


def test_what_cannot_lie_over_each_other_stands_side_by_side_at_the_nearest_checkpoints(pair: Path) -> None:
    compared = miscope.compare("tiny", "twin", root=pair).view("neuron_spectra.clusters", step=70)
    assert compared.shown_steps == (60, 60)
    one, other = compared.figures()
    assert one.layout.coloraxis.cmax == other.layout.coloraxis.cmax
    np.testing.assert_array_equal(one.data[0].z, other.data[0].z)


def test_steps_may_be_counted_from_an_event(pair: Path) -> None:
    event = miscope.load_variant("tiny", pair).artifact("phases").memorised_step
    assert event is not None
    table = miscope.compare("tiny", "twin", root=pair).view("losses", align="memorised").table()
    assert table["step"].min() == -event
    assert table.attrs["titles"]["step"] == "steps after memorised"


def test_what_cannot_be_compared_is_one_sentence(pair: Path) -> None:
    with pytest.raises(MiscopeError, match=r"Cannot compare tiny; allowed: 2 to 4 different variants\."):
        miscope.compare("tiny", root=pair)
    with pytest.raises(MiscopeError, match=r"Cannot compare tiny, tiny; allowed"):
        miscope.compare("tiny", "tiny", root=pair)
    with pytest.raises(MiscopeError, match="declares no variant `tyni`"):
        miscope.compare("tiny", "tyni", root=pair)
    compared = miscope.compare("tiny", "twin", root=pair)
    with pytest.raises(MiscopeError, match=r"align = 'birth'; allowed: start, memorised, onset, solved, grokked\."):
        compared.view("losses", align="birth")
    with pytest.raises(MiscopeError, match="`tiny` has no step `grokked`, so it cannot be aligned by it"):
        compared.view("losses", align="grokked")


def test_axes_and_colours_are_widened_to_hold_all() -> None:
    figures = [
        go.Figure(go.Scatter(x=[0, n], y=[0, 1]), {"xaxis": {"range": [0, n]}, "coloraxis": {"cmin": -n, "cmax": 1}})
        for n in (2, 5)
    ]
    one, other = on_one_scale(figures)
    assert tuple(one.layout.xaxis.range) == tuple(other.layout.xaxis.range) == (0, 5)
    assert (one.layout.coloraxis.cmin, one.layout.coloraxis.cmax) == (-5, 1)
    assert figures[0].layout.xaxis.range[1] == 2  # what was given stays as it was


def test_a_film_has_a_frame_for_every_checkpoint_and_says_each_step(tiny: Path) -> None:
    variant = miscope.load_variant("tiny", tiny)
    figure = variant.view("neuron_spectra.clusters").film()
    assert [frame.name for frame in figure.frames] == [str(step) for step in variant.steps]
    assert "step 20" in figure.frames[1].layout.title.text
    np.testing.assert_array_equal(
        figure.frames[3].data[0].z, variant.at(60).view("neuron_spectra.clusters").figure().data[0].z
    )
    with pytest.raises(MiscopeError, match=r"`losses\.overview` shows the whole of training"):
        variant.view("losses").film()
    with pytest.raises(ValueError, match="1 figures for 2 steps"):
        film([figure], [0, 1])
