"""A ensemble: each member ends where it would have come alone, with files of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from miscope.core import MiscopeError, Recipe, Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.training.loop import train
from miscope.workspace import files, store

FAMILY = ModuloAddition(13, 0.5)
MODEL = replace(FAMILY.model(), d_model=32, n_heads=2, d_head=16, d_mlp=64)


def members(steps: int = 40, **recipe: object) -> list[Variant]:
    chosen = replace(Recipe(steps=steps, eval_every=10, resume_points=2, ensemble="seeds"), **recipe)
    alike = Variant(
        "a", "modulo_addition", FAMILY, 1, 1, MODEL, chosen, tuple(s for s in (0, 20, 40, 60) if s <= steps)
    )
    return [
        alike,
        replace(alike, name="b", seed=2, data_seed=5),
        replace(alike, name="c", seed=3, recipe=replace(chosen, learning_rate=3e-3, weight_decay=0.1)),
    ]


def weights(folder: files.Folder, step: int) -> np.ndarray:
    found = store.load_checkpoint(folder.checkpoint(step)).weights
    return np.concatenate([found[name].ravel() for name in sorted(found)])


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
    first, *others = (replace(v, model=replace(MODEL, act_fn=act_fn)) for v in members(**recipe))
    train(first, files.Folder(tmp_path / "a"), members=others)
    for variant in (first, *others):
        alone = files.Folder(tmp_path / "alone" / variant.name)
        train(variant, alone)
        for step in steps:
            together = weights(files.Folder(tmp_path / variant.name), step)
            np.testing.assert_allclose(together, weights(alone, step), rtol=0, atol=apart)
    assert not np.allclose(weights(files.Folder(tmp_path / "a"), 40), weights(files.Folder(tmp_path / "b"), 40))


def test_whoever_comes_next_finds_its_work_done(tmp_path: Path) -> None:
    first, second, third = members()
    done = train(first, files.Folder(tmp_path / "a"), members=[second, third])
    assert done["this_time"] == done["this_time"] | {"updates": 40, "checkpoints": 9}
    record = train(second, files.Folder(tmp_path / "b"), members=[first, third])
    assert record["this_time"]["updates"] == 0
    assert record["variant"] == "b"
    assert record["metrics"]["steps"] == 40


def test_a_longer_ensemble_goes_on_from_its_states_to_the_same_bytes(tmp_path: Path) -> None:
    for where, steps in (("later", 40), ("later", 60), ("once", 60)):
        first, *others = members(steps)
        record = train(first, files.Folder(tmp_path / where / "a"), members=others)
        assert record["this_time"]["updates"] == {("later", 40): 40, ("later", 60): 20, ("once", 60): 60}[where, steps]
    for name in "abc":
        for step in (0, 20, 40, 60):
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
