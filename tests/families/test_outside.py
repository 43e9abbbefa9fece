"""A family from outside: a module in a folder of the user's own is trained, analysed and drawn like any other."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import workspace
from miscope.story import story
from streamlit.testing.v1 import AppTest
from workspace import Workspace

from miscope import api, catalog
from miscope.core import MiscopeError
from miscope.workspace import analysis, configuration, files

MODULE = '''
"""The later of two letters: a task with an order."""

from dataclasses import dataclass, replace

import numpy as np

from miscope.core import Context, Examples, Family, ModelConfig, Probe, Recipe, Split
from miscope.maths.spectra import Basis


@dataclass(frozen=True)
class Later(Family):
    """Tokens `a b`, the answer read at b."""

    n_letters: int = 9
    is_reversed: bool = False

    controls = {"Without weight decay nothing else changes.": {"weight_decay": 0.0}}

    def model(self):
        n = self.n_letters
        return ModelConfig(
            n_layers=1, d_model=32, n_heads=2, d_head=16, d_mlp=64, n_ctx=2, d_vocab=n, d_vocab_out=n
        )

    def recipe(self):
        return Recipe(steps=60)

    def positions(self):
        return (1,)

    def split(self, data_seed):
        probe = self.context(data_seed).probe
        return Split(*(Examples(probe.tokens[i], probe.targets[i, None]) for i in (probe.is_train, ~probe.is_train)))

    def context(self, data_seed):
        n = self.n_letters
        a, b = np.divmod(np.arange(n * n), n)
        is_train = np.random.default_rng(data_seed).permutation(n * n) < n * n // 2
        later = np.minimum(a, b) if self.is_reversed else np.maximum(a, b)
        probe = Probe(np.stack([a, b], axis=1), later, is_train)
        return Context(probe, 1, Basis("fourier", n, is_native=False), latents={"a": a})

    def label(self, seed, data_seed):
        return f"later_{self.n_letters}_s{seed}"


class Shapeless:
    """No family at all."""


@dataclass(frozen=True)
class Half(Family):
    def model(self):
        return ModelConfig(1, 8, 1, 8, 8, 2, 4, 4)


@dataclass(frozen=True)
class Wild(Later):
    """Its answers are no classes of the model."""

    def split(self, data_seed):
        split = super().split(data_seed)
        return Split(replace(split.train, targets=split.train.targets + 9), split.test)


@dataclass(frozen=True)
class Broken(Later):
    def context(self, data_seed):
        return 1 / 0
'''
VARIANTS = """\
variants:
  mine:
    family: outside
    _target_: outside_lab_of_tests.tasks.Later
    n_letters: 7
    seed: 3
    steps: 40
    checkpoints:
      - every: 20
"""
FORM = """
from pathlib import Path
import style, train
style.apply()
train.page(Path({root!r}))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with a variant of the module's family, trained by DVC."""
    made = workspace.create(tmp_path_factory.mktemp("outside") / "lab", VARIANTS)
    (made.path / "outside_lab_of_tests").mkdir()
    (made.path / "outside_lab_of_tests" / "tasks.py").write_text(MODULE, encoding="utf-8")
    assert made.repro("train@mine", "probe@mine") == {"train@mine", "probe@mine"}
    yield made


def test_the_whole_catalogue_runs_on_it_and_every_view_draws_or_says_why_not(lab: Workspace) -> None:
    for name in (*catalog.analyzers(), *catalog.trackers()):
        summary = analysis.bring_up_to_date(lab.path, "mine", name)
        assert summary.computed > 0 or summary.reason.endswith("."), name
    variant = api.load_variant("mine", lab.path)
    assert variant.label == "later_7_s3"
    figures = [json.loads(variant.at(20).view(name).json()) for name in catalog.views()]
    absent = [figure["layout"]["meta"]["absent"] for figure in figures if "absent" in figure["layout"].get("meta", {})]
    assert all(reason.endswith(".") for reason in absent)
    assert sum(bool(figure["data"]) for figure in figures) == len(figures) - len(absent) > 20
    lab.run("python", "stages/render.py", "mine")
    page = report.page(files.folder_of(lab.path, "mine"), story(lab.path, "mine"))
    assert "<p>The network has one layer, so no head reads what another head writes.</p>" in page


def test_changed_code_of_the_family_is_seen_though_dvc_does_not_watch_it(lab: Workspace, tmp_path: Path) -> None:
    copied = lab.copy(tmp_path / "copy")
    copied.edit("outside_lab_of_tests/tasks.py", "np.maximum(a, b)", "np.minimum(a, b)")
    code = "from pathlib import Path; from miscope import freshness; print(status.status(Path(), 'mine', 'losses'))"
    out = copied.run("python", "-c", code).stdout
    assert "was trained with other code of `outside_lab_of_tests.tasks.Later`" in out


def test_its_form_is_made_from_its_settings_and_adds_a_variant(
    lab: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(workspace.REPOSITORY / "app"))
    copied = lab.copy(tmp_path / "copy")
    test = AppTest.from_string(FORM.format(root=str(copied.path)), default_timeout=120).run()
    test.selectbox(key="train.family").set_value("outside_lab_of_tests.tasks.Later").run()
    assert not test.exception
    test.number_input(key="train.Later.n_letters").set_value(11)
    test.toggle(key="train.Later.is_reversed").set_value(True)
    test.radio(key="train.Later.control").set_value("Without weight decay nothing else changes.").run()
    test.button(key="train.add").click().run()
    assert not test.exception
    added = configuration.load(copied.path).variants["Later_1"]
    assert (added.family.n_letters, added.family.is_reversed, added.recipe.weight_decay) == (11, True, 0.0)
    assert "dvc repro report@Later_1" in "\n".join(code.value for code in test.code)
    assert "n_letters: 7" in (copied.path / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Shapeless", "is no family: it lacks @dataclass(frozen=True), the base class miscope.core.Family, the method"),
        ("Half", "is no family: it lacks the method `recipe`, the method `positions`, the method `split`, the method"),
        ("Missing", "cannot be loaded"),
        ("Wild", "Wild is no family yet: targets of the train split run from 9 to 15, allowed -1 to 6"),
        ("Broken", "Broken: ZeroDivisionError in its methods: division by zero"),
    ],
)
def test_what_is_no_family_is_refused_with_what_it_lacks(name: str, sentence: str, lab: Workspace) -> None:
    settings = {"n_letters": 7} if name in ("Wild", "Broken") else {}
    spec = {"family": "outside", "_target_": f"outside_lab_of_tests.tasks.{name}", **settings}
    with pytest.raises(MiscopeError) as caught:
        configuration.variant("x", spec, lab.path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_without_the_family_outside_is_refused_and_the_other_way_round(lab: Workspace) -> None:
    for spec in ({"family": "outside"}, {"family": "modulo_addition", "_target_": "a.B"}):
        with pytest.raises(MiscopeError, match="must have `family: outside` and `_target_: a dotted path` together"):
            configuration.variant("x", spec, lab.path)
