"""The recipes of CONTRIBUTING.md, copied from the page into a workspace and run by real DVC."""

import re
from pathlib import Path

import numpy as np
import pytest
import workspace
from workspace import Workspace

pytestmark = pytest.mark.pipeline

BLOCK = re.compile(r"^`(?P<path>\S+?)`(?:, under `(?P<section>\w+):`|:)\n\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)


def recipe(title: str) -> str:
    """The text of one section."""
    page = (workspace.REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    return sections[title]


def follow(title: str, made: Workspace) -> list[str]:
    """Write the files of a recipe into a workspace; what comes back are their paths."""
    blocks = list(BLOCK.finditer(recipe(title)))
    for block in blocks:
        if block["section"]:
            made.edit(block["path"], f"{block['section']}:\n", f"{block['section']}:\n{block['text']}")
        else:
            path = made.path / block["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["text"], encoding="utf-8")
    return [block["path"] for block in blocks]


def commands(title: str) -> list[list[str]]:
    """The lines of a recipe's shell blocks."""
    return [line.split() for block in re.findall(r"^```sh\n(.*?)^```$", recipe(title), re.M | re.S)
            for line in block.splitlines()]  # fmt: skip


def test_every_block_of_code_is_a_file_or_a_command() -> None:
    for title in ("Add an analyzer", "Add a view", "Add a family"):
        fences = re.findall(r"^```(\w+)$", recipe(title), re.M)
        assert len(fences) == len(list(BLOCK.finditer(recipe(title)))) + fences.count("sh")


def test_an_analyzer_and_its_view_are_a_file_each_and_run_nothing_else(own_copy: Workspace) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    files = follow("Add an analyzer", own_copy)
    assert files == [
        "src/miscope/analyzers/token_similarity.py", "params.yaml", "tests/instruments/test_token_similarity.py"
    ]  # fmt: skip
    (reproduce,) = commands("Add an analyzer")
    assert own_copy.repro(*reproduce[2:]) == {"analyze@tiny", "render@tiny", "report@tiny"}
    assert_clean(own_copy, files)
    assert_tested(own_copy, files[-1])
    found = python(own_copy, "import miscope; a = miscope.load_variant('tiny').artifact('token_similarity')",
                   "print(len(a), a[0].cosine.shape, a[0].cosine[0].round(9))")  # fmt: skip
    assert found == "11 (7,) 1.0"

    files = follow("Add a view", own_copy)
    assert files == ["src/miscope/views/token_similarity/overview.py"]
    assert_clean(own_copy, files)
    list_views, reproduce = commands("Add a view")
    question = "When does the distance between two tokens decide how alike they are?"
    assert f"token_similarity.overview            over training  {question}" in own_copy.run(*list_views).stdout
    assert own_copy.repro(*reproduce[2:]) == {"render@tiny", "report@tiny"}
    rows = python(own_copy, "import miscope; t = miscope.load_variant('tiny').view('token_similarity').table()",
                  "print(len(t), *t.columns)")  # fmt: skip
    assert rows == "66 step distance cosine"
    assert b"token_similarity.overview" in own_copy.bytes_of("artifacts/tiny")["report.html"]

    after = own_copy.bytes_of("artifacts/tiny")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in changed if "token_similarity" not in name} == {"report.html"}


def test_a_family_is_a_file_and_every_instrument_measures_it_or_says_why_not(own_copy: Workspace) -> None:
    before = own_copy.bytes_of("artifacts/tiny")
    files = follow("Add a family", own_copy)
    assert files == ["src/miscope/families/larger_of_two.py", "params.yaml", "tests/families/test_larger_of_two.py"]
    assert_clean(own_copy, files)
    reproduce, show = commands("Add a family")
    ran = own_copy.repro(*reproduce[2:])
    assert {"train@larger", "probe@larger", "report@larger"} <= ran
    assert not {name for name in ran if name.endswith("@tiny")}
    assert own_copy.bytes_of("artifacts/tiny") == before

    head, *lines = own_copy.run(*show).stdout.splitlines()
    assert head == "larger: larger_n16_s1_d0, 51 checkpoints"
    states = {line[2:31].strip(): line[31:].strip() for line in lines}
    assert not [line for line in states.values() if not re.fullmatch(r"fresh|not applicable +[A-Z].*\.", line)]
    assert states["neuron_spectra"] == states["phases"] == "fresh"
    assert len(states) == len(own_copy.run("python", "-m", "miscope", "instruments").stdout.splitlines())
    assert_learned(own_copy.path)
    contract = workspace.REPOSITORY / "tests" / "families" / "test_families.py"
    (own_copy.path / "tests/families/test_families.py").write_text(contract.read_text())
    assert_tested(own_copy, "tests/families")


def assert_learned(root: Path) -> None:
    curve = np.genfromtxt(root / "artifacts/larger/curves.csv", delimiter=",", names=True)
    assert curve["test_loss"][-1] < 0.2 * curve["test_loss"][0]


def assert_clean(made: Workspace, files: list[str]) -> None:
    """The recipe keeps the house's own rules of lint and format."""
    python_files = [file for file in files if file.endswith(".py")]
    made.run("ruff", "check", "--no-cache", *python_files)
    made.run("ruff", "format", "--no-cache", "--check", *python_files)


def assert_tested(made: Workspace, path: str) -> None:
    """Pytest passes on the recipe's own test."""
    assert " passed" in made.run("python", "-m", "pytest", "-p", "no:cacheprovider", path).stdout


def python(made: Workspace, *lines: str) -> str:
    return made.run("python", "-c", "\n".join(lines)).stdout.strip()
