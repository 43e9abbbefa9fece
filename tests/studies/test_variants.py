"""Points of a study as variants that every instrument looks at."""

from pathlib import Path

import numpy as np
import pytest
from test_run import folder_of, plan, run

from miscope.core import MiscopeError
from miscope.imports import bring_in
from miscope.scaling.page import against_scale, declare_points, name_of
from miscope.workspace import Workspace, analysis

SPEC = {
    "model": {"name": "gpt", "d_vocab": 65, "d_vocab_out": 64, "n_ctx": 48, "positions": "rotary"},
    "dataset": {"name": "family", "family": "induction_heads"}, "budgets": [2e8], "sizes": [1500, 3000],
    "batch_size": 8, "learning_rate": 0.01, "test_tokens": 4096,
}  # fmt: skip
PARAMS = "variants: {}\ninstruments: {}\n"


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study of two sizes on induction heads whose points are declared and looked at by three instruments."""
    workspace = Workspace(tmp_path_factory.mktemp("scale"))
    (workspace.root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    plan(workspace.root, SPEC, keep_checkpoints=True)
    run(workspace.root)
    assert [len(list(declare_points(workspace, "tiny"))) for _ in range(2)] == [3, 1]  # each is declared once
    for variant in workspace.variants.values():
        folder = workspace.folder(variant.name)
        bring_in(workspace, variant)
        analysis.write_probe(workspace.config, folder)
        analysis.bring_up_to_date(workspace.config, folder, ("losses", "head_scores", "singular_values"))
    return workspace


def test_each_point_is_a_variant_of_its_family_with_the_points_own_weights(studied: Workspace) -> None:
    records = run(studied.root).points
    assert list(studied.variants) == [name_of("tiny", point.id) for point in records]
    for point in records:
        loaded = studied.load(name_of("tiny", point.id))
        assert loaded.variant.model.positions == "rotary"
        assert loaded.steps == folder_of(studied.root, point.id).checkpoint_steps()
        assert loaded.status("head_scores").state == "fresh"
        losses = loaded.artifact("losses")
        assert losses[point.steps].train_loss != losses[0].train_loss


def test_a_measure_is_set_against_scale_in_tokens(studied: Workspace) -> None:
    table = against_scale(studied, "tiny", "losses.train_loss")
    assert len(table) == 2
    assert table["parameters"].is_monotonic_increasing
    assert (table["before"] < table["by"]).all()
    assert (table["by"] <= max(point.tokens for point in run(studied.root).points)).all()
    for row in table.itertuples():  # losses count as logarithms
        curve = studied.load(row.variant).artifact("losses")
        ends = [np.log10(curve[step].train_loss) for step in (0, max(curve))]
        np.testing.assert_allclose([row.start, row.end], ends)


def test_what_cannot_be_set_against_scale_is_one_line(studied: Workspace, tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=r"`losses\.tset_loss` moved in no point of `tiny`; some that did: "):
        against_scale(studied, "tiny", "losses.tset_loss")
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    workspace = Workspace(tmp_path)
    plan(tmp_path, SPEC, sizes=[1500])
    run(tmp_path)
    with pytest.raises(MiscopeError, match=r"No point of `tiny` is a variant\. Run `python -m miscope points tiny`\."):
        against_scale(workspace, "tiny", "losses.train_loss")
    wide = {**SPEC, "model": {"name": "gpt", "d_vocab": 65, "n_ctx": 48}}
    for spec, keeps, message in (
        (wide, True, r"`d_vocab_out` = 65, and `induction_heads` has 64; say `model: {d_vocab_out: 64}`"),
        (SPEC, False, r"kept no checkpoints; set `scaling\.tiny\.keep_checkpoints: true`"),
    ):
        plan(tmp_path, spec, sizes=[1500], budgets=[4e6], keep_checkpoints=keeps)
        run(tmp_path)
        with pytest.raises(MiscopeError, match=message):
            list(declare_points(workspace, "tiny"))
