"""The page Scaling, on a study that is fitted, one that is not, and none."""

import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from miscope.maths.power_laws import Law
from miscope.scaling import laws, results
from miscope.scaling.settings import Settings
from miscope.workspace import files

PAGE = """
from pathlib import Path
import scaling, style
style.apply()
scaling.page_of(Path({root!r}))
"""
TRUE = Law(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)


def opened(root: Path) -> AppTest:
    return AppTest.from_string(PAGE.format(root=str(root)), default_timeout=120).run()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`toy` is fitted, `planned` only declared."""
    made = tmp_path_factory.mktemp("scaling")
    files.write(made / "params.yaml", "variants: {}\nscaling: {planned: {}, toy: {}}\n")
    budget = np.repeat(np.geomspace(1e19, 1e21, 3), 6)
    sizes = np.asarray(TRUE.best_parameters(budget)) * np.tile(np.geomspace(0.2, 5, 6), 3)
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(18))
    loss = np.asarray(TRUE.loss(sizes, budget / 6 / sizes)) * noise
    points = [
        {
            "id": f"r{i}",
            "budget": budget[i],
            "parameters": sizes[i],
            "tokens": budget[i] / 6 / sizes[i],
            "loss": loss[i],
        }
        for i in range(18)
    ]
    content = {"schema": 1, "study": "toy", "convention": "all but embeddings", "entropy": None, "points": points}
    files.write(results.path(made, "toy"), json.dumps(content))
    runs = results.read(results.path(made, "toy"), "toy")
    fit = laws.study(runs, Settings(methods=("squared",), draws=40))
    files.write(laws.path(made, "toy"), files.pretty_json(fit))
    return made


def test_a_fitted_study_shows_pictures_numbers_and_refusals(root: Path) -> None:
    test = opened(root)
    test.selectbox(key="scaling.study").set_value("toy").run()
    assert not test.exception
    assert not test.error
    text = "\n".join(str(element.value) for element in test.markdown)
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
    test = opened(root)
    assert not test.exception
    assert test.code[0].value == "dvc repro fit@planned"


def test_without_a_study_the_page_says_so(tmp_path: Path) -> None:
    files.write(tmp_path / "params.yaml", "variants: {}\n")
    test = opened(tmp_path)
    assert not test.exception
    assert "no scaling study" in test.info[0].value
