"""Two variants seen together: `tiny`, and another whose artifacts are the same."""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

import miscope
from miscope.core import MiscopeError
from miscope.renderers import animation, on_one_scale
from miscope.workspace.comparison import Comparison
from miscope.workspace.loaded import LoadedVariant


@pytest.fixture
def together(pair: Path) -> Comparison:
    return miscope.compare("tiny", "other", root=pair)


def test_curves_of_two_variants_lie_over_each_other_in_one_figure(together: Comparison) -> None:
    compared, alone = together.view("losses"), together.variants[0].view("losses").table()
    table = compared.table()
    assert len(table) == 2 * len(alone)
    assert list(table["variant"].unique()) == ["tiny", "other"]
    (figure,) = compared.figures()
    drawn = [trace for trace in figure.data if trace.x is not None and len(trace.x) > 1]
    assert {(trace.name, trace.line.dash) for trace in drawn} == {
        (split, dash) for split in ("train", "test") for dash in ("solid", "dash")
    }
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert (sorted(legend[:2]), legend[2:]) == (["test", "train"], ["tiny", "other"])


def test_what_cannot_lie_over_each_other_stands_side_by_side_at_the_nearest_checkpoints(together: Comparison) -> None:
    compared = together.view("neuron_spectra.clusters", step=70)
    assert compared.shown_steps == (60, 60)
    one, other = compared.figures()
    assert one.layout.coloraxis.cmax == other.layout.coloraxis.cmax
    np.testing.assert_array_equal(one.data[0].z, other.data[0].z)


def test_steps_may_be_counted_from_an_event(together: Comparison) -> None:
    event = together.variants[0].artifact("phases").memorised_step
    assert event is not None
    compared = together.view("losses", align="memorised")
    assert compared.table()["step"].min() == -event
    assert "steps after memorised" in compared.figures()[0].to_json()


@pytest.mark.parametrize(
    ("names", "align", "sentence"),
    [
        (("tiny",), "", r"Cannot compare tiny; allowed: 2 to 4 different variants\."),
        (("tiny", "tiny"), "", "Cannot compare tiny, tiny; allowed"),
        (("tiny", "tyni"), "", "declares no variant `tyni`"),
        (("tiny", "other"), "birth", r"align = 'birth'; allowed: start, memorised, onset, solved, grokked\."),
        (("tiny", "other"), "grokked", "`tiny` has no step `grokked`, so it cannot be aligned by it"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(names: tuple[str, ...], align: str, sentence: str, pair: Path) -> None:
    with pytest.raises(MiscopeError, match=sentence):
        miscope.compare(*names, root=pair).view("losses", align=align)


def test_axes_and_colours_are_widened_to_hold_all() -> None:
    figures = [
        go.Figure(go.Scatter(x=[0, n], y=[0, 1]), {"xaxis": {"range": [0, n]}, "coloraxis": {"cmin": -n, "cmax": 1}})
        for n in (2, 5)
    ]
    one, other = on_one_scale(figures)
    assert tuple(one.layout.xaxis.range) == tuple(other.layout.xaxis.range) == (0, 5)
    assert (one.layout.coloraxis.cmin, one.layout.coloraxis.cmax) == (-5, 1)
    assert figures[0].layout.xaxis.range[1] == 2  # what was given stays as it was


def test_an_animation_has_a_frame_for_every_checkpoint_and_says_each_step(variant: LoadedVariant) -> None:
    figure = variant.view("neuron_spectra.clusters").animation()
    assert [frame.name for frame in figure.frames] == [str(step) for step in variant.steps]
    assert "step 20" in figure.frames[1].layout.title.text
    at_60 = variant.at(60).view("neuron_spectra.clusters").figure()
    np.testing.assert_array_equal(figure.frames[3].data[0].z, at_60.data[0].z)
    with pytest.raises(MiscopeError, match=r"`losses\.overview` shows the whole of training"):
        variant.view("losses").animation()
    with pytest.raises(ValueError, match="1 figures for 2 steps"):
        animation([figure], [0, 1])
