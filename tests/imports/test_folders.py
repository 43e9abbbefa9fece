"""Checkpoints from elsewhere, and a variant of Qwen's architecture trained here, under the whole catalogue."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hugging_face import write

from miscope.adapters import QwenAdapter
from miscope.core import MiscopeError, NotApplicable
from miscope.imports import bring_in
from miscope.model.inspection import activations
from miscope.report import page
from miscope.training.loop import train
from miscope.workspace import Workspace, analysis, configuration, store

TEXT = "the quick brown fox jumps over the lazy dog. a lazy fox is quick; the brown dog jumps! "
STEPS = (0, 10, 1000)
PARAMS = """\
variants:
  tiny_qwen:
    _target_: miscope.imports.ImportedText
    folder: {root}/source
    path: {root}/corpus.txt
    length: 8
  trained:
    family: text
    path: {root}/corpus.txt
    length: 8
    steps: 20
    eval_every: 10
    checkpoints: [{{every: 10}}]
    model: {{d_model: 16, n_heads: 4, n_key_value_heads: 2, d_head: 4, d_mlp: 24, positions: rotary,
      normalization: RMS, eps: 1e-6, act_fn: silu, gated_mlp: true, use_qk_norm: true, has_biases: false,
      has_qkv_biases: true, has_tied_embeddings: true}}
instruments:
  local_learning_coefficient: {{chains: 2, draws: 8, answers: 32}}
  loss_landscape: {{directions: 2, distances: [1.0], answers: 64, products: 3, trace_vectors: 2}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("workspace")
    for step in STEPS:
        write(root / "source" / f"step{step}", "qwen3", seed=step, num_hidden_layers=1)
    words = np.random.default_rng(0).permutation(TEXT.split() * 200)
    (root / "corpus.txt").write_text(" ".join(words))
    (root / "params.yaml").write_text(PARAMS.format(root=root))
    workspace = Workspace(root)
    bring_in(workspace, workspace.variants["tiny_qwen"])
    train(workspace.variants["trained"], workspace.folder("trained"))
    return workspace


@pytest.fixture(scope="module", params=["tiny_qwen", "trained"])
def analysed(request: pytest.FixtureRequest, made: Workspace) -> tuple[str, dict[str, str]]:
    """The variant, and of each instrument the reason why it does not apply, if it does not."""
    folder = made.folder(request.param)
    analysis.write_probe(made.config, folder)
    summaries = analysis.bring_up_to_date(made.config, folder, made.catalog.stored)
    assert not {name: summary.error for name, summary in summaries.items() if summary.error}
    assert all(summary.reason or summary.computed for summary in summaries.values())
    return request.param, {name: summary.reason for name, summary in summaries.items()}


def test_twenty_steps_of_qwens_architecture_lower_the_loss(made: Workspace) -> None:
    folder = made.folder("trained")
    first = folder.curves.read_text().splitlines()[1].split(",")
    assert json.loads(folder.metrics.read_text())["train_loss"] < 0.9 * float(first[1])
    assert folder.checkpoint_steps() == (0, 10, 20)
    stored = store.load_checkpoint(folder.checkpoint(20))
    assert stored.model == made.variants["trained"].model
    assert "pos_embed.W_pos" not in stored.weights
    assert stored.weights["blocks.0.mlp.W_gate"].shape == (16, 24)


def test_a_training_of_this_shape_is_bit_equal_again(made: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path).folder("trained")
    train(made.variants["trained"], other)
    again = store.load_checkpoint(other.checkpoint(20)).weights
    for name, weight in store.load_checkpoint(made.folder("trained").checkpoint(20)).weights.items():
        np.testing.assert_array_equal(weight, again[name], err_msg=name)


def test_every_instrument_applies_or_says_why(analysed: tuple[str, dict[str, str]]) -> None:
    name, reasons = analysed
    assert {"losses", "head_scores", "logit_lens", "representations", "weight_norms"} <= {
        n for n, r in reasons.items() if not r
    }
    assert all(reason.endswith(".") for reason in reasons.values() if reason), (name, reasons)


def test_every_view_is_drawn_or_says_why(made: Workspace, analysed: tuple[str, dict[str, str]]) -> None:
    name, reasons = analysed
    variant, n_drawn = made.load(name), 0
    for view in made.catalog.views():
        try:
            figure = variant.view(view).figure()
        except NotApplicable as reason:
            assert str(reason).endswith("."), (view, str(reason))
        else:
            n_drawn += 1
            assert not reasons.get(view.partition(".")[0]), view
            assert figure.data or figure.layout.annotations, view
    assert n_drawn > 20


@torch.no_grad()
def test_an_imported_checkpoint_is_the_model_it_came_from(made: Workspace) -> None:
    folder = made.folder("tiny_qwen")
    assert folder.checkpoint_steps() == STEPS
    context = made.variants["tiny_qwen"].family.context(0)
    checkpoint = store.load_checkpoint(folder.checkpoint(1000))
    ours = activations(checkpoint, context, ("logits",), "all")["logits"]
    theirs = QwenAdapter.load_checkpoint(made.root / "source" / "step1000")(torch.from_numpy(context.probe.tokens))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5)


def test_the_losses_of_an_import_are_measured_and_what_is_not_known_is_absent(made: Workspace) -> None:
    folder = made.folder("tiny_qwen")
    record = json.loads(folder.record.read_text())
    assert not {"tokens", "flops_6nd", "recipe"} & record.keys()
    assert "seconds" not in record["metrics"]
    tokens = made.variants["tiny_qwen"].family.split(0).test
    model = QwenAdapter.load_checkpoint(made.root / "source" / "step1000")
    logits = model(torch.from_numpy(tokens.tokens)).flatten(0, 1).double()
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(tokens.targets).flatten()).item()
    assert record["metrics"]["test_loss"] == pytest.approx(expected, rel=1e-5)
    assert [row.split(",")[0] for row in folder.curves.read_text().splitlines()[1:]] == [str(step) for step in STEPS]


def test_the_stage_that_trains_other_variants_imports_this_one(
    made: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = made.folder("tiny_qwen").record.read_bytes()
    monkeypatch.chdir(made.root)
    runpy.run_path(str(Path(__file__).parents[2] / "stages" / "train.py"))["main"]("tiny_qwen")
    assert capsys.readouterr().out.startswith("tiny_qwen: 3 checkpoints, test loss ")
    assert made.folder("tiny_qwen").record.read_bytes() == before
    assert page._facts(json.loads(before))["training"].startswith("imported: step0, step10, step1000")


def imported_from(folder: Path, made: Workspace, tmp_path: Path, **settings: Any) -> Workspace:
    """A workspace whose variant `v` was brought in from the folder."""
    entry = {"_target_": "miscope.imports.ImportedText", "path": f"{made.root}/corpus.txt", "length": 8}
    workspace = Workspace(tmp_path)
    bring_in(workspace, configuration.variant("v", entry | {"folder": str(folder)} | settings, tmp_path))
    return workspace


def test_importing_twice_gives_the_same_bytes_and_removes_what_is_gone(made: Workspace, tmp_path: Path) -> None:
    folder = imported_from(made.root / "source", made, tmp_path).folder("v")
    first = made.folder("tiny_qwen")
    assert [first.checkpoint(s).read_bytes() for s in STEPS] == [folder.checkpoint(s).read_bytes() for s in STEPS]
    (tmp_path / "fewer").mkdir()
    (tmp_path / "fewer" / "checkpoint-10").symlink_to(made.root / "source" / "step10")
    imported_from(tmp_path / "fewer", made, tmp_path)
    assert folder.checkpoint_steps() == (10,)


def test_folders_that_are_no_checkpoints_of_one_model_are_refused(made: Workspace, tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=r"has no sub-folder with a config\.json"):
        imported_from(tmp_path / "nothing", made, tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "final").symlink_to(made.root / "source" / "step0")
    with pytest.raises(MiscopeError, match="the name 'final' says no step"):
        imported_from(tmp_path / "a", made, tmp_path)
    for name, of in (("step7", "step0"), ("7", "step0")):
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / name).symlink_to(made.root / "source" / of)
    with pytest.raises(MiscopeError, match="are both of step 7"):
        imported_from(tmp_path / "b", made, tmp_path)
    write(tmp_path / "c" / "step0", "qwen3", num_hidden_layers=1)
    write(tmp_path / "c" / "step1", "qwen3", num_hidden_layers=2)
    with pytest.raises(MiscopeError, match="is of another shape than the first"):
        imported_from(tmp_path / "c", made, tmp_path)


def test_an_imported_variant_takes_no_training_settings(made: Workspace, tmp_path: Path) -> None:
    for odd in ({"steps": 5}, {"model": {"n_layers": 3}}):
        with pytest.raises(MiscopeError, match=r"`v` is imported: .* set neither"):
            imported_from(made.root / "source", made, tmp_path, **odd)
    with pytest.raises(MiscopeError, match="`length` = 65; allowed: 4 to 64"):
        imported_from(made.root / "source", made, tmp_path, length=65)
