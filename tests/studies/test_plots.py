"""From results.json to pictures: the stages' files, what the pictures show, and what is said where there are none."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from runs import TRUE, changed, drawn, workspace

from miscope.core import MiscopeError
from miscope.scaling import documents, page, results, views
from miscope.scaling.fit import Fit, FitSettings, SetAside
from miscope.scaling.laws import fit_of
from miscope.scaling.study import fit_settings
from miscope.workspace import files

STAGES = Path(__file__).parents[2] / "stages"
PICTURES = ["isoflop", "loss_against_compute", "best_sizes", "best_tokens", "residuals", "surface"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that the stages fit and plot have run on."""
    made = workspace(tmp_path_factory.mktemp("study"), drawn(0.003, entropy=1.75))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        for stage in ("fit", "plot"):
            runpy.run_path(str(STAGES / f"{stage}.py"))["main"]("toy")
    return made


@pytest.fixture(scope="module")
def shown(root: Path) -> dict[str, tuple[pd.DataFrame, go.Figure]]:
    fit, runs = Fit.of_study(root, "toy"), results.of_study(root, "toy")
    return {view.leaf: views.figure_of(view, fit, runs) for view in views.views_of(fit)}


def test_the_stages_write_a_fit_a_file_and_a_table_of_every_picture_and_a_page(root: Path) -> None:
    written = {path.name for path in documents.path(root, "toy", "figures").iterdir()}
    assert written == {"index.html"} | {f"{name}.{end}" for name in PICTURES for end in ("json", "csv")}
    fit = Fit.of_study(root, "toy")
    why = "the disk was full"
    assert fit.provenance.settings == FitSettings(("squared",), 40, exclude={"r2": why}, targets=(1e22, 1e23))
    assert fit.set_aside == (SetAside("r2", why, "settings"),)


def test_a_fit_is_read_and_drawn_again_to_the_same_bytes_and_what_is_drawn_no_more_is_removed(root: Path) -> None:
    file, folder = (documents.path(root, "toy", name) for name in ("fit.json", "figures"))
    documents.write(file.with_name("again.json"), Fit.of_study(root, "toy"))
    assert file.with_name("again.json").read_bytes() == file.read_bytes()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "old.json").write_text("{}")
    page.write(root, "toy")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    text = before["index.html"].decode()
    for part in ("on noise-free losses of the fitted law", "the disk was full", "not recorded"):
        assert part in text
    assert text.count("Plotly.newPlot(") >= len(PICTURES)


def test_every_picture_asks_a_question_and_has_a_table(root: Path, shown: dict) -> None:
    for view in views.views_of(Fit.of_study(root, "toy")):
        table, figure = shown[view.leaf]
        assert view.question.endswith("?")
        assert figure.layout.title.text.startswith(view.question[:20])
        assert len(view.reading) > 60
        assert len(table) > 3


def test_extrapolation_is_drawn_dashed_and_in_a_field_of_its_own(shown: dict) -> None:
    for name in ("loss_against_compute", "best_sizes", "best_tokens"):
        figure = shown[name][1]
        (field,) = [shape for shape in figure.layout.shapes if shape.type == "rect"]
        assert (field.x0, field.x1) == pytest.approx((1e21, 1e23))
        lines = [t for t in figure.data if t.mode == "lines" and t.fill is None]
        assert all(max(t.x) <= 1.01e21 for t in lines if t.line.dash == "solid")
        assert all(min(t.x) > 4e20 for t in lines if t.line.dash == "dash")
        assert any(t.line.dash == "dash" for t in lines)


def test_the_drawn_minima_and_the_frontier_are_those_of_the_law(shown: dict) -> None:
    minima = shown["isoflop"][0].dropna(subset=["parameters"])
    np.testing.assert_allclose(minima["parameters"], TRUE.best_parameters(minima["budget"].to_numpy()), rtol=0.4)
    law = shown["loss_against_compute"][0]
    np.testing.assert_allclose(law["loss"], TRUE.best_loss(law["budget"].to_numpy()), rtol=0.03)
    residuals = shown["residuals"][0]
    assert residuals["off_percent"].abs().median() < 1
    assert residuals.set_index("id").loc["r2", "state"] == "left out: the disk was full"


def test_a_fit_of_other_runs_is_not_drawn(root: Path, tmp_path: Path) -> None:
    workspace(tmp_path, drawn(0.003, seed=1))
    documents.write(documents.path(tmp_path, "toy", "fit.json"), Fit.of_study(root, "toy"))
    with pytest.raises(MiscopeError, match="made from other runs"):
        page.write(tmp_path, "toy")


def test_without_a_law_the_curves_are_drawn_alone() -> None:
    one_budget = fit_of(drawn(0.0, n_budgets=1), FitSettings(methods=("squared",), draws=20))
    assert one_budget.refusal.kind == "not identifiable"
    assert [view.leaf for view in views.views_of(one_budget)] == ["isoflop"]
    assert page.estimates(one_budget)["refused"].str.startswith("too few budgets").all()


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    runs = changed(drawn(0.01), {4: {"loss": float("nan")}})
    again = results.of_study(workspace(tmp_path, runs), "toy")
    np.testing.assert_array_equal(again.loss, runs.loss)
    assert again.runs[:4] == runs.runs[:4]
    assert (again.ids, again.convention, again.flops_per_parameter_token) == (runs.ids, runs.convention, 6.0)


def test_any_two_of_size_data_and_compute_will_do(tmp_path: Path) -> None:
    runs, file = drawn(0.01), tmp_path / "runs.csv"
    n, d, c = runs.parameters, runs.tokens, runs.budget
    for left_out, given in {
        "budget": {"N": n, "D": d},
        "tokens": {"C": c, "N": n},
        "parameters": {"C": c, "tokens": d},
    }.items():
        pd.DataFrame({**given, "L": runs.loss}).to_csv(file, index=False)
        again = results.read(file)
        np.testing.assert_allclose(getattr(again, left_out), getattr(runs, left_out))
        assert again.ids[0] == "row 1"


RUN = {"id": "a", "budget": 6e9, "parameters": 1e3, "tokens": 1e6, "loss": 2.0}


@pytest.mark.parametrize(
    "content,said",
    [
        ({}, "cannot be read"),
        ({"schema": 9, "points": []}, "schema 9"),
        ({"schema": 1, "points": [{"id": "a"}]}, "lacks budget, loss, parameters, tokens"),
        ({"schema": 1, "points": []}, "holds no run"),
        ({"schema": 1, "points": [RUN, RUN]}, "occurs twice"),
        ({"schema": 1, "points": [RUN | {"tokens": None}]}, "`tokens` of a is nan; it must be a positive number"),
    ],
)
def test_a_file_that_is_no_results_is_one_line(tmp_path: Path, content: dict, said: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps(content))
    with pytest.raises(MiscopeError, match=said):
        results.read(file)


def test_a_missing_file_names_the_command_and_unknown_settings_of_the_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match="dvc repro run@toy"):
        results.of_study(tmp_path, "toy")
    files.write(tmp_path / "params.yaml", "variants: {}\nscaling: {toy: {fit: {drews: 100}}}\n")
    with pytest.raises(MiscopeError, match=r"drews.*Did you mean `draws`"):
        fit_settings(tmp_path, "toy")


def test_the_command_line_fits_anyones_runs_or_refuses(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("C,N,loss\n" + "".join(f"1e18,{n}e6,3.{n}\n" for n in (1, 2, 4)))
    done = subprocess.run(
        [sys.executable, "-m", "miscope", "fit", "runs.csv"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("refused, too few points: 3 different pairs")
    assert "too few budgets" in done.stdout
