"""A family from outside: a module in a folder of the user's own is trained and measured like any other."""

from pathlib import Path

import pytest
import workspace
from streamlit.testing.v1 import AppTest

from miscope.core import MiscopeError
from miscope.training.loop import train
from miscope.workspace import Workspace, analysis, configuration

MODULE = '''
"""The later of two letters: a task with an order."""

from dataclasses import dataclass, replace

import numpy as np

from miscope.plugin import Basis, Context, Examples, Family, ModelConfig, Probe, Recipe, Split


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
  mine: {_target_: lab_of_tasks.tasks.Later, n_letters: 7, seed: 3, steps: 4, checkpoints: [2]}
"""
FORM = """
from pathlib import Path
import style, train
from miscope.workspace import Workspace
style.apply()
train.page(Workspace(Path({root!r})))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a variant of the module's family."""
    root = tmp_path_factory.mktemp("outside")
    (root / "lab_of_tasks").mkdir()
    (root / "lab_of_tasks" / "tasks.py").write_text(MODULE, encoding="utf-8")
    (root / "params.yaml").write_text(VARIANTS)
    return Workspace(root)


def test_changed_code_of_the_family_is_seen_though_dvc_does_not_watch_it(lab: Workspace) -> None:
    train(lab.config.variant("mine"), lab.folder("mine"))
    analysis.write_probe(lab.config, lab.folder("mine"))
    analysis.bring_up_to_date(lab.config, lab.folder("mine"), ["losses"])
    assert lab.load("mine").label == "later_7_s3"
    assert lab.load("mine").status("losses").state == "fresh"
    for kind, old, new in (("comment", "later = ", "# a comment\n        later = "), ("meaning", "maximum", "minimum")):
        (lab.root / "lab_of_tasks" / "tasks.py").write_text(MODULE.replace(old, new), encoding="utf-8")
        (lab.root / "params.yaml").write_text(VARIANTS)
        state = lab.load("mine").status("losses")
        assert state.state == ("stale" if kind == "meaning" else "fresh")
    assert state.sentence.startswith("`mine` was trained with other code of `lab_of_tasks.tasks.Later`, which DVC does")
    assert "`dvc repro -f train@mine`" in state.sentence
    (lab.root / "lab_of_tasks" / "tasks.py").write_text(MODULE, encoding="utf-8")


def test_its_form_is_made_from_its_settings_and_adds_a_variant(lab: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(workspace.REPOSITORY / "app"))
    test = AppTest.from_string(FORM.format(root=str(lab.root)), default_timeout=120).run()
    test.selectbox(key="train.family").set_value("lab_of_tasks.tasks.Later").run()
    assert not test.exception
    test.number_input(key="train.Later.n_letters").set_value(11)
    test.toggle(key="train.Later.is_reversed").set_value(True)
    test.radio(key="train.Later.control").set_value("Without weight decay nothing else changes.").run()
    test.button(key="train.add").click().run()
    assert not test.exception
    added = lab.variants["Later_1"]
    assert (added.family.n_letters, added.family.is_reversed, added.recipe.weight_decay) == (11, True, 0.0)
    assert "dvc repro report@Later_1" in "\n".join(code.value for code in test.code)
    assert "n_letters: 7" in (lab.root / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "Shapeless",
            "is no family: it lacks @dataclass(frozen=True), the base class miscope.plugin.Family, the method",
        ),
        ("Half", "is no family: it lacks the method `recipe`, the method `positions`, the method `split`, the method"),
        ("Missing", "cannot be loaded"),
        ("Wild", "Wild is no family yet: targets of the train split run from 9 to 15, allowed -1 to 6"),
        ("Broken", "Broken: ZeroDivisionError in its methods: division by zero"),
    ],
)
def test_what_is_no_family_is_refused_with_what_it_lacks(name: str, sentence: str, lab: Workspace) -> None:
    settings = {"n_letters": 7} if name in ("Wild", "Broken") else {}
    with pytest.raises(MiscopeError) as caught:
        configuration.variant("x", {"_target_": f"lab_of_tasks.tasks.{name}", **settings}, lab.root)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variant_names_a_family_or_the_path_of_one(tmp_path: Path) -> None:
    for spec, said in (
        ({"family": "modulo_addition", "_target_": "a.B"}, "names both a `family` and a `_target_`"),
        ({"seed": 1}, r"names no `family`; known: .*, or `_target_`\."),
        ({"_target_": 7}, "must be a dotted path, such as my_lab"),
    ):
        with pytest.raises(MiscopeError, match=said):
            configuration.variant("x", spec, tmp_path)
