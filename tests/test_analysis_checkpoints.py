"""Instruments that look at some checkpoints only, and those over training that read weights, Outputs or activations."""

import importlib
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from small import STEPS, Small

from miscope.core import MiscopeError
from miscope.model.inspection import activations
from miscope.workspace import store
from miscope.workspace.analysis import Summary


@pytest.mark.parametrize(("checkpoints", "steps"), [(0, STEPS), (2, (0, 40)), (3, STEPS)])
def test_an_expensive_instrument_looks_at_as_many_checkpoints_as_its_setting_says(
    checkpoints: int, steps: tuple[int, ...], own: Small
) -> None:
    before = own.contents("loss_landscape")
    own.change("checkpoints: 12", f"checkpoints: {checkpoints}")
    done = own.update("loss_landscape")["loss_landscape"]
    assert done == Summary(0, len(steps), 3 - len(steps))  # what was measured stays as it lies
    assert own.folder.output_steps("loss_landscape") == steps
    assert own.load().status("loss_landscape").state == "fresh"
    artifact = own.load().artifact("loss_landscape")
    assert artifact.steps == steps
    assert [artifact.last_by(step) for step in (0, 20, 39, 40)] == [
        max(s for s in steps if s <= x) for x in (0, 20, 39, 40)
    ]
    own.change(f"checkpoints: {checkpoints}", "checkpoints: 12")
    n = 3 - len(steps)
    if n:  # more than were looked at are a gap that is filled
        said = f"`loss_landscape` of `small` lacks {n} of 3 checkpoints. Run `dvc repro report@small`."
        assert own.load().status("loss_landscape").sentence == said
    assert own.update("loss_landscape")["loss_landscape"] == Summary(n, len(steps), 0)
    assert own.contents("loss_landscape") == before


# ---------------------------------------------------------------- instruments over training

SEES = """
from dataclasses import dataclass
import numpy as np
from jaxtyping import Int
from miscope.instruments.losses.measure import instrument as losses
from miscope.plugin import Output, OverTraining

handed = []

@dataclass(frozen=True)
class Seen(Output):
    steps: Int[np.ndarray, " n"]

def {name}({arguments}) -> Seen:
    handed[:] = [{arguments}]
    return Seen(np.array(list(handed[0])))

instrument = OverTraining({name}, {asks})
"""


def handed(own: Small, name: str, arguments: str, asks: str) -> list[Any]:
    """What an instrument of one's own is handed."""
    lab = own.root / f"lab_{name}"
    lab.mkdir()
    (lab / f"{name}.py").write_text(SEES.format(name=name, arguments=arguments, asks=asks))
    own.change("instruments:\n", f"instruments:\n  lab_{name}.{name}: {{}}\n")
    assert own.update(name)[name] == Summary(1, 0, 0)
    return importlib.import_module(f"lab_{name}.{name}").handed


def test_one_may_read_weights_and_outputs_and_is_stale_when_either_has_changed(own: Small) -> None:
    weights, outputs, _ = handed(own, "both", "weights, outputs, context", "needs=(losses,), reads_weights=True")
    assert list(weights) == list(outputs) == list(STEPS)
    assert weights[20].weights["embed.W_E"].shape == (8, 8)
    assert outputs[20].all_loss > 0
    path = own.folder.output("losses", 20)
    before = path.read_bytes()
    store.save_output(path, replace(outputs[20], all_loss=7.0), store.output_key(path))
    own.update("losses")  # its nulls
    with pytest.raises(MiscopeError, match=r"^`both` of `small` is stale: it was made from other outputs"):
        own.load().artifact("both")
    path.write_bytes(before)
    own.update("losses")
    assert own.load().status("both").state == "fresh"
    own.change_weights(20)
    own.update("losses")
    assert own.load().status("both").state == "stale"
    assert own.update("both")["both"] == Summary(1, 0, 0)


@pytest.mark.parametrize(
    ("name", "inputs", "positions"),
    [("at_all", "all", "answer"), ("at_train", "train", "answer"), ("everywhere", "all", "all")],
)
def test_one_of_activations_is_handed_those_of_one_checkpoint_at_a_time(
    name: str, inputs: str, positions: Literal["answer", "all"], own: Small
) -> None:
    hooks = ("logits", "mlp.hook_post")
    seen, context = handed(own, name, "seen, context", f"hooks={hooks}, positions={positions!r}, inputs={inputs!r}")
    assert list(seen) == list(STEPS)
    chosen = context.probe.is_train if inputs == "train" else slice(None)
    for step in STEPS:
        expected = activations(store.load_checkpoint(own.folder.checkpoint(step)), context, hooks, positions)
        values = seen[step].activations
        assert set(values) == {"logits", "blocks.0.mlp.hook_post"}
        for hook, value in values.items():
            np.testing.assert_allclose(value, expected[hook][chosen], rtol=1e-5, atol=1e-6)
    assert seen[20] is not seen[20]  # none is kept
    own.change_weights(20)
    assert "it was made from other weights" in own.load().status(name).sentence
