"""An ensemble: each member ends where it would have come alone, with files of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trainings import MODEL, members

from miscope.core import MiscopeError
from miscope.families.modulo_addition import ModuloAddition
from miscope.training.loop import train
from miscope.workspace import files, store


def weights(folder: files.Folder, step: int) -> np.ndarray:
    by_name = store.load_checkpoint(folder.checkpoint(step)).weights
    return np.concatenate([by_name[name].ravel() for name in sorted(by_name)])


@pytest.mark.parametrize(
    ("act_fn", "steps", "apart"),
    [
        # ten times the furthest that one unit in the last place of the first weights took a lone run, of 180 such runs
        ("gelu", (0, 20, 40), 2e-5),
        # a ReLU has a kink: where rounding puts a neuron on the other side of it, two runs part, one in five by step 40
        ("relu", (0, 20), 2e-4),
    ],
)
@pytest.mark.parametrize("recipe", [{}, {"batch_size": 16}, {"optimizer": "sgd", "betas": (0.5, 0.9)}])
def test_each_member_is_its_lone_run_but_for_rounding(
    recipe: dict[str, object], act_fn: str, steps: tuple[int, ...], apart: float, tmp_path: Path
) -> None:
    first, *others = (replace(v, model=replace(MODEL, act_fn=act_fn)) for v in members(0, 20, 40, **recipe))
    train(first, files.Folder(tmp_path / "a"), members=others)
    for variant in (first, *others):
        alone = files.Folder(tmp_path / "alone" / variant.name)
        train(variant, alone)
        for step in steps:
            together = weights(files.Folder(tmp_path / variant.name), step)
            np.testing.assert_allclose(together, weights(alone, step), rtol=0, atol=apart)
    assert not np.allclose(weights(files.Folder(tmp_path / "a"), 40), weights(files.Folder(tmp_path / "b"), 40))


def test_whoever_comes_next_finds_its_work_done(tmp_path: Path) -> None:
    first, second, third = members(0, 20, 40)
    done = train(first, files.Folder(tmp_path / "a"), members=[second, third])
    assert done["this_time"] == done["this_time"] | {"updates": 40, "checkpoints": 9}
    record = train(second, files.Folder(tmp_path / "b"), members=[first, third])
    assert record["this_time"]["updates"] == 0
    assert record["variant"] == "b"
    assert record["metrics"]["steps"] == 40


def test_a_longer_ensemble_goes_on_from_its_states_to_the_same_bytes(tmp_path: Path) -> None:
    steps = (0, 20, 40, 60)
    for where, asked, updates in (("later", steps[:3], 40), ("later", steps, 20), ("once", steps, 60)):
        first, *others = members(*asked)
        record = train(first, files.Folder(tmp_path / where / "a"), members=others)
        assert record["this_time"]["updates"] == updates
    for name in "abc":
        for step in steps:
            later, once = (files.Folder(tmp_path / where / name).checkpoint(step) for where in ("later", "once"))
            assert later.read_bytes() == once.read_bytes()


@pytest.mark.parametrize(
    ("changed", "what"),
    [({"model": replace(MODEL, d_mlp=32)}, "model"), ({"family": ModuloAddition(13, 0.4)}, "number of examples")],
)
def test_members_of_another_shape_are_refused(changed: dict[str, object], what: str, tmp_path: Path) -> None:
    first, second, _ = members()
    with pytest.raises(MiscopeError, match=f"Ensemble `seeds`: `b` differs from `a` in its {what}"):
        train(first, files.Folder(tmp_path / "a"), members=[replace(second, **changed)])
