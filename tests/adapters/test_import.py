"""Checkpoints from elsewhere, and a variant of Qwen's architecture trained here, under the whole catalogue."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from miscope import api, catalog
from miscope.adapters.importing import import_checkpoints, import_variant
from miscope.adapters.qwen import QwenAdapter
from miscope.core import MiscopeError, NotApplicable
from miscope.model.inspection import activations
from miscope.training.loop import train
from miscope.workspace import analysis, configuration, files, store

TEXT = "the quick brown fox jumps over the lazy dog. a lazy fox is quick; the brown dog jumps! "
STEPS = (0, 10, 1000)
PARAMS = """\
variants:
  tiny_qwen:
    family: outside
    _target_: miscope.adapters.imported.ImportedText
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
def root(tmp_path_factory: pytest.TempPathFactory, make: Callable) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    for step in STEPS:
        make(root / "source" / f"step{step}", "qwen3", seed=step, num_hidden_layers=1)
    words = np.random.default_rng(0).permutation(TEXT.split() * 200)
    (root / "corpus.txt").write_text(" ".join(words))
    (root / "params.yaml").write_text(PARAMS.format(root=root))
    import_variant(configuration.load(root).variant("tiny_qwen"), root)
    train(configuration.load(root).variant("trained"), files.folder_of(root, "trained"))
    return root


@pytest.fixture(scope="module", params=["tiny_qwen", "trained"])
def analysed(request: pytest.FixtureRequest, root: Path) -> tuple[str, dict[str, str]]:
    """The variant, and of each instrument the reason why it does not apply, if it does not."""
    analysis.write_probe(root, request.param)
    summaries = {name: analysis.bring_up_to_date(root, request.param, name) for name in catalog.instruments()}
    assert all(
        s.reason or s.computed or not getattr(catalog.instrument(n), "is_stored", True) for n, s in summaries.items()
    )
    return request.param, {name: summary.reason for name, summary in summaries.items()}


def test_twenty_steps_of_qwens_architecture_lower_the_loss(root: Path) -> None:
    record = json.loads(files.folder_of(root, "trained").record.read_text())
    first = files.folder_of(root, "trained").curves.read_text().splitlines()[1].split(",")
    assert record["metrics"]["train_loss"] < 0.9 * float(first[1])
    assert files.folder_of(root, "trained").checkpoint_steps() == (0, 10, 20)
    stored = store.load_checkpoint(files.folder_of(root, "trained").checkpoint(20))
    assert stored.model == configuration.load(root).variant("trained").model
    assert "pos_embed.W_pos" not in stored.weights
    assert stored.weights["blocks.0.mlp.W_gate"].shape == (16, 24)


def test_a_training_of_this_shape_goes_on_bit_equal(root: Path, tmp_path: Path) -> None:
    variant, other = configuration.load(root).variant("trained"), files.folder_of(tmp_path, "trained")
    train(variant, other)
    again = store.load_checkpoint(other.checkpoint(20)).weights
    for name, weight in store.load_checkpoint(files.folder_of(root, "trained").checkpoint(20)).weights.items():
        np.testing.assert_array_equal(weight, again[name], err_msg=name)


def test_every_instrument_applies_or_says_why(analysed: tuple[str, dict[str, str]]) -> None:
    name, reasons = analysed
    assert {"losses", "head_scores", "logit_lens", "representations", "weight_norms"} <= {
        n for n, r in reasons.items() if not r
    }
    assert all(reason.endswith(".") for reason in reasons.values() if reason), (name, reasons)


def test_every_view_is_drawn_or_says_why(root: Path, analysed: tuple[str, dict[str, str]]) -> None:
    name, reasons = analysed
    variant, n_drawn = api.load_variant(name, root), 0
    for view in catalog.views():
        try:
            figure = variant.view(view).figure()
        except NotApplicable as reason:
            assert str(reason).endswith("."), (view, str(reason))
        else:
            n_drawn += 1
            assert not reasons[view.partition(".")[0]], view
            assert figure.data or figure.layout.annotations, view
    assert n_drawn > 20


@torch.no_grad()
def test_an_imported_checkpoint_is_the_model_it_came_from(root: Path) -> None:
    folder = files.folder_of(root, "tiny_qwen")
    assert folder.checkpoint_steps() == STEPS
    context = configuration.load(root).variant("tiny_qwen").family.context(0)
    checkpoint = store.load_checkpoint(folder.checkpoint(1000))
    ours = activations(checkpoint, context, ("logits",), "all")["logits"]
    theirs = QwenAdapter.load_checkpoint(root / "source" / "step1000")(torch.from_numpy(context.probe.tokens))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5)


def test_the_losses_of_an_import_are_measured_and_what_is_not_known_is_absent(root: Path) -> None:
    folder = files.folder_of(root, "tiny_qwen")
    record = json.loads(folder.record.read_text())
    assert not {"tokens", "flops_6nd", "recipe"} & record.keys()
    assert "seconds" not in record["metrics"]
    tokens = configuration.load(root).variant("tiny_qwen").family.split(0).test
    model = QwenAdapter.load_checkpoint(root / "source" / "step1000")
    logits = model(torch.from_numpy(tokens.tokens)).flatten(0, 1).double()
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(tokens.targets).flatten()).item()
    assert record["metrics"]["test_loss"] == pytest.approx(expected, rel=1e-5)
    assert [row.split(",")[0] for row in folder.curves.read_text().splitlines()[1:]] == [str(step) for step in STEPS]


def test_the_stage_that_trains_other_variants_imports_this_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = files.folder_of(root, "tiny_qwen").record.read_bytes()
    monkeypatch.chdir(root)
    runpy.run_path(str(Path(__file__).parents[2] / "stages" / "train.py"))["main"]("tiny_qwen")
    assert capsys.readouterr().out.startswith("tiny_qwen: 3 checkpoints, test loss ")
    assert files.folder_of(root, "tiny_qwen").record.read_bytes() == before
    facts = report._facts(json.loads(before))
    assert facts["training"].startswith("imported: step0, step10, step1000")


def test_importing_twice_gives_the_same_bytes_and_removes_what_is_gone(root: Path, tmp_path: Path) -> None:
    for once in range(2):
        assert import_checkpoints(tmp_path, f"v{once}", root / "source") == STEPS
    first, second = (files.folder_of(tmp_path, f"v{once}") for once in range(2))
    assert [first.checkpoint(s).read_bytes() for s in STEPS] == [second.checkpoint(s).read_bytes() for s in STEPS]
    (tmp_path / "fewer").mkdir()
    (tmp_path / "fewer" / "checkpoint-10").symlink_to(root / "source" / "step10")
    assert import_checkpoints(tmp_path, "v0", tmp_path / "fewer") == (10,)
    assert first.checkpoint_steps() == (10,)


def test_folders_that_are_no_checkpoints_of_one_model_are_refused(root: Path, make: Callable, tmp_path: Path) -> None:
    with pytest.raises(MiscopeError, match=r"has no sub-folder with a config\.json"):
        import_checkpoints(tmp_path, "v", tmp_path / "nothing")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "final").symlink_to(root / "source" / "step0")
    with pytest.raises(MiscopeError, match="the name 'final' says no step"):
        import_checkpoints(tmp_path, "v", tmp_path / "a")
    for name, of in (("step7", "step0"), ("7", "step0")):
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / name).symlink_to(root / "source" / of)
    with pytest.raises(MiscopeError, match="are both of step 7"):
        import_checkpoints(tmp_path, "v", tmp_path / "b")
    make(tmp_path / "c" / "step0", "qwen3", num_hidden_layers=1)
    make(tmp_path / "c" / "step1", "qwen3", num_hidden_layers=2)
    with pytest.raises(MiscopeError, match="is of another shape than the first"):
        import_checkpoints(tmp_path, "v", tmp_path / "c")


def test_an_imported_variant_takes_no_training_settings(root: Path) -> None:
    spec = {
        "family": "outside",
        "_target_": "miscope.adapters.imported.ImportedText",
        "folder": f"{root}/source",
        "path": f"{root}/corpus.txt",
        "length": 8,
    }
    for odd in ({"steps": 5}, {"model": {"n_layers": 3}}):
        with pytest.raises(MiscopeError, match=r"`v` is imported: .* set neither"):
            import_variant(configuration.variant("v", spec | odd, root), root)
    with pytest.raises(MiscopeError, match="`length` = 65; allowed: 4 to 64"):
        configuration.variant("v", spec | {"length": 65}, root)
