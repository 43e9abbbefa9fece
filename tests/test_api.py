"""The notebook's door: load a variant, ask it for a view, take the view away."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
import workspace
from PIL import Image

import miscope
from miscope.catalog import builtin
from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import Artifact
from miscope.instruments.phases.measure import Phases
from miscope.model.inspection import activations
from miscope.workspace.loaded import LoadedVariant

PER_STEP = "dominant_frequencies"
OVER_TRAINING = "losses"
HAS_CHROME = any(map(shutil.which, ("chromium", "google-chrome", "chrome", "chromium-browser")))


# ---------------------------------------------------------------- what there is


def test_a_family_is_a_class_and_a_variant_knows_its_label_its_checkpoints_and_its_probe(
    variant: LoadedVariant,
) -> None:
    assert miscope.load_family("modulo_addition")(modulus=7).context(0).grid == (7, 7)
    assert miscope.variants(variant.workspace.root) == ("tiny", "untrained")  # trained or not
    assert variant.label == "modadd_p13_s1_d1_f0.5"
    assert variant.steps == tuple(range(0, 201, 20))
    assert len(variant.context.probe.tokens) == 13**2
    checkpoint = variant.at(40).checkpoint
    assert checkpoint.step == 40
    assert checkpoint.weights["embed.W_E"].shape == (14, 32)


def test_an_artifact_is_a_mapping_from_steps_or_the_one_output_over_training(variant: LoadedVariant) -> None:
    assert isinstance(variant.artifact("phases"), Phases)
    losses = variant.artifact("losses")
    assert isinstance(losses, Artifact)
    assert losses.steps == variant.steps
    assert losses[0].test_loss == pytest.approx(np.log(13), rel=0.2)  # it guesses
    curve = pd.read_csv(variant.folder.curves).set_index("step").loc[list(variant.steps)]  # as training wrote it
    for column in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        np.testing.assert_allclose(losses.stack(column), curve[column], rtol=1e-5)


def test_the_bridge_computes_the_logits_of_the_checkpoint(variant: LoadedVariant) -> None:
    at = variant.at(200)
    with torch.no_grad():
        theirs = at.bridge()(torch.from_numpy(variant.context.probe.tokens))[:, -1].numpy()
    ours = activations(at.checkpoint, variant.context, ("logits",), "answer")["logits"]
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


# ---------------------------------------------------------------- views


@pytest.mark.parametrize("name", [name for name in builtin().views() if not workspace.is_shown(name)])
def test_a_view_with_nothing_to_show_says_why_in_place_of_a_table_and_a_figure(
    name: str, variant: LoadedVariant
) -> None:
    view = variant.at(100).view(name)
    with pytest.raises(NotApplicable, match=r"\.$"):
        view.table()
    assert json.loads(view.json())["layout"]["meta"]["absent"]


@pytest.mark.parametrize("name", builtin().views())
def test_the_pipeline_drew_what_the_notebook_draws(name: str, variant: LoadedVariant) -> None:
    assert (variant.folder.views / f"{name.replace('.', '/')}.json").read_text() == variant.view(name).json()


def test_a_view_of_one_step_without_a_step_shows_the_last_and_one_over_training_marks_a_step(
    variant: LoadedVariant,
) -> None:
    pd.testing.assert_frame_equal(variant.view(PER_STEP).table(), variant.at(200).view(PER_STEP).table())
    assert not variant.view(PER_STEP).table().equals(variant.at(0).view(PER_STEP).table())
    assert variant.at(100).view(OVER_TRAINING).json() != variant.view(OVER_TRAINING).json()


def test_a_view_is_called_by_its_instrument_or_in_full_and_an_option_changes_its_table(variant: LoadedVariant) -> None:
    assert variant.view("losses").view is variant.view("losses.overview").view
    assert set(variant.view("neuron_activations", neurons=(3, 5)).table()["neuron"]) == {3, 5}


def test_phases_are_drawn_when_they_are_fresh_and_only_then(variant: LoadedVariant, tmp_path: Path) -> None:
    names = set(variant.artifact("phases").phase)
    assert names
    assert names <= texts(variant.view(OVER_TRAINING).figure())
    shutil.copytree(variant.workspace.root, tmp_path / "without", symlinks=True)
    shutil.rmtree(tmp_path / "without" / "artifacts" / "tiny" / "instruments" / "phases")
    without = miscope.load_variant("tiny", tmp_path / "without")
    assert not names & texts(without.view(OVER_TRAINING).figure())


def texts(figure: go.Figure) -> set[str]:
    """All words that a figure writes, of annotations and traces."""
    return {str(a.text) for a in figure.layout.annotations} | {str(t.name) for t in figure.data}


# ---------------------------------------------------------------- export


def test_json_is_a_figure_that_plotly_opens_and_html_needs_no_network_each_the_same_bytes_every_time(
    variant: LoadedVariant, tmp_path: Path
) -> None:
    again = miscope.load_variant("tiny", variant.workspace.root)
    for format in ("json", "html"):
        one, other = (each.at(60).view(PER_STEP).export(format, tmp_path / "file") for each in (variant, again))
        assert one.read_bytes() == other.read_bytes()
    page = variant.view(OVER_TRAINING).export("html", tmp_path / "page.html").read_text()
    assert variant.view(OVER_TRAINING).view.question.split()[0] in page
    assert 'src="http' not in page
    figure = variant.view(OVER_TRAINING).export("json", tmp_path / "figure.json").read_text()
    assert go.Figure(json.loads(figure)).data


@pytest.mark.parametrize(("format", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_a_table_comes_back_from_a_file_as_it_was(
    format: str, read: Callable[[Path], pd.DataFrame], variant: LoadedVariant, tmp_path: Path
) -> None:
    view = variant.view(OVER_TRAINING)
    back = read(view.export(format, tmp_path / f"table.{format}"))
    expected = view.table().reset_index(drop=True)
    pd.testing.assert_frame_equal(back, expected, check_dtype=False, check_categorical=False)


def test_without_a_path_the_file_is_named_for_variant_view_and_step(
    variant: LoadedVariant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = miscope.load_variant("tiny", variant.workspace.root.resolve())
    monkeypatch.chdir(tmp_path)
    assert loaded.at(60).view(PER_STEP).export("csv") == Path("tiny_dominant_frequencies.overview_60.csv")
    assert loaded.view(OVER_TRAINING).export("csv") == Path("tiny_losses.overview.csv")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.browser
@pytest.mark.skipif(not HAS_CHROME, reason="it needs a Chrome, and none is on the PATH")
def test_png_is_a_picture_and_gif_an_animation_over_the_checkpoints(variant: LoadedVariant, tmp_path: Path) -> None:
    path = variant.view(OVER_TRAINING).export("png", tmp_path / "figure.png")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    path = variant.view("neuron_spectra.peak_fractions").export("gif", tmp_path / "animation.gif")
    with Image.open(path) as animation:
        assert animation.n_frames == len(variant.steps)
        assert animation.info["loop"] == 0  # for ever


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda v: v.view("loses"), r"There is no view `loses\.overview`\. Did you mean `losses\.overview`\?"),
        (lambda v: v.view("losses.ovreview"), r"Did you mean `losses\.overview`\?"),
        (lambda v: v.view("losses", layer=1), r"The view `losses\.overview` has no option `layer`; it has: none\."),
        (lambda v: v.view("neuron_activations.single", neuro=1), "has no option `neuro`; it has: .*neuron"),
        (lambda v: v.view("neuron_dynamics.peaks", layer=5).table(), r"has nothing at layer = 5: .*\.$"),
        (lambda v: v.at(51), r"`tiny` has no checkpoint at step 51: the nearest is 60\."),
        (lambda v: v.view("losses").export("bmp"), "'bmp'; known formats: html, json, png, svg, pdf, gif, csv, parq"),
        (lambda v: v.artifact("loses"), r"There is no instrument `loses`\. Did you mean `losses`\?"),
        (lambda v: miscope.load_variant("tyni", v.workspace.root), "declares no variant `tyni`; it declares: tiny"),
        (lambda v: miscope.load_variant("tiny", "nowhere"), r"params\.yaml does not exist; run from the folder"),
        (lambda v: miscope.load_family("chess"), r"There is no family `chess`\. Known: "),
    ],
)
def test_a_mistake_is_one_line_that_says_what_there_is(
    mistake: Callable[[LoadedVariant], object], sentence: str, variant: LoadedVariant
) -> None:
    with pytest.raises(MiscopeError, match=sentence) as raised:
        mistake(variant)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "question",
    [
        lambda v: v.view(PER_STEP).table(),
        lambda v: v.view(OVER_TRAINING).figure(),
        lambda v: v.artifact("phases"),
        lambda v: v.context,
        lambda v: v.at(0),
    ],
)
def test_what_was_never_trained_says_so_and_how_to_train_it(
    question: Callable[[LoadedVariant], object], tiny: Path
) -> None:
    untrained = miscope.load_variant("untrained", tiny)
    assert untrained.steps == ()
    with pytest.raises(MiscopeError, match=r"[Rr]un `dvc repro report@untrained`") as raised:
        question(untrained)
    assert "\n" not in str(raised.value)
