"""Variants made from one that is declared: further seeds, and the control run that is drawn behind as a null."""

import shutil
from pathlib import Path

import pytest
import small
import workspace

from miscope.core import MiscopeError
from miscope.report import lead_lag
from miscope.workspace import Workspace, configuration
from miscope.workspace.controls import declare_control, declare_seeds


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    (tmp_path / "params.yaml").write_text("# kept\n" + workspace.TINY, encoding="utf-8")
    return Workspace(tmp_path)


def test_further_seeds_are_the_same_but_for_the_seed(made: Workspace) -> None:
    lines = list(declare_seeds(made, "tiny", 3))
    tiny = made.variants["tiny"]
    assert [v.seed for v in made.variants.values()] == [1, 2, 3, 4]
    assert {(v.recipe, v.model, v.family, v.data_seed, v.checkpoint_steps) for v in made.variants.values()} == {
        (tiny.recipe, tiny.model, tiny.family, 1, tiny.checkpoint_steps)
    }
    assert "report@tiny_seed_2 report@tiny_seed_3 report@tiny_seed_4" in lines[-1]
    list(declare_seeds(made, "tiny", 1))
    assert made.variants["tiny_seed_5"].seed == 5
    assert (made.root / "params.yaml").read_text().startswith("# kept\n")


def test_a_control_run_is_what_the_family_says_and_named_by_its_variant(made: Workspace) -> None:
    lines = list(declare_control(made, "tiny"))
    tiny, control = made.variants["tiny"], made.variants["tiny_control"]
    assert (tiny.control, control.control) == ("tiny_control", "")
    assert (control.recipe.weight_decay, control.seed, control.model) == (0.0, 1, tiny.model)
    assert "never generalises" in lines[0]
    spec = {"family": "induction_heads", "model": {"d_model": 32, "n_heads": 4, "d_head": 8}}
    configuration.add(made.root, "copies", spec)
    list(declare_control(made, "copies"))
    model = made.variants["copies_control"].model
    assert (model.n_layers, model.d_model, model.n_heads) == (1, 32, 4)  # the control has another number of layers


def test_what_has_no_seeds_and_no_control_run_is_one_sentence(made: Workspace) -> None:
    configuration.add(made.root, "brought", {"family": "modulo_addition", "modulus": 13, "imported": "weights"})
    list(declare_control(made, "tiny"))
    before = made.variants
    from_elsewhere = "`brought` is imported or a branch: not trained from its own seed"
    for declare, sentence in (
        (lambda: declare_seeds(made, "tiny", 0), "0 seeds; allowed: 1 to 100"),
        (lambda: declare_seeds(made, "brought", 1), from_elsewhere),
        (lambda: declare_control(made, "brought"), from_elsewhere),
        (lambda: declare_control(made, "tyni"), "declares no variant `tyni`"),
        (lambda: declare_control(made, "tiny"), "`tiny` has a control run: `tiny_control`"),
    ):
        with pytest.raises(MiscopeError, match=sentence):
            list(declare())
    assert made.variants == before


def test_what_moved_first_is_asked_of_those_that_may_succeed(made: Workspace) -> None:
    list(declare_control(made, "tiny"))
    list(declare_seeds(made, "tiny", 2))
    names = [variant.name for variant in lead_lag.variants_of(made, "modulo_addition")]
    assert names == ["tiny", "tiny_seed_2", "tiny_seed_3"]


def test_the_curves_of_a_fresh_control_run_lie_behind_and_reports_show_none(pair: Path, tmp_path: Path) -> None:
    made = Workspace(Path(shutil.copytree(pair, tmp_path / "workspace")))
    alone = made.load("tiny").view("losses")
    before = alone.json()
    configuration.set_key(made.root, "tiny", "control", "other")
    both = made.load("tiny").view("losses")
    curves = {(t.name, t.line.dash) for t in both.figure().data if t.x is not None and len(t.x) > 1}
    assert curves == {(split, dash) for split in ("train", "test") for dash in ("solid", "dash")}
    assert "control run" in [t.name for t in both.figure().data]
    assert both.without_control().figure() == alone.figure()
    assert both.json() == before
    assert both.null() == alone.null()
    assert both.null().sentence.partition(": ")[2][:20] in both.figure().layout.title.text
    shutil.rmtree(made.root / "artifacts/other/instruments/losses")
    assert made.load("tiny").view("losses").figure() == alone.figure()


def test_a_control_run_that_lacks_what_an_option_asks_for_is_left_out(tmp_path: Path) -> None:
    toy = "family: induction_heads, n_tokens: 16, length: 23, max_period: 8, test_periods: [5, 7], steps: 2"
    shape = "d_model: 16, n_heads: 2, d_head: 8"
    deep, flat = f"{{{toy}, control: flat, model: {{{shape}}}}}", f"{{{toy}, model: {{{shape}, n_layers: 1}}}}"
    small.create(tmp_path, f"variants:\n  deep: {deep}\n  flat: {flat}\n", "representation_geometry")
    loaded = Workspace(tmp_path).load("deep")
    both, alone = (loaded.view("representation_geometry.separation", layer=layer) for layer in (0, 1))
    assert "control run" in [trace.name for trace in both.figure().data]
    assert alone.figure() == alone.without_control().figure()
