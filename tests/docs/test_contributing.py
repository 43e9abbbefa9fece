"""The recipes of CONTRIBUTING.md, copied from the page: each is whole, and nothing else is edited for it."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import workspace
from recipes import Page
from workspace import Workspace

PAGE = Page.of("CONTRIBUTING.md")
RECIPES = {title: page for title, page in PAGE.sections.items() if title.startswith("Add ")}
INSTRUMENTS = ("Add an instrument", "Add an instrument over training")
FAMILY, SCALING = "Add a family", "Add a model, a dataset or a loss of scaling studies"
PICKED_UP = (  # the tests that take in a plugin by discovery
    "tests/instruments/test_contract.py",
    "tests/families",
    "tests/known_answers",
    "tests/studies/test_plan.py",
    "tests/test_catalog.py",
)


def test_the_recipes_are_those() -> None:
    assert tuple(RECIPES) == (*INSTRUMENTS, FAMILY, SCALING)


@pytest.mark.parametrize("title", RECIPES)
def test_every_block_of_a_recipe_is_a_new_file_an_entry_of_params_or_a_command(title: str) -> None:
    recipe = RECIPES[title]
    assert len(recipe.languages) == len(recipe.files) + len(recipe.entries) + recipe.languages.count("sh")
    assert recipe.files and not [file for file in recipe.files if (workspace.REPOSITORY / file).exists()]
    assert title not in INSTRUMENTS or len({Path(file).parent for file in recipe.files}) == 1


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the repository in which all recipes were followed."""
    path = tmp_path_factory.mktemp("recipes") / "repository"
    left_out = shutil.ignore_patterns(".*", "artifacts", "__pycache__", "*.egg-info")
    shutil.copytree(workspace.REPOSITORY, path, ignore=left_out)
    made = Workspace(path)
    for recipe in RECIPES.values():
        recipe.follow(made)
    return made


def test_what_the_recipes_add_passes_make_check(repository: Workspace) -> None:
    files = [file for recipe in RECIPES.values() for file in recipe.files if file.endswith(".py")]
    repository.run("ruff", "check", "--no-cache", *files)
    repository.run("ruff", "format", "--no-cache", "--check", *files)
    cache = str(workspace.REPOSITORY / ".mypy_cache" / "recipes")
    repository.run("mypy", "--cache-dir", cache, *(file for file in files if file.startswith("src/")))
    repository.run("lint-imports", "--no-cache")


def test_what_the_recipes_add_passes_the_tests_that_take_it_in(repository: Workspace) -> None:
    chosen = [line.partition(" -k ")[2].strip('"') for line in commands("pytest")]
    words = ["python", "-m", "pytest", "-rp", "-p", "no:cacheprovider", "-k", " or ".join(chosen), *PICKED_UP]
    out = repository.run(*words).stdout
    passed = " ".join(re.findall(r"^PASSED (.+)$", out, re.M))
    for name in (word for words in chosen for word in words.split(" or ")):
        assert name in passed, f"no test takes in {name}:\n{out}"


def commands(start: str) -> list[str]:
    return [line for recipe in RECIPES.values() for line in recipe.commands if line.startswith(start)]


# ---------------------------------------------------------------- under real DVC


@pytest.mark.pipeline
def test_instruments_are_measured_and_drawn_and_no_other_computes_anything(own_copy: Workspace) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    for title in INSTRUMENTS:
        RECIPES[title].follow(own_copy)
        assert RECIPES[title].commands[0] == "python -m miscope run"
    own_copy.computed()
    *written, last = own_copy.make()
    assert written == [f"wrote stages/{name}/dvc.yaml" for name in ("embedding_drift", "token_similarity")]
    assert re.fullmatch(
        r"7 stages ran, \d+ were up to date, 0 failed\.", last
    )  # and keys, the family's views, the report
    assert own_copy.computed() == {"token_similarity", "embedding_drift"}
    assert own_copy.repro() == set()
    after = own_copy.bytes_of("artifacts/tiny")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    added = {name for name in changed if "token_similarity" in name or "embedding_drift" in name}
    assert changed == added | {"report.html"}
    for view in ("token_similarity.overview", "token_similarity.profile", "embedding_drift.overview"):
        assert view.encode() in after["report.html"]
    questions = own_copy.run("python", "-m", "miscope", "views").stdout
    assert "When does the distance between two tokens decide how alike they are?" in questions
    code = "import miscope; print(len(miscope.load_variant('tiny').view('token_similarity').table()))"
    assert own_copy.run("python", "-c", code).stdout == "66\n"  # 11 checkpoints, distances 1 to 6


@pytest.mark.pipeline
def test_a_family_is_learned_and_every_instrument_measures_it_or_says_why_not(own_copy: Workspace) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    RECIPES[FAMILY].follow(own_copy)
    reproduce, metrics, show, views, _ = (line.split() for line in RECIPES[FAMILY].commands)
    assert own_copy.make(*reproduce[4:])[-1].endswith("0 failed.")
    assert own_copy.bytes_of("artifacts/tiny") == before

    head, *lines = own_copy.run(*show).stdout.splitlines()
    assert head == "larger: larger_n16_s1_d0, 11 checkpoints"
    states = {line[2:31].strip(): line[31:].strip() for line in lines}
    assert not [line for line in states.values() if not re.fullmatch(r"fresh|not applicable +[A-Z].*\.", line)]
    assert states["neuron_spectra"] == states["phases"] == states["task_metrics"] == "fresh"
    curve = np.genfromtxt(own_copy.path / "artifacts/larger/curves.csv", delimiter=",", names=True)
    assert curve["test_loss"][-1] < 0.2 * curve["test_loss"][0]
    assert curve["test_distance"][-1] < 0.2 * curve["test_distance"][0]

    shown = json.loads(own_copy.run(*metrics, "--json").stdout)[""]["data"]["artifacts/larger/metrics.json"]["data"]
    assert shown["test_distance"] == curve["test_distance"][-1]
    assert "larger_of_two.by_gap" in own_copy.run(*views).stdout
    assert b'id="larger_of_two.by_gap"' in own_copy.bytes_of("artifacts/larger")["report.html"]


@pytest.mark.pipeline
def test_a_study_of_the_added_model_dataset_and_loss_runs(tmp_path: Path) -> None:
    made = workspace.create(tmp_path / "study", "scaling:\n\nvariants: {}\n")
    RECIPES[SCALING].follow(made)
    made.run(*RECIPES[SCALING].commands[0].split())
    results = json.loads((made.path / "artifacts/scaling/recurrent/results.json").read_text())
    losses = [point["loss"] for point in results["points"]]
    assert len(losses) == 2 and max(losses) < np.log(2)  # which is that of tosses that remember nothing
