"""A family from outside, that of CONTRIBUTING.md: it is trained, measured and drawn like any other."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import workspace
from recipes import Page
from streamlit.testing.v1 import AppTest

from miscope import __main__ as command_line
from miscope.core import MiscopeError
from miscope.report.page import page
from miscope.report.timeline import timeline
from miscope.training.loop import train
from miscope.workspace import Workspace, analysis, configuration, drawing
from miscope.workspace.files import Folder

RECIPE = Page.of("CONTRIBUTING.md").sections["Add a family"].files  # larger_of_two: the larger of two numbers
MODULE = (
    RECIPE["src/miscope/families/larger_of_two.py"]
    + """
from dataclasses import replace


@dataclass(frozen=True)
class Later(LargerOfTwo):
    is_reversed: bool = False  # the smaller number is the answer

    def context(self, data_seed):
        context = super().context(data_seed)
        smaller = context.probe.tokens[:, :2].min(axis=1)
        return replace(context, probe=replace(context.probe, targets=smaller)) if self.is_reversed else context


@dataclass(frozen=True)
class Silent(LargerOfTwo):
    "Its loss is the size of the logits: it is lowest where every answer is as likely."

    def loss(self, logits, batch):
        assert len(logits) == len(batch["targets"]) == len(batch["tokens"])
        return logits.square().mean()


class Shapeless:
    pass


@dataclass(frozen=True)
class Half(Family):
    def model(self):
        return ModelConfig(1, 8, 1, 8, 8, 2, 4, 4)


@dataclass(frozen=True)
class Wild(LargerOfTwo):
    "Its answers are no classes of the model."

    def split(self, data_seed):
        split = super().split(data_seed)
        return Split(replace(split.train, targets=split.train.targets + 9), split.test)


@dataclass(frozen=True)
class Broken(LargerOfTwo):
    def context(self, data_seed):
        return 1 / 0
"""
)
VIEWS = (
    RECIPE["src/miscope/families/larger_of_two_views.py"]
    + """

@view(question="Which?", reading="One is right.", draw=heatmap("a", "b", "right"), of="losses", null="correctness")
def by_pair(losses, context, step):
    right = losses[step].is_correct.reshape(context.grid).astype(float)
    return Table(long("right", right, a=np.arange(len(right)), b=np.arange(len(right))))
"""
)
VARIANTS = """\
variants:
  mine: {_target_: lab_of_tasks.tasks.Later, n_numbers: 7, seed: 3, steps: 4, checkpoints: [2]}
  silent: {_target_: lab_of_tasks.tasks.Silent, n_numbers: 7, seed: 3, steps: 150, weight_decay: 0.0}
"""
FORM = """
from pathlib import Path
import style, train
from miscope.workspace import Workspace
style.apply()
train.page(Workspace(Path({root!r})))
"""


def made_lab(root: Path, package: str = "lab_of_tasks", views: str = VIEWS) -> Workspace:
    """A workspace whose variant `mine`, of a family of a package of its own, is trained and measured twice."""
    (root / package).mkdir()
    (root / package / "tasks.py").write_text(MODULE, encoding="utf-8")
    (root / package / "tasks_views.py").write_text(views, encoding="utf-8")
    (root / "params.yaml").write_text(VARIANTS.replace("lab_of_tasks", package))
    lab = Workspace(root)
    train(lab.config.variant("mine"), lab.folder("mine"))
    analysis.write_probe(lab.config, lab.folder("mine"))
    analysis.bring_up_to_date(lab.config, lab.folder("mine"), ["losses", "task_metrics"])
    return lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return made_lab(tmp_path_factory.mktemp("outside"))


def curve(folder: Folder) -> list[dict[str, float]]:
    with folder.curves.open(encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


# ---------------------------------------------------------------- what it brings


def test_its_own_numbers_are_in_the_curve_the_metrics_and_the_record_and_are_measured(lab: Workspace) -> None:
    rows, loaded, folder = curve(lab.folder("mine")), lab.load("mine"), lab.folder("mine")
    output, is_test = loaded.artifact("task_metrics"), ~loaded.context.probe.is_train
    assert output.train[0].tolist() == [row["train_distance"] for row in rows]
    assert output.test[0].tolist() == [row["test_distance"] for row in rows]
    n_wrong = (~loaded.artifact("losses")[4].is_correct & is_test).sum()
    assert n_wrong <= output.test[0, -1] * is_test.sum() <= 6 * n_wrong  # a wrong answer is 1 to 6 off
    metrics = json.loads(folder.metrics.read_text())
    assert metrics["test_distance"] == rows[-1]["test_distance"]
    assert json.loads(folder.record.read_text())["metrics"] == metrics


def test_its_own_numbers_outlive_a_training_that_goes_on(lab: Workspace, tmp_path: Path) -> None:
    variant, later, once = lab.config.variant("mine"), Folder(tmp_path / "later"), Folder(tmp_path / "once")
    train(variant, later)
    for folder in (later, once):
        train(replace(variant, checkpoint_steps=(0, 2, 3, 4)), folder)
    assert curve(later) == curve(once)


def test_its_own_loss_is_what_training_lowers(lab: Workspace, tmp_path: Path) -> None:
    train(lab.config.variant("silent"), Folder(tmp_path / "silent"))
    first, *_, last = curve(Folder(tmp_path / "silent"))
    assert abs(first["train_loss"] - math.log(7)) > 0.02
    assert last["train_loss"] == pytest.approx(math.log(7), abs=1e-3)  # every answer is as likely


def test_its_views_are_drawn_reported_and_listed(lab: Workspace) -> None:
    loaded, folder = lab.load("mine"), lab.folder("mine")
    for name in ("losses", "task"):
        drawing.bring_up_to_date(loaded, name)
    files = {path: path.stat().st_mtime_ns for path in (folder.views / "task").iterdir()}
    assert {path.name for path in files} == {"by_gap.json", "by_pair.json", "drawn_from"}
    is_correct = loaded.artifact("losses")[2].is_correct
    assert loaded.at(2).view("tasks.by_pair").table()["right"].tolist() == is_correct.tolist()
    by_gap = loaded.view("tasks.by_gap").table().set_index(["step", "gap"])["accuracy"]
    assert by_gap[2, 0] == pytest.approx(is_correct.reshape(7, 7).diagonal().mean())
    assert loaded.view("tasks.by_pair").null() == loaded.view("losses.correctness").null()
    report = page(folder, timeline(loaded))
    assert 'href="#task"' in report and 'id="tasks.by_gap"' in report and "Each row holds the pairs" in report
    listed = [line.split()[0] for line in command_line.views(lab)]
    assert listed[-2:] == ["tasks.by_gap", "tasks.by_pair"]
    assert drawing.bring_up_to_date(loaded, "task").kept == 2
    assert {path: path.stat().st_mtime_ns for path in files} == files  # what is fresh is not drawn again


MISTAKES = {
    "nothing_drawn": ('    of="losses",\n', "", 'the view `by_gap` must say what it draws: `of="losses"`.'),
    "misspelt": ('of="losses"', 'of="loses"', "There is no instrument `loses`. Did you mean `losses`?"),
    "no_null": ('    null="accuracy",\n', "", "the view `by_gap` must name the view of `losses` whose null it shares"),
    "no_module": ("import numpy", "import nunpy", "The views of the family `tasks` cannot be loaded from"),
    "raises": ("losses[step].is_correct", "losses[step].is_right", "AttributeError: 'Losses' object has no attribute"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_its_views_is_one_line_and_the_others_are_drawn(mistake: str, tmp_path: Path) -> None:
    old, new, sentence = MISTAKES[mistake]
    assert old in VIEWS
    lab = made_lab(tmp_path, f"lab_{mistake}", VIEWS.replace(old, new, 1))
    with pytest.raises(MiscopeError) as refused:
        drawing.bring_up_to_date(lab.load("mine"), "task")
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
    drawing.bring_up_to_date(lab.load("mine"), "losses")
    assert (lab.folder("mine").views / "losses" / "overview.json").is_file()


# ---------------------------------------------------------------- what it is made of


def test_changed_code_of_the_family_is_seen_though_dvc_does_not_watch_it(lab: Workspace) -> None:
    assert lab.load("mine").label == "larger_n7_s3_d0"
    assert lab.load("mine").status("losses").state == "fresh"
    comment = ("return Recipe", "# a comment\n        return Recipe", "fresh")
    for old, new, expected in (comment, ("maximum", "minimum", "stale")):
        (lab.root / "lab_of_tasks" / "tasks.py").write_text(MODULE.replace(old, new), encoding="utf-8")
        (lab.root / "params.yaml").write_text(VARIANTS)
        state = lab.load("mine").status("losses")
        assert state.state == expected
    assert state.sentence.startswith("`mine` was trained with other code of `lab_of_tasks.tasks.Later`, which DVC does")
    assert "`python -m miscope run train@mine`" in state.sentence
    (lab.root / "lab_of_tasks" / "tasks.py").write_text(MODULE, encoding="utf-8")


def test_its_form_is_made_from_its_settings_and_adds_a_variant(lab: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(workspace.REPOSITORY / "app"))
    test = AppTest.from_string(FORM.format(root=str(lab.root)), default_timeout=120).run()
    test.selectbox(key="train.family").set_value("lab_of_tasks.tasks.Later").run()
    assert not test.exception
    test.number_input(key="train.Later.n_numbers").set_value(11)
    test.toggle(key="train.Later.is_reversed").set_value(True)
    (control,) = lab.variants["mine"].family.controls
    test.radio(key="train.Later.control").set_value(control).run()
    test.button(key="train.add").click().run()
    assert not test.exception
    added = lab.variants["Later_1"]
    assert (added.family.n_numbers, added.family.is_reversed, added.recipe.weight_decay) == (11, True, 0.0)
    assert "dvc repro report@Later_1" in "\n".join(code.value for code in test.code)
    assert "n_numbers: 7" in (lab.root / "params.yaml").read_text()


NO_FAMILIES = {
    "Shapeless": "is no family: it lacks @dataclass(frozen=True), the base class miscope.plugin.Family, the method",
    "Half": "is no family: it lacks the method `recipe`, the method `positions`, the method `split`, the method",
    "Missing": "cannot be loaded",
    "Wild": "Wild is no family yet: targets of the train split run from 9 to 15, allowed -1 to 6",
    "Broken": "Broken: ZeroDivisionError in its methods: division by zero",
}


@pytest.mark.parametrize("name", NO_FAMILIES)
def test_what_is_no_family_is_refused_with_what_it_lacks(name: str, lab: Workspace) -> None:
    settings = {"n_numbers": 7} if name in ("Wild", "Broken") else {}
    with pytest.raises(MiscopeError) as caught:
        configuration.variant("x", {"_target_": f"lab_of_tasks.tasks.{name}", **settings}, lab.root)
    assert NO_FAMILIES[name] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variant_names_a_family_or_the_path_of_one(tmp_path: Path) -> None:
    for spec, said in (
        ({"family": "modulo_addition", "_target_": "a.B"}, "names both a `family` and a `_target_`"),
        ({"seed": 1}, r"names no `family`; known: .*, or `_target_`\."),
        ({"_target_": 7}, "must be a dotted path, such as my_lab"),
    ):
        with pytest.raises(MiscopeError, match=said):
            configuration.variant("x", spec, tmp_path)
