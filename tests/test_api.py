"""The notebook's door: load a variant, ask it for a view, take the view away."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import workspace
from miscope.trackers.phases import Phases
from PIL import Image

import miscope
from miscope import catalog
from miscope.api import LoadedVariant
from miscope.core import MiscopeError, NotApplicable
from miscope.instrument import Artifact
from miscope.workspace import files

PER_STEP = "dominant_frequencies"
OVER_TRAINING = "losses"
HAS_CHROME = any(map(shutil.which, ("chromium", "google-chrome", "chrome", "chromium-browser")))


@pytest.fixture(scope="module")
def variant(tiny: Path) -> LoadedVariant:
    return miscope.load_variant("tiny", tiny)


@pytest.fixture(scope="module")
def untrained(tiny: Path) -> LoadedVariant:
    return miscope.load_variant("untrained", tiny)


# ---------------------------------------------------------------- what there is


def test_a_workspace_lists_its_variants_trained_or_not(tiny: Path) -> None:
    assert miscope.variants(tiny) == ("tiny", "untrained")


def test_a_family_is_a_class_whose_fields_are_its_settings() -> None:
    assert miscope.load_family("modulo_addition")(modulus=7).context(0).grid == (7, 7)


def test_a_variant_knows_its_label_its_checkpoints_and_its_probe(variant: LoadedVariant) -> None:
    assert variant.label == "modadd_p13_s1_d1_f0.5"
    assert variant.steps == tuple(range(0, 201, 20))
    assert len(variant.context.probe.tokens) == 13**2


def test_a_variant_at_a_step_has_that_steps_weights(variant: LoadedVariant) -> None:
    checkpoint = variant.at(40).checkpoint
    assert checkpoint.step == 40
    assert checkpoint.weights["embed.W_E"].shape == (14, 32)


def test_an_artifact_is_a_mapping_from_steps_or_the_one_output_of_a_tracker(variant: LoadedVariant) -> None:
    losses = variant.artifact("losses")
    assert isinstance(losses, Artifact)
    assert losses.steps == variant.steps
    assert losses[0].test_loss == pytest.approx(np.log(13), rel=0.2)  # it guesses
    assert isinstance(variant.artifact("phases"), Phases)


def test_the_losses_of_the_artifact_are_those_that_training_wrote(variant: LoadedVariant) -> None:
    curve = pd.read_csv(variant.folder.curves).set_index("step").loc[list(variant.steps)]
    for column in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        np.testing.assert_allclose(variant.artifact("losses").stack(column), curve[column], rtol=1e-5)


# ---------------------------------------------------------------- views


@pytest.mark.parametrize("name", catalog.views())
def test_every_view_has_a_table_and_a_figure_that_asks_its_question(name: str, variant: LoadedVariant) -> None:
    view = variant.at(100).view(name)
    if not workspace.is_shown(name):
        with pytest.raises(NotApplicable, match=r"\.$"):
            view.table()
        assert json.loads(view.json())["layout"]["meta"]["absent"]
        return
    table, figure = view.table(), view.figure()
    assert isinstance(table, pd.DataFrame)
    assert len(table)
    assert " ".join(figure.layout.title.text.replace("<br>", " ").split()).startswith(catalog.view(name).question)
    assert figure.data


def test_a_view_of_one_step_without_a_step_shows_the_last(variant: LoadedVariant) -> None:
    pd.testing.assert_frame_equal(variant.view(PER_STEP).table(), variant.at(200).view(PER_STEP).table())
    assert not variant.view(PER_STEP).table().equals(variant.at(0).view(PER_STEP).table())


def test_a_view_is_called_by_its_instrument_or_in_full(variant: LoadedVariant) -> None:
    assert variant.view("losses").view is variant.view("losses.overview").view


def test_an_option_changes_the_table(variant: LoadedVariant) -> None:
    some = variant.view("neuron_activations", neurons=(3, 5)).table()
    assert set(some["neuron"]) == {3, 5}


def test_an_option_that_names_what_is_not_there_is_one_line(variant: LoadedVariant) -> None:
    with pytest.raises(MiscopeError, match=r"`neuron_dynamics.peaks` has nothing at layer = 5: .*\.$"):
        variant.view("neuron_dynamics.peaks", layer=5).table()


def test_phases_are_drawn_when_they_are_fresh_and_only_then(variant: LoadedVariant, tiny: Path, tmp_path: Path) -> None:
    names = set(variant.artifact("phases").phase)
    assert names
    assert names <= texts(variant.view(OVER_TRAINING).figure())
    shutil.copytree(tiny, tmp_path / "without", symlinks=True)
    shutil.rmtree(tmp_path / "without" / "artifacts" / "tiny" / "instruments" / "phases")
    without = miscope.load_variant("tiny", tmp_path / "without")
    assert not names & texts(without.view(OVER_TRAINING).figure())


def test_a_step_is_marked_on_a_view_over_training(variant: LoadedVariant) -> None:
    assert variant.at(100).view(OVER_TRAINING).json() != variant.view(OVER_TRAINING).json()


def texts(figure: go.Figure) -> set[str]:
    """All words that a figure writes, of annotations and traces."""
    return {str(a.text) for a in figure.layout.annotations} | {str(t.name) for t in figure.data}


# ---------------------------------------------------------------- export


def test_a_figure_as_json_is_the_same_bytes_every_time(tiny: Path) -> None:
    first, second = (miscope.load_variant("tiny", tiny).at(60).view(PER_STEP).json() for _ in range(2))
    assert first == second
    assert json.loads(first)["data"]


@pytest.mark.parametrize("name", catalog.views())
def test_the_pipeline_drew_what_the_notebook_draws(name: str, variant: LoadedVariant) -> None:
    assert files.folder_of(variant.root, "tiny").view(name).read_text() == variant.view(name).json()


def test_html_needs_no_network_and_is_the_same_bytes_every_time(variant: LoadedVariant, tmp_path: Path) -> None:
    view = variant.view(OVER_TRAINING)
    page = view.export("html", tmp_path / "a.html").read_text()
    assert view.view.question.split()[0] in page
    assert 'src="http' not in page
    assert page == view.export("html", tmp_path / "b.html").read_text()


def test_tables_come_back_from_csv_and_parquet_as_they_were(variant: LoadedVariant, tmp_path: Path) -> None:
    view = variant.view(OVER_TRAINING)
    expected = view.table().reset_index(drop=True)
    for format, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        back = read(view.export(format, tmp_path / f"table.{format}"))
        pd.testing.assert_frame_equal(back, expected, check_dtype=False, check_categorical=False)


def test_json_is_a_figure_that_plotly_opens(variant: LoadedVariant, tmp_path: Path) -> None:
    path = variant.view(OVER_TRAINING).export("json", tmp_path / "figure.json")
    assert go.Figure(json.loads(path.read_text())).data


def test_without_a_path_the_file_is_named_for_variant_view_and_step(
    variant: LoadedVariant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = miscope.load_variant("tiny", variant.root.resolve())
    monkeypatch.chdir(tmp_path)
    assert loaded.at(60).view(PER_STEP).export("csv") == Path("tiny_dominant_frequencies.overview_60.csv")
    assert loaded.view(OVER_TRAINING).export("csv") == Path("tiny_losses.overview.csv")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.browser
@pytest.mark.skipif(not HAS_CHROME, reason="gif needs a Chrome, and none is on the PATH")
def test_gif_is_a_film_over_the_checkpoints(variant: LoadedVariant, tmp_path: Path) -> None:
    path = variant.view("neuron_spectra.peak_fractions").export("gif", tmp_path / "film.gif")
    with Image.open(path) as film:
        assert film.n_frames == len(variant.steps)
        assert film.info["loop"] == 0  # for ever


@pytest.mark.skipif(not HAS_CHROME, reason="png needs a Chrome, and none is on the PATH")
def test_png_is_a_picture(variant: LoadedVariant, tmp_path: Path) -> None:
    path = variant.view(OVER_TRAINING).export("png", tmp_path / "figure.png")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


# ---------------------------------------------------------------- the bridge


def test_the_bridge_computes_the_logits_of_the_checkpoint(variant: LoadedVariant) -> None:
    import torch

    from miscope.model.inspection import activations

    at = variant.at(200)
    with torch.no_grad():
        theirs = at.bridge()(torch.from_numpy(variant.context.probe.tokens))[:, -1].numpy()
    ours = activations(at.checkpoint, variant.context, ("logits",), "answer")["logits"]
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda v: v.view("loses"), r"There is no view `loses\.overview`\. Did you mean `losses\.overview`\?"),
        (lambda v: v.view("losses.ovreview"), r"Did you mean `losses\.overview`\?"),
        (lambda v: v.view("losses", layer=1), r"The view `losses\.overview` has no option `layer`; it has: none\."),
        (
            lambda v: v.at(0).view("neuron_activations.single", neuro=1),
            r"has no option `neuro`; it has: .*neuron",
        ),
        (lambda v: v.at(51), r"`tiny` has no checkpoint at step 51: the nearest is 60\."),
        (
            lambda v: v.view("losses").export("bmp"),
            r"Cannot export 'bmp'; known formats: html, json, png, svg, pdf, gif, csv, parquet\.",
        ),
        (lambda v: v.artifact("loses"), r"There is no instrument `loses`\. Did you mean `losses`\?"),
        (lambda v: miscope.load_variant("tyni", v.root), r"params\.yaml declares no variant `tyni`; it declares: tiny"),
        (lambda v: miscope.load_family("modulo"), r"There is no family `modulo`\."),
        (
            lambda v: miscope.load_variant("tiny", v.root / "nowhere"),
            r"params\.yaml does not exist; run from the folder",
        ),
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
    question: Callable[[LoadedVariant], object], untrained: LoadedVariant
) -> None:
    assert untrained.steps == ()
    with pytest.raises(MiscopeError, match=r"[Rr]un `dvc repro report@untrained`") as raised:
        question(untrained)
    assert "\n" not in str(raised.value)
