"""The code of docs/plugins.md, in a package elsewhere: it is measured, drawn, checked and shown like ours."""

import re
import tomllib
from pathlib import Path

import pytest
import workspace
from recipes import Page
from workspace import Workspace

pytestmark = pytest.mark.pipeline

SECTIONS = Page.of("docs/plugins.md").sections
FIRST, WITH_VIEWS = SECTIONS["The first instrument"], SECTIONS["With views"]
FAMILY, SCALING = SECTIONS["A family"], SECTIONS["A model, a dataset or a loss of a scaling study"]
RECIPES = {path: text for page in Page.of("CONTRIBUTING.md").sections.values() for path, text in page.files.items()}
APP = (workspace.REPOSITORY / "app", workspace.REPOSITORY / "tests" / "app")
SHOWN = """
from pathlib import Path
from pages import opened, texts
print(texts(opened("explore", Path(), variant="tiny", view="head_entropy.overview")))
test = opened("catalogue", Path())
print(texts(test.selectbox(key="catalogue.instrument").set_value("head_entropy").run()))
"""
CASES = """
from pathlib import Path
from miscope.calibration.table import cases
from miscope.workspace import Workspace
print(*(answer.is_right for case in cases(Workspace(Path()).catalog) for answer in case.answers()
        if case.instrument == "head_entropy"))
"""


class Lab:
    """A workspace, and a folder elsewhere in which Python finds packages."""

    def __init__(self, made: Workspace, path: Path) -> None:
        self.made, self.path = made, path

    def run(self, *words: str) -> str:
        paths = ":".join(map(str, (self.made.path / "src", self.path, *APP)))
        return self.made.run("env", f"PYTHONPATH={paths}", *words).stdout

    def computed(self, *words: str) -> set[str]:
        """The instruments of which a command computed anything."""
        self.made.computed()
        self.run(*words)
        return self.made.computed()


@pytest.fixture
def lab(own_copy: Workspace, tmp_path: Path) -> Lab:
    (tmp_path / "elsewhere").mkdir()
    return Lab(own_copy, tmp_path / "elsewhere")


def test_the_first_instrument_is_measured_stored_and_listed(lab: Lab) -> None:
    FIRST.follow(lab.made, lab.path)
    reproduce, instruments, _ = (line.split() for line in FIRST.commands)
    assert lab.computed(*reproduce, "report") == {"head_entropy"}
    assert "\nhead_entropy                 per checkpoint" in lab.run(*instruments)
    _, snippet = FIRST.blocks("python")
    nats = float(lab.run("python", "-c", snippet.replace("modulus_113", "tiny")))
    assert nats == pytest.approx(1.0986, abs=0.01)  # an untrained head attends evenly to three positions: ln 3


def test_with_views_it_is_drawn_calibrated_checked_and_shown(lab: Lab) -> None:
    WITH_VIEWS.follow(lab.made, lab.path)
    lab.made.edit("params.yaml", "instruments:\n", "instruments:\n" + WITH_VIEWS.blocks("yaml")[0])
    reproduce, views, _ = (line.split() for line in WITH_VIEWS.commands)
    assert lab.computed(*reproduce, "report") == {"head_entropy"}
    question = "When do heads stop attending evenly?"
    assert re.search(rf"^head_entropy\.overview +over training +{re.escape(question)}$", lab.run(*views), re.M)
    assert b'id="head_entropy.overview"' in lab.made.bytes_of("artifacts/tiny")["report.html"]
    assert lab.run("python", "-c", CASES) == "True\n"
    lab.run("python", "-c", WITH_VIEWS.blocks("python")[-1])
    assert lab.run("python", "-c", SHOWN).count(question) >= 1

    module = lab.path / "my_lab" / "head_entropy.py"
    module.write_text(module.read_text().replace(".mean(axis=1))", ".max(axis=1))"))
    (command,) = re.findall(r"stale: 1 of .* run `(.+)`$", lab.run("python", "-m", "miscope", "variants"), re.M)
    assert command.startswith(FIRST.commands[0])
    assert lab.computed("dvc", "repro", "report") == set()  # DVC does not watch the package
    assert lab.computed(*command.split()) == {"head_entropy"}
    assert "analysed" in lab.run("python", "-m", "miscope", "variants")


def test_an_installed_package_names_its_instruments_as_entry_points(lab: Lab) -> None:
    FIRST.follow(lab.made, lab.path)
    lab.made.edit("params.yaml", FIRST.entries["instruments"], "")
    ((group, entries),) = tomllib.loads(WITH_VIEWS.blocks("toml")[0])["project"]["entry-points"].items()
    installed = lab.path / "my_lab-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my_lab\nVersion: 1.0\n")
    lines = (f"{name} = {module}" for name, module in entries.items())
    (installed / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
    variants = lab.run("python", "-m", "miscope", "variants")
    (command,) = re.findall(r"trained: 1 of .* missing; run `(.+)`$", variants, re.M)
    assert lab.computed(*command.split()) == {"head_entropy"}


def test_a_family_brings_its_settings_and_its_views(lab: Lab) -> None:
    FAMILY.follow(lab.made, lab.path)
    (lab.path / "my_lab").mkdir()
    for name, module in (("larger_of_two", "tasks"), ("larger_of_two_views", "tasks_views")):
        (lab.path / "my_lab" / f"{module}.py").write_text(RECIPES[f"src/miscope/families/{name}.py"])
    assert "\nlarger                   larger_n16_s1_d0" in "\n" + lab.run("python", "-m", "miscope", "variants")
    assert "\ntasks.by_gap " in lab.run("python", "-m", "miscope", "views")


def test_model_dataset_and_loss_of_a_study_are_made_and_tried(lab: Lab) -> None:
    (lab.made.path / "params.yaml").write_text("scaling:\n\nvariants: {}\n")
    SCALING.follow(lab.made)
    (lab.path / "my_lab").mkdir()
    for module, names in (("nets", ["models/gru"]), ("data", ["datasets/coins", "losses/smoothed"])):
        texts = [RECIPES[f"src/miscope/scaling/{name}.py"] for name in names]
        (lab.path / "my_lab" / f"{module}.py").write_text("\n".join(texts))
    planned = lab.run(*SCALING.commands[0].split())
    assert len(re.findall(r"^[0-9a-f]{12} +1\.00e\+08 ", planned, re.M)) == 2
