"""A family of one's own that defines `metrics`: its numbers are in the curve, the record, the artifact and the view."""

import json
from pathlib import Path

import numpy as np
import pytest
import small
from small import Small

from miscope.core import MiscopeError
from miscope.report import lead_lag

FAMILY = '''
"""a + b mod p, with the number of right answers and how far apart the logits are."""

from dataclasses import dataclass

import numpy as np

from miscope.families.modulo_addition import ModuloAddition


@dataclass(frozen=True)
class Counted(ModuloAddition):
    def metrics(self, logits, examples):
        return {"right": (logits.argmax(-1) == examples.targets).sum(), "spread": np.ptp(logits, axis=-1).mean()}
'''
PARAMS = """\
variants:
  counted:
    _target_: lab_of_numbers.Counted
    modulus: 7
    train_fraction: 0.5
    steps: 40
    eval_every: 10
    checkpoints: [20]
    model: {d_model: 8, n_heads: 2, d_head: 4, d_mlp: 16}
"""
STEPS = list(range(0, 41, 10))  # evaluations, of which there are more than checkpoints


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Small:
    root = tmp_path_factory.mktemp("counted")
    (root / "lab_of_numbers.py").write_text(FAMILY, encoding="utf-8")
    return small.create(root, PARAMS, "losses", "task_metrics")


def test_the_numbers_are_the_family_s_own_at_every_evaluation(counted: Small) -> None:
    loaded = counted.load("counted")
    measured, examples = loaded.artifact("task_metrics"), loaded.variant.family.split(0)
    assert (measured.metric, measured.steps.tolist()) == (("right", "spread"), STEPS)
    assert (measured.train[1] > 0).all() and (measured.test[1] > 0).all()
    losses = loaded.artifact("losses")
    for split, right in (("train", measured.train[0]), ("test", measured.test[0])):
        share = right[::2] / getattr(examples, split).n_answers  # at the checkpoints, which are every second one
        np.testing.assert_allclose(share, losses.stack(f"{split}_accuracy"), rtol=1e-6)


def test_the_record_ends_with_the_last_of_them_and_the_view_draws_a_panel_for_each(counted: Small) -> None:
    loaded = counted.load("counted")
    last = json.loads(loaded.folder.metrics.read_text())
    measured, view = loaded.artifact("task_metrics"), loaded.view("task_metrics")
    assert (last["train_right"], last["test_spread"]) == (measured.train[0, -1], measured.test[1, -1])
    table = view.table()
    assert len(table) == 2 * 2 * len(STEPS)
    assert table[(table["split"] == "test") & (table["metric"] == "spread")]["value"].tolist() == list(measured.test[1])
    drawn = {tuple(trace.y) for trace in view.figure().data if trace.y is not None and len(trace.y) == len(STEPS)}
    assert drawn == {tuple(values) for split in (measured.train, measured.test) for values in split}
    assert view.null().verdict == "No null"


def test_each_number_of_both_splits_is_a_measure_that_may_move_first(counted: Small) -> None:
    measures = lead_lag.measures(counted.load("counted"))
    own = {name: values for name, values in measures.items() if name.startswith("task_metrics.")}
    assert set(own) == {f"task_metrics.{split}_{name}" for split in ("train", "test") for name in ("right", "spread")}
    assert own["task_metrics.train_right"][0].tolist() == STEPS


def test_another_curve_makes_it_stale(counted: Small, tmp_path: Path) -> None:
    own = counted.copy(tmp_path / "own")
    curves = own.load("counted").folder.curves
    head, *rows = curves.read_text().splitlines()
    curves.write_text("\n".join([head, *rows[:-1]]) + "\n")
    assert "it was made from other curve" in own.load("counted").status("task_metrics").sentence
    assert own.update("task_metrics", variant="counted")["task_metrics"].computed == 1
    assert own.load("counted").artifact("task_metrics").steps.tolist() == STEPS[:-1]


def test_a_family_without_metrics_has_none_to_show(analysed: Small) -> None:
    status = analysed.load().status("task_metrics")
    assert status.state == "not applicable"
    assert status.detail == "The task has no numbers of its own: its family defines no `metrics`."


def test_a_number_named_like_one_of_the_curve_s_own_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "lab_of_names.py").write_text(FAMILY.replace('"right"', '"accuracy"'), encoding="utf-8")
    with pytest.raises(MiscopeError, match="`metrics` has `accuracy`, a name of the curve's own"):
        small.create(tmp_path, PARAMS.replace("lab_of_numbers", "lab_of_names"), "losses")
    assert not list((tmp_path / "artifacts" / "counted" / "checkpoints").glob("*"))
