"""What is said of a training once it is done: its curve, its metrics, its record; and what it must have left behind."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from miscope.core import MiscopeError, Variant
from miscope.keys import canonical_json, digest
from miscope.model.transformer import Transformer
from miscope.training.checkpoints import Done, Target, set_aside_checkpoints
from miscope.training.device import Device, versions
from miscope.training.trainer import Evaluation
from miscope.workspace.files import Folder, pretty_json, sweep, write
from miscope.workspace.store import weights_digest


def write_training(
    variant: Variant, folder: Folder, target: Target, device: Device, done: Done, seconds: float
) -> dict[str, Any]:
    """Write the record of a training that has ended, and remove what it does not ask for. Its weights must move."""
    kept = {folder.resume(step) for step in target.states}
    set_aside_checkpoints(folder, target.store.key, keep={folder.checkpoint(step) for step in target.checkpoints})
    sweep(folder.path / "resume", keep=kept | {folder.resume_curve, folder.began})
    _check_moving(folder, sorted(target.checkpoints))
    curve = [target.store.curve[step] for step in sorted(target.evaluations)]
    before = json.loads(folder.record.read_text(encoding="utf-8")) if folder.record.is_file() else {}
    spent = float(before["metrics"]["seconds"]) if before.get("key") == target.store.key else 0.0  # by earlier calls
    spent += seconds if done.updates else 0.0
    told = {
        "seeds": {"seed": variant.seed, "data_seed": variant.data_seed},
        "recipe": asdict(variant.recipe),
        "branch": asdict(variant.branch) if variant.branch else None,
        "key": target.store.key,
        "checkpoints": len(variant.checkpoint_steps),
        "this_time": {"updates": done.updates, "checkpoints": done.checkpoints, "seconds": round(seconds, 2)},
    }
    ended = {"steps": variant.recipe.steps, "seconds": round(spent, 2)}
    warned = warning(device, done, mixture(folder, device) if done.updates else "")
    return write_record(variant, folder, curve, device, warned | told | _cost(variant), ended)


def write_record(
    variant: Variant, folder: Folder, curve: Sequence[Evaluation], device: Device, told: Mapping[str, Any],
    ended: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Write curve, metrics and record; `told` is what only this way of getting weights can say."""
    record = {
        "variant": variant.name, "label": variant.label, "trained_as": variant.declaration(),
        "family": variant.family_name, "settings": asdict(variant.family), "model": asdict(variant.model),
        "device": device.describe(), "versions": versions(), **told,
        "metrics": _metrics(variant, curve) | dict(ended),
    }  # fmt: skip
    write(folder.curves, _csv(curve))
    write(folder.metrics, pretty_json(record["metrics"]))
    write(folder.record, pretty_json(record))
    return record


def check_processes(variant: Variant, folder: Folder, device: Device) -> None:
    """Refuse, by a MiscopeError, to go on with a training that another number of processes began: it would be lost."""
    now = {
        "declaration": digest(canonical_json(variant.declaration())), "processes": device.world,
        "computed_with": computed_with(device),
    }  # fmt: skip
    before = json.loads(folder.began.read_text(encoding="utf-8")) if folder.began.is_file() else now
    device.wait()
    if before["declaration"] == now["declaration"] and before["processes"] != now["processes"]:
        raise MiscopeError(
            f"`{variant.name}` was begun by {before['processes']} processes, and this call has {device.world}: their "
            f"bytes differ. Run it as before, or delete {folder.began.parent} to begin anew."
        )
    if device.writes and before["declaration"] != now["declaration"]:
        before = now
    if device.writes:
        write(folder.began, canonical_json(before))


def computed_with(device: Device) -> dict[str, Any]:
    """What the last bits of weights depend on, beside what is declared."""
    return {name: value for name, value in (device.describe() | versions()).items() if name != "processes"}


def mixture(folder: Folder, device: Device) -> str:
    """A sentence, if this call went on with what others had computed on another machine or with other versions."""
    before = json.loads(folder.began.read_text(encoding="utf-8")).get("computed_with", {})
    now = computed_with(device)
    differ = [f"{name} {before[name]}, then {now[name]}" for name in now if before.get(name, now[name]) != now[name]]
    return f"Computed in parts, with {'; '.join(differ)}: the last bits depend on it." if differ else ""


def _check_moving(folder: Folder, steps: Sequence[int]) -> None:
    """Two neighbouring checkpoints with the same weights mean that nothing was learned, or the wrong file was kept."""
    digests = [weights_digest(folder.checkpoint(step)) for step in steps]
    for i, step in enumerate(steps[1:]):
        if digests[i] == digests[i + 1]:
            raise MiscopeError(
                f"The weights of `{folder.name}` at step {step} equal those at step {steps[i]}: updates move nothing; "
                f"look at variants.{folder.name}.learning_rate."
            )


def warning(device: Device, done: Done, mixed: str = "") -> dict[str, str]:
    """What a reader of the record should know of how it was trained; nothing, if there is nothing to warn of."""
    coarse = "bfloat16 autocast: logits carry 8 bits; losses below about 1e-3 nats are not resolved."
    said = " ".join(filter(None, [coarse if device.precision != "float32" else "", done.fallback_reason, mixed]))
    return {"warning": said} if said else {}


def _cost(variant: Variant) -> dict[str, int]:
    """Parameters, tokens and FLOPs: 6 N D, N without embeddings and positions."""
    shapes = {name: p.numel() for name, p in Transformer(variant.model).named_parameters()}
    n_examples = variant.recipe.batch_size or len(variant.family.split(variant.data_seed).train)
    tokens = variant.recipe.steps * n_examples * variant.model.n_ctx
    inner = sum(shapes.values()) - shapes["W_E"] - shapes.get("W_pos", 0)
    return {"parameters": sum(shapes.values()), "tokens": tokens, "flops_6nd": 6 * inner * tokens}


def _metrics(variant: Variant, curve: Sequence[Evaluation]) -> dict[str, Any]:
    """The last losses and accuracies; `solved_step`, from where test accuracy stays solved, is absent if never."""
    last = {name: value for name, value in curve[-1].numbers().items() if name != "step"}
    unsolved = [i for i, e in enumerate(curve) if not e.test_accuracy >= variant.family.solved_accuracy]
    first = unsolved[-1] + 1 if unsolved else 0
    return last | ({"solved_step": curve[first].step} if first < len(curve) else {})


def _csv(curve: Sequence[Evaluation]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(curve[0].numbers()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(evaluation.numbers() for evaluation in curve)
    return text.getvalue()
