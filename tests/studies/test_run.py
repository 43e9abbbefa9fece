"""Points in training: what they consume, what is recorded, what a kill leaves; and points as variants."""

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_plan import GPT, NET

from miscope.core import MiscopeError
from miscope.imports import bring_in
from miscope.scaling import documents, study, sweep
from miscope.scaling.documents import Plan, Record, Records
from miscope.scaling.page import against_scale, declare_points, name_of
from miscope.scaling.point import trainer_of
from miscope.training import loop, trainer
from miscope.workspace import Workspace, analysis, store
from miscope.workspace.files import Folder

Done = tuple[Path, Plan, Records]


def plan(root: Path, spec: dict[str, Any], **changes: Any) -> Plan:
    """The plan of a study called `tiny`, written where the stage writes it."""
    return written(root, study.plan(study.study("tiny", {**spec, **changes})))


def written(root: Path, made: Plan) -> Plan:
    documents.write(documents.path(root, "tiny", "plan.json"), made)
    return documents.read_plan(root, "tiny")


def run(root: Path, jobs: int = 1, **more: Any) -> Records:
    results = sweep.bring_up_to_date(root, "tiny", jobs, **more)
    assert results is not None
    return results


def untimed(results: Records) -> list[Record]:
    return [replace(point, seconds=None) for point in results.points]


def folder_of(root: Path, point: str) -> Folder:
    return Folder(documents.path(root, "tiny", f"runs/{point}"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A study of our transformer, run one point after another: its folder, plan and results. Read it only."""
    root = tmp_path_factory.mktemp("scaling")
    made = plan(root, GPT, budgets=[1e8], sizes=[1500, 2200, 3000], test_tokens=4096)
    return root, made, run(root)


def test_a_record_has_every_field_and_the_file_is_what_was_returned(done: Done) -> None:
    root, made, results = done
    assert documents.read(documents.path(root, "tiny", "results.json"), Records) == results
    assert results.convention.startswith("N counts every parameter but")
    assert 1.2 < results.entropy < 1.3
    classes = ["models.gpt.GPT", "datasets.markov.Markov", "losses.cross_entropy.CrossEntropy"]
    for planned, point in zip(made.points, results.points, strict=True):
        assert point.id == planned.id
        assert point.tokens == planned.tokens == planned.steps * 16 * 16
        assert point.flops_6nd == 6 * point.parameters * point.tokens
        assert point.loss > results.entropy
        made_of = [point.model_class, point.dataset_class, point.loss_class]
        assert made_of == [f"miscope.scaling.{name}" for name in classes]
        assert (point.device, point.schedule, point.device_info["threads"]) == ("cpu", "cosine", 1)
        assert point.seconds > 0
        assert len(point.config_hash) == len(point.weights) == 32
    assert results.points[0].loss < np.log(8)  # it has learned something


def test_nothing_is_trained_twice_and_a_new_point_trains_alone(done: Done, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(done[0], root)
    before = {file: file.stat().st_mtime_ns for file in root.rglob("run.json")}
    assert run(root) == done[2]
    plan(root, GPT, budgets=[1e8], sizes=[1500, 3000, 3600], test_tokens=4096)
    results = run(root)
    assert [p.target_parameters for p in results.points] == [1500, 3000, 3600]
    folders = {path.name for path in documents.path(root, "tiny", "runs").iterdir()}
    assert folders == {p.id for p in results.points}  # the one no longer planned is gone
    assert [file.stat().st_mtime_ns == before[file] for file in before if file.is_file()] == [True, True]


def test_side_by_side_gives_the_same_results_in_the_plans_order(done: Done, tmp_path: Path) -> None:
    written(tmp_path, done[1])
    seen: dict[str, int] = {}
    results = run(tmp_path, jobs=2, on_progress=lambda name, n: seen.update({name: n}))
    assert untimed(results) == untimed(done[2])
    assert seen == {point.id: point.steps for point in done[1].points}


SWEEP = """
from pathlib import Path
from miscope.scaling import sweep

sweep.bring_up_to_date(Path(), "tiny", 1, lambda name, step: print(step, flush=True))
"""


def test_a_killed_point_resumes_to_the_same_weights_and_loss(done: Done, tmp_path: Path) -> None:
    planned = done[1].points[0]
    written(tmp_path, replace(done[1], points=(planned,)))
    process = subprocess.Popen([sys.executable, "-c", SWEEP], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == planned.steps * 2 // 3:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    folder = folder_of(tmp_path, planned.id)
    kept = folder.resume_steps()
    assert 0 < kept[-1] <= planned.steps * 3 // 4
    assert not (folder.path / "run.json").exists()
    newest = folder.resume(kept[-1])
    newest.write_bytes(newest.read_bytes()[:-100])  # as if the kill had met it half written
    (folder.path / "resume" / ".unfinished-x").write_bytes(b"half")
    steps: list[int] = []
    results = run(tmp_path, on_progress=lambda name, n: steps.append(n))
    assert untimed(results) == untimed(done[2])[:1]
    assert min(steps) == (kept[-2] if len(kept) > 1 else 0) + 1
    assert not list((folder.path / "resume").iterdir())


def test_chance_within_a_model_resumes_too_and_its_own_optimizer_is_used(tmp_path: Path) -> None:
    made = plan(tmp_path, NET)
    first, again = (trainer_of(made, made.points[0]) for _ in range(2))
    for step in range(10):
        if step == 5:
            again.restore(5, [first.models[0].state()])
        first.advance()
    torch.rand(3)  # what others do with the global generator does not matter
    for _ in range(5):
        again.advance()
    one, other = (trainer.models[0].state() for trainer in (first, again))
    assert all(torch.equal(value, other[name]) for name, value in one.items() if name != "clock.seconds")
    one, other = (trainer.models[0].evaluate(10) for trainer in (first, again))
    assert (one.loss, one.tokens) == (other.loss, other.tokens) == (one.loss, 40)
    (optimizer,) = first.optimizers
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[1]["lr"] == optimizer.param_groups[0]["lr"] / 2


@pytest.mark.parametrize("form", ["counted", "iterable"])
def test_the_loop_trains_whatever_yields_batches(form: str, tmp_path: Path) -> None:
    made = plan(tmp_path, NET, dataset={"_target_": "own_plugins.Plane", "form": form})
    results = run(tmp_path)
    assert [p.tokens for p in results.points] == [p.tokens for p in made.points]
    assert results.points[0].loss < 3.5  # the mean square of the labels is 4


@pytest.mark.parametrize(("model", "dataset", "size", "budget", "loss"), [
    ("cnn", "digits", 2000, 6e7, 1.9),
    ("vit", "digits", 2000, 6e7, 1.9),
    ({"name": "gpt", "d_vocab": 64}, "text", 4000, 4e8, 3.4),
    ({"name": "gpt", "d_vocab": 65, "n_ctx": 48}, {"name": "family", "family": "induction_heads"}, 4000, 4e8, 5.0),
    ({"name": "module", "model": {"_target_": "own_plugins.Logits"}}, "text", {}, 2e8, 3.6),
])  # fmt: skip
def test_one_loop_trains_all(model: Any, dataset: Any, size: Any, budget: float, loss: float, tmp_path: Path) -> None:
    spec = {"model": model, "dataset": dataset, "sizes": [size], "budgets": [budget], "learning_rate": 0.01}
    plan(tmp_path, spec, batch_size=32 if dataset == "digits" else 8, max_epochs=10, test_tokens=4096)
    (point,) = run(tmp_path).points
    assert point.loss < loss


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_loss_that_is_not_finite_names_the_point_and_the_rate(tmp_path: Path, jobs: int) -> None:
    plan(tmp_path, NET, learning_rate=1e8)
    with pytest.raises(MiscopeError, match=r"held-out loss of point \w{12} \(\d+ parameters\) is (nan|inf) at update"):
        run(tmp_path, jobs)


def test_without_a_plan_or_with_data_that_changed_after_it_nothing_is_trained(tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=r"plan.json does not exist. Run `dvc repro plan@tiny`"):
        run(tmp_path)
    made = plan(tmp_path, NET)
    written(tmp_path, replace(made, data=replace(made.data, digest="0" * 32)))
    with pytest.raises(MiscopeError, match="gives different data than when the plan was made"):
        run(tmp_path)


def test_two_processes_agree_with_one(done: Done, tmp_path: Path) -> None:
    written(tmp_path, replace(done[1], points=done[1].points[:1]))
    (tmp_path / "two.py").write_text(SWEEP)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "two.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    (point,) = documents.read(documents.path(tmp_path, "tiny", "results.json"), Records).points
    assert point.device_info["processes"] == 2
    assert point.loss == pytest.approx(done[2].points[0].loss, rel=1e-5)
    assert point.tokens == done[2].points[0].tokens


def test_the_loop_knows_no_distributed() -> None:
    assert not any("distributed" in Path(module.__file__).read_text() for module in (loop, trainer))


INDUCTION = {
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
    plan(workspace.root, INDUCTION, keep_checkpoints=True)
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
        loaded, folder = studied.load(name_of("tiny", point.id)), folder_of(studied.root, point.id)
        assert loaded.variant.model.positions == "rotary"
        assert loaded.steps == folder.checkpoint_steps() == tuple(step for step, _, _ in point.curve)
        assert {0, 1, 2, 4, 8, 16, point.steps} <= set(loaded.steps)
        last = store.load_checkpoint(folder.checkpoint(point.steps))
        assert last.weights["embed.W_E"].shape == (65, last.model.d_model)
        assert loaded.status("head_scores").state == "fresh"
        losses = loaded.artifact("losses")
        assert losses[point.steps].train_loss != losses[0].train_loss
    without = study.plan(study.study("tiny", INDUCTION))
    assert [point.id for point in without.points] == [point.id for point in records]


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
    with pytest.raises(MiscopeError, match=r"`losses\.tset_loss` changed in no point of `tiny`; measures that did: "):
        against_scale(studied, "tiny", "losses.tset_loss")
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    workspace = Workspace(tmp_path)
    wide = {**INDUCTION, "model": {"name": "gpt", "d_vocab": 65, "n_ctx": 48}}
    plan(tmp_path, wide, sizes=[1500], budgets=[4e6], keep_checkpoints=True)
    run(tmp_path)
    with pytest.raises(MiscopeError, match=r"No point of `tiny` is a variant\. Run `python -m miscope points tiny`\."):
        against_scale(workspace, "tiny", "losses.train_loss")
    with pytest.raises(
        MiscopeError, match=r"`d_vocab_out` = 65, and `induction_heads` has 64; say `model: {d_vocab_ou"
    ):
        list(declare_points(workspace, "tiny"))
    plan(tmp_path, INDUCTION, sizes=[1500], budgets=[4e6])
    run(tmp_path)
    with pytest.raises(MiscopeError, match=r"kept no checkpoints; set `scaling\.tiny\.keep_checkpoints: true`"):
        list(declare_points(workspace, "tiny"))
