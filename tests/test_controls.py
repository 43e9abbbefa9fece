"""Variants made from one that is declared: further seeds, and the twin that is drawn behind as a null."""

import shutil
from pathlib import Path

import pytest
import workspace

from miscope import api
from miscope.core import MiscopeError
from miscope.model.transformer import Transformer
from miscope.report import lead_lag
from miscope.training import imported
from miscope.workspace import analysis, configuration, files, relatives


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("# kept\n" + workspace.TINY, encoding="utf-8")
    return tmp_path


def test_further_seeds_are_the_same_but_for_the_seed(root: Path) -> None:
    lines = list(relatives.declare_seeds(root, "tiny", 3))
    found = configuration.load(root).variants
    assert [v.seed for v in found.values()] == [1, 2, 3, 4]
    assert {(v.recipe, v.model, v.family, v.data_seed, v.checkpoint_steps) for v in found.values()} == {
        (found["tiny"].recipe, found["tiny"].model, found["tiny"].family, 1, found["tiny"].checkpoint_steps)
    }
    assert "report@tiny_seed_2 report@tiny_seed_3 report@tiny_seed_4" in lines[-1]
    list(relatives.declare_seeds(root, "tiny", 1))
    assert configuration.load(root).variant("tiny_seed_5").seed == 5
    assert (root / "params.yaml").read_text().startswith("# kept\n")


def test_a_twin_is_the_control_of_the_family_and_named_by_its_variant(root: Path) -> None:
    lines = list(relatives.declare_twin(root, "tiny"))
    found = configuration.load(root)
    assert found.variant("tiny").twin == "tiny_twin"
    twin = found.variant("tiny_twin")
    assert (twin.recipe.weight_decay, twin.twin) == (0.0, "")
    assert (twin.seed, twin.model) == (1, found.variant("tiny").model)
    assert "never generalises" in lines[0]


def test_a_control_of_the_shape_keeps_what_else_the_variant_says_of_its_model(root: Path) -> None:
    spec = {"family": "induction_heads", "model": {"d_model": 32, "n_heads": 4, "d_head": 8}}
    configuration.add(root, "copies", spec)
    list(relatives.declare_twin(root, "copies"))
    model = configuration.load(root).variant("copies_twin").model
    assert (model.n_layers, model.d_model, model.n_heads) == (1, 32, 4)


def test_what_has_no_relatives_is_one_sentence(root: Path) -> None:
    with pytest.raises(MiscopeError, match="0 seeds; allowed: 1 to 100"):
        list(relatives.declare_seeds(root, "tiny", 0))
    with pytest.raises(MiscopeError, match="declares no variant `tyni`"):
        list(relatives.declare_twin(root, "tyni"))
    list(relatives.declare_twin(root, "tiny"))
    with pytest.raises(MiscopeError, match="`tiny` has a twin: `tiny_twin`"):
        list(relatives.declare_twin(root, "tiny"))


def test_weights_from_elsewhere_have_no_other_seeds_and_no_twin(root: Path) -> None:
    configuration.add(root, "brought", {"family": "modulo_addition", "modulus": 13, "imported": "weights"})
    for declare in (
        lambda: relatives.declare_seeds(root, "brought", 1),
        lambda: relatives.declare_twin(root, "brought"),
    ):
        with pytest.raises(MiscopeError, match="`brought` is imported or a branch, not trained from its own seed"):
            list(declare())
    assert set(configuration.load(root).variants) == {"tiny", "brought"}


def test_a_twin_is_another_variant_of_the_same_task(root: Path) -> None:
    for wrong in ("tiny", "nobody"):
        (root / "params.yaml").write_text(workspace.TINY + f"    twin: {wrong}\n", encoding="utf-8")
        with pytest.raises(MiscopeError, match=rf"`variants\.tiny\.twin` = '{wrong}'; allowed: none, for no other"):
            configuration.load(root)


def test_the_curves_of_a_fresh_twin_lie_behind_and_reports_show_none(pair: Path, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(pair, root)
    alone = api.load_variant("tiny", root).view("losses")
    before = alone.json()
    configuration.set_key(root, "tiny", "twin", "twin")
    with_twin = api.load_variant("tiny", root).view("losses")
    curves = {(t.name, t.line.dash) for t in with_twin.figure().data if t.x is not None and len(t.x) > 1}
    assert curves == {(split, dash) for split in ("train", "test") for dash in ("solid", "dash")}
    assert "its twin twin" in [t.name for t in with_twin.figure().data]
    assert with_twin.alone().figure() == alone.figure()
    assert with_twin.json() == before
    assert with_twin.null() == alone.null()
    assert with_twin.null().partition(": ")[2][:20] in with_twin.figure().layout.title.text
    shutil.rmtree(root / "artifacts/twin/instruments/losses")
    assert api.load_variant("tiny", root).view("losses").figure() == alone.figure()


def test_what_moved_first_is_asked_of_those_that_may_succeed(root: Path) -> None:
    list(relatives.declare_twin(root, "tiny"))
    list(relatives.declare_seeds(root, "tiny", 2))
    assert lead_lag.variants_of(root, "modulo_addition") == ("tiny", "tiny_seed_2", "tiny_seed_3")


def test_a_twin_that_lacks_what_an_option_asks_for_is_left_out(tmp_path: Path) -> None:
    toy = "family: induction_heads, n_tokens: 16, length: 23, max_period: 8, test_periods: [5, 7]"
    shape = "d_model: 16, n_heads: 2, d_head: 8"
    deep, flat = f"{{{toy}, twin: flat, model: {{{shape}}}}}", f"{{{toy}, model: {{{shape}, n_layers: 1}}}}"
    (tmp_path / "params.yaml").write_text(f"variants:\n  deep: {deep}\n  flat: {flat}\n", encoding="utf-8")
    for variant in configuration.load(tmp_path).variants.values():
        networks = [(step, Transformer(variant.model, step)) for step in (0, 10)]
        imported.written(variant, files.folder_of(tmp_path, variant.name), networks, {"files": {}})
        analysis.write_probe(tmp_path, variant.name)
        analysis.bring_up_to_date(tmp_path, variant.name, "representation_geometry")
    loaded = api.load_variant("deep", tmp_path)
    both, alone = (loaded.view("representation_geometry.separation", layer=layer) for layer in (0, 1))
    assert "its twin flat" in [trace.name for trace in both.figure().data]
    assert alone.figure() == alone.alone().figure()
