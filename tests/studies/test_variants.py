"""Points of a study as variants that every instrument looks at."""

from pathlib import Path

import numpy as np
import pytest
from test_run import plan

from miscope import importing
from miscope.core import MiscopeError
from miscope.scaling import sweep
from miscope.scaling.variants import against_scale, declare, name_of
from miscope.workspace import analysis, configuration, files, status

SPEC = {
    "model": {"name": "gpt", "d_vocab": 65, "d_vocab_out": 64, "n_ctx": 48, "positions": "rotary"},
    "dataset": {"name": "family", "family": "induction_heads"},
    "loss": "cross_entropy",
    "budgets": [2e8],
    "sizes": [1500, 3000],
    "batch_size": 8,
    "learning_rate": 0.01,
    "test_tokens": 4096,
}
PARAMS = "variants: {}\ninstruments: {}\n"


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two sizes on induction heads whose points are declared and looked at by three instruments."""
    root = tmp_path_factory.mktemp("scale")
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    plan(root, SPEC, keep_checkpoints=True)
    sweep.bring_up_to_date(root, "tiny", jobs=1)
    lines = list(declare(root, "tiny"))
    assert len(lines) == 3
    assert list(declare(root, "tiny"))[:-1] == []  # each is declared once
    for variant in configuration.load(root).variants.values():
        importing.bring_in(root, variant)
        analysis.write_probe(root, variant.name)
        analysis.bring_all_up_to_date(root, variant.name, ("losses", "head_scores", "singular_values"))
    return root


def test_each_point_is_a_variant_of_its_family_with_the_points_own_weights(studied: Path) -> None:
    points = sweep.bring_up_to_date(studied, "tiny", jobs=1)["points"]
    variants = configuration.load(studied).variants
    assert list(variants) == [name_of("tiny", point["id"]) for point in points]
    for point in points:
        variant = variants[name_of("tiny", point["id"])]
        kept = files.Folder(studied / "artifacts/scaling/tiny/runs" / point["id"])
        assert variant.model.positions == "rotary"
        assert files.folder_of(studied, variant.name).checkpoint_steps() == kept.checkpoint_steps()
        assert status.status(studied, variant.name, "head_scores").state == "fresh"
        found = analysis.artifact(studied, variant.name, "losses")
        assert found[point["steps"]].train_loss != found[0].train_loss


def test_a_measure_is_set_against_scale_in_tokens(studied: Path) -> None:
    table = against_scale(studied, "tiny", "losses.train_loss")
    assert len(table) == 2
    assert table["parameters"].is_monotonic_increasing
    assert (table["before"] < table["by"]).all()
    points = sweep.bring_up_to_date(studied, "tiny", jobs=1)["points"]
    assert (table["by"] <= max(point["tokens"] for point in points)).all()
    for row in table.itertuples():  # losses count as logarithms
        curve = analysis.artifact(studied, str(row.variant), "losses")
        ends = [np.log10(curve[step].train_loss) for step in (0, max(curve))]
        np.testing.assert_allclose([row.start, row.end], ends)


def test_what_cannot_be_set_against_scale_is_one_line(studied: Path, tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=r"`losses\.tset_loss` moved in no point of `tiny`; some that did: "):
        against_scale(studied, "tiny", "losses.tset_loss")
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    plan(tmp_path, SPEC, sizes=[1500])
    sweep.bring_up_to_date(tmp_path, "tiny", jobs=1)
    with pytest.raises(MiscopeError, match=r"No point of `tiny` is a variant\. Run `python -m miscope points tiny`\."):
        against_scale(tmp_path, "tiny", "losses.train_loss")
    wide = {**SPEC, "model": {"name": "gpt", "d_vocab": 65, "n_ctx": 48}}
    plan(tmp_path, wide, sizes=[1500], budgets=[4e6], keep_checkpoints=True)
    sweep.bring_up_to_date(tmp_path, "tiny", jobs=1)
    with pytest.raises(
        MiscopeError, match=r"`d_vocab_out` = 65, and `induction_heads` has 64; say `model: {d_vocab_out: 64}`"
    ):
        list(declare(tmp_path, "tiny"))
    plan(tmp_path, SPEC, sizes=[1500], budgets=[4e6])
    sweep.bring_up_to_date(tmp_path, "tiny", jobs=1)
    with pytest.raises(MiscopeError, match=r"kept no checkpoints; set `scaling\.tiny\.keep_checkpoints: true`"):
        list(declare(tmp_path, "tiny"))
