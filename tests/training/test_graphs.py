"""Updates as CUDA graphs, short of the capture: which are replayed, on what they rely, what is done where one fails."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from trainings import FAMILY, MODEL, RECIPES, assert_same, eager, members, replayed, trainer, variant

from miscope import catalog
from miscope.core import Branch, MiscopeError, Recipe, Variant
from miscope.training import batches
from miscope.training.checkpoints import CheckpointStore, Done, Target
from miscope.training.device import Device
from miscope.training.graphs import Capture, Replayed, Update, can_replay
from miscope.training.loop import train_missing
from miscope.training.record import warning
from miscope.workspace.files import Folder


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"optimizer": "sgd"}, True),
        ({"schedule": "cosine"}, True),
        ({"precision": "bfloat16"}, True),
        ({"batch_size": 16}, False),
        ({"accumulate": 2}, False),
        ({"optimizer": "torch.optim.RMSprop"}, False),
        ({"optimizer": {"_target_": "torch.optim.AdamW", "amsgrad": True}}, False),
    ],
)
def test_full_batches_on_one_gpu_are_replayed(changed: dict[str, object], expected: bool) -> None:
    recipe = replace(Recipe(steps=10), **changed)
    assert can_replay(recipe, Device(torch.device("cuda"))) is expected
    assert not can_replay(recipe, Device(torch.device("cuda"), world=2))
    assert not can_replay(recipe, Device(torch.device("cpu")))


def test_a_cpu_trains_as_it_always_did() -> None:
    for variants in ([variant()], members()):
        made = trainer(*variants)
        made.advance()
        assert made.fallback_reason == ""
        assert made.optimizers[0].param_groups[0]["lr"] == 1e-3  # a plain number


@pytest.mark.parametrize("recipe", RECIPES)
def test_warm_ups_leave_no_trace(recipe: dict[str, object]) -> None:
    (run, capture), expected = replayed(variant(**recipe)), eager(variant(**recipe))
    assert_same(run, expected, updates=50)
    assert (run.step, capture.captures, run.fallback_reason) == (50, 1, "")


def test_a_rate_on_the_device_moves_the_weights_as_a_plain_number_does() -> None:
    exact = variant(learning_rate=2.0**-10)  # a float32 holds it
    (run, _), expected = replayed(exact), trainer(exact)
    assert_same(run, expected, updates=20)


def test_a_schedule_overwrites_the_rate_in_place() -> None:
    run, _ = replayed(variant(schedule="cosine"))
    rate = run.optimizers[0].param_groups[0]["lr"]
    for expected in (1e-3, 1e-3 * 0.99931484):  # (1 + cos(pi / 60)) / 2
        run.advance()
        assert run.optimizers[0].param_groups[0]["lr"] is rate
        assert rate.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("is_ensemble", [False, True])
def test_a_restored_run_captures_anew_and_goes_on_to_the_same_bytes(
    recipe: dict[str, object], is_ensemble: bool
) -> None:
    variants = members(**recipe) if is_ensemble else [variant(**recipe)]
    (run, capture), expected = replayed(*variants), eager(*variants)
    for _ in range(20):
        expected.advance()
    kept = [{name: value.clone() for name, value in model.state().items()} for model in expected.models]
    for _ in range(3):
        run.advance()
    run.restore(20, kept)
    assert_same(run, expected, updates=20)
    assert capture.captures == 2


def test_a_branch_captures_anew_where_it_departs() -> None:
    later = replace(variant().recipe, weight_decay=0.0, learning_rate=5e-3)
    departing = variant(branch=Branch("parent", 10, FAMILY, 7, later))
    (run, capture), expected = replayed(departing), eager(departing)
    assert_same(run, expected, updates=20)
    assert capture.captures == 2


WAITED_FOR = {"_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "_unique2", "bincount", "equal"}


class ForTheHost(TorchDispatchMode):
    """Raises where the host reads a value from the device, or puts one there: both would end a capture."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket._qualified_op_name.removeprefix("aten::")
        indices = [index for index in args[1] if index is not None] if name == "index" else []
        assert name not in WAITED_FOR, name
        assert not any(index.dtype is torch.bool for index in indices), "an index by a mask"
        return func(*args, **(kwargs or {}))


SHAPES = [
    {},
    {"n_layers": 2, "normalization": "LN", "has_biases": True, "act_fn": "gelu", "is_causal": False},
    {"normalization": "RMS", "positions": "rotary", "n_key_value_heads": 1, "gated_mlp": True, "act_fn": "silu"},
    {"d_mlp": 0, "use_qk_norm": True, "has_tied_embeddings": True, "d_vocab_out": 14},
]


def test_the_host_is_caught_when_it_reads() -> None:
    for read in (lambda x: x.item(), lambda x: bool(x > 0), lambda x: x[x > 0], lambda x: torch.tensor([1.0])):
        with pytest.raises(AssertionError), ForTheHost():
            read(torch.ones(()))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plan of distinct rows, which a GPU does not use."""
    monkeypatch.setattr(batches, "unique_rows", lambda *_: None)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("recipe", [{}, {"optimizer": "sgd"}, {"precision": "bfloat16"}])
@pytest.mark.usefixtures("as_on_a_gpu")
def test_no_update_makes_the_host_wait(shape: dict[str, object], recipe: dict[str, object]) -> None:
    alike = [replace(v, model=replace(MODEL, **shape)) for v in members(**recipe)]
    for run in (eager(alike[0]), eager(*alike)):
        run._update()  # what is made once is made at the first call
        with ForTheHost():
            run._update()


@pytest.mark.parametrize("name", [n for n in catalog.families() if not catalog.family(n)().recipe().batch_size])
@pytest.mark.usefixtures("as_on_a_gpu")
def test_no_family_makes_the_host_wait(name: str) -> None:
    family = catalog.family(name)()
    recipe = replace(family.recipe(), device="cpu", steps=2)
    run = eager(Variant("whole", name, family, 1, 1, family.model(), recipe, (0, 2)))
    run._update()
    with ForTheHost():
        run._update()


def off_by_little(warm_up: Callable[[], None], update: Update) -> Update:
    warm_up()
    return lambda: update() + 1e-9


def not_allowed(warm_up: Callable[[], None], update: Update) -> Update:
    """As torch raises: what went wrong first, and then that the capture cannot end."""
    warm_up()
    try:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")
    finally:
        raise RuntimeError("operation failed due to a previous error during capture")


@pytest.mark.parametrize(
    ("capture", "why"),
    [
        (off_by_little, "its first replay differed from the eager update by up to 1.0e-09."),
        (not_allowed, ": operation not permitted when stream is capturing."),
    ],
)
def test_what_cannot_be_replayed_goes_on_eagerly_and_the_record_says_so(
    capture: Capture, why: str, tmp_path: Path
) -> None:
    run, expected = eager(variant()), eager(variant())
    run.launch_by(Replayed(run.optimizers, capture))
    target = Target(CheckpointStore(Folder(tmp_path / "v"), "key"), {20}, {20}, set())
    done = train_missing(lambda: run, [target], run.device)
    for _ in range(20):
        expected.advance()
    assert_same(run, expected)
    said = warning(Device(torch.device("cpu"), "bfloat16"), done)["warning"]
    assert said.startswith("bfloat16 autocast: ")
    assert said.endswith(why)
    assert warning(run.device, Done()) == {}


def test_a_mistake_of_the_users_is_raised_and_no_reason_to_go_on_eagerly() -> None:
    def refuse() -> Tensor:
        raise MiscopeError("no")

    _, capture = replayed(variant())
    with pytest.raises(MiscopeError, match="no"):
        Replayed(capture.optimizers, capture)(refuse)
