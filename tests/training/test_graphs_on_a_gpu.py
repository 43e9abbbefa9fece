"""Updates as CUDA graphs, on a GPU: the same bytes as kernel by kernel. Skipped where there is none."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from trainings import FAMILY, RECIPES, assert_same, eager, members, trainer, variant

from miscope.core import Branch
from miscope.training.graphs import Replayed, replaying
from miscope.training.loop import train
from miscope.workspace import files

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("is_ensemble", [False, True])
def test_fifty_replays_are_fifty_eager_updates_to_the_bit(recipe: dict[str, object], is_ensemble: bool) -> None:
    there = members(device="cuda", **recipe) if is_ensemble else [variant(device="cuda", **recipe)]
    run, expected = replaying(trainer(*there), there[0].recipe), eager(*there)
    for _ in range(50):
        assert_same(run, expected, updates=1)
        assert run.is_replaying, run.fallback_reason


@pytest.mark.parametrize("recipe", [{}, {"schedule": "cosine", "warmup_steps": 7}])
def test_a_training_on_a_gpu_gives_the_same_bytes_at_once_or_gone_on_with(
    recipe: dict[str, object], tmp_path: Path
) -> None:
    once, again, later = (files.Folder(tmp_path / name) for name in ("once", "again", "later"))
    there = variant(device="cuda", **recipe)
    wanted = replace(there, checkpoint_steps=(0, 20, 25, 60))
    assert "warning" not in train(wanted, once)
    train(wanted, again)
    train(there, later)
    assert train(wanted, later)["this_time"]["updates"] == 5  # from the state kept at 20
    for step in (0, 20, 25, 60):
        first, *others = (folder.checkpoint(step).read_bytes() for folder in (once, again, later))
        assert others == [first, first]


def test_an_ensemble_on_a_gpu_gives_the_same_bytes_at_once_or_gone_on_with(tmp_path: Path) -> None:
    for where, checkpoints in (("later", (0, 60)), ("later", (0, 25, 60)), ("once", (0, 25, 60))):
        first, *others = (replace(v, checkpoint_steps=checkpoints) for v in members(device="cuda"))
        assert "warning" not in train(first, files.Folder(tmp_path / where / "a"), members=others)
    for name in "abc":
        for step in (0, 25, 60):
            later, once = (files.Folder(tmp_path / where / name).checkpoint(step) for where in ("later", "once"))
            assert later.read_bytes() == once.read_bytes()


def test_a_branch_on_a_gpu_is_replayed_on_both_sides_of_where_it_departs() -> None:
    later = replace(variant(device="cuda").recipe, weight_decay=0.0, schedule="cosine")
    departing = variant(device="cuda", branch=Branch("parent", 10, FAMILY, 7, later))
    run, expected = replaying(trainer(departing), departing.recipe), eager(departing)
    assert_same(run, expected, updates=20)
    assert run.is_replaying, run.fallback_reason


def test_an_update_that_the_host_waits_for_is_refused_and_leaves_the_gpu_in_order() -> None:
    run, expected = eager(variant(device="cuda")), eager(variant(device="cuda"))
    graph, stream = Replayed(run.optimizers), torch.cuda.current_stream()

    def impatient() -> Tensor:
        loss = run._update()
        loss.item()
        return loss

    for _ in range(5):
        assert torch.equal(graph(impatient), expected.advance())
    assert graph.refused
    assert torch.cuda.current_stream() == stream
    assert_same(run, expected)
