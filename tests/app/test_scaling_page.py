"""The page Scaling, on a study that is fitted, one that is not, and none."""

from pathlib import Path

import numpy as np
import pytest
from pages import opened, texts

from miscope.maths.power_laws import Law
from miscope.scaling import documents, results
from miscope.scaling.documents import Record, Records
from miscope.scaling.fit import FitSettings
from miscope.scaling.laws import fit_of
from miscope.workspace import files

TRUE = Law(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`toy` is fitted, `planned` only declared."""
    made = tmp_path_factory.mktemp("scaling")
    files.write(made / "params.yaml", "variants: {}\nscaling: {planned: {}, toy: {}}\n")
    budget = np.repeat(np.geomspace(1e19, 1e21, 3), 6)
    sizes = np.asarray(TRUE.best_parameters(budget)) * np.tile(np.geomspace(0.2, 5, 6), 3)
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(18))
    loss = np.asarray(TRUE.loss(sizes, budget / 6 / sizes)) * noise
    numbers = zip(*(v.tolist() for v in (budget, sizes, budget / 6 / sizes, loss)), strict=True)
    points = tuple(Record(f"r{i}", *run) for i, run in enumerate(numbers))
    documents.write(documents.path(made, "toy", "results.json"), Records(points, "toy", "all but embeddings"))
    fit = fit_of(results.of_study(made, "toy"), FitSettings(methods=("squared",), draws=40))
    documents.write(documents.path(made, "toy", "fit.json"), fit)
    return made


def test_a_fitted_study_shows_pictures_numbers_and_refusals(root: Path) -> None:
    test = opened("scaling", root)
    test.selectbox(key="scaling.study").set_value("toy").run()
    assert not test.exception
    assert not test.error
    text = texts(test)
    assert "Which size is best at each compute budget?" in text
    assert "Where on the loss surface did the runs lie?" in text
    assert "Bias of IsoFLOP" in text
    assert "methods give an exponent" in text
    numbers = next(d.value for d in test.dataframe if "parameter" in d.value.columns)
    assert {"E", "A", "B", "alpha", "beta", "a"} <= set(numbers["parameter"])
    refused = numbers[numbers["refused"] != ""]
    warned = "\n".join(warning.value for warning in test.warning)
    assert set(refused["method"]) <= {line.partition(": ")[0] for line in warned.split("  \n")}
    assert all(f"Refused: {text.partition(': ')[0]}" in warned for text in refused["refused"])


def test_a_study_that_is_not_fitted_names_the_command(root: Path) -> None:
    test = opened("scaling", root)
    assert test.code[0].value == "dvc repro plot@planned"


def test_without_a_study_the_page_says_so(tmp_path: Path) -> None:
    files.write(tmp_path / "params.yaml", "variants: {}\n")
    assert "no scaling study" in opened("scaling", tmp_path).info[0].value
