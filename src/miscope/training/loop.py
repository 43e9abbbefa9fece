"""A variant's training, whole: its checkpoints, its curve, its record, brought up to date by the loop of `engine`.

A loss at step s is measured with the weights of checkpoint s, train and test alike, in float64; what is differentiated
keeps its relative precision however small it gets (`training.loss`).
"""

import csv
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from miscope import keys
from miscope.core import MiscopeError, Variant
from miscope.model.memory import keep_freed_memory
from miscope.training.adaptive import adaptive_steps
from miscope.training.cohort import Cohort
from miscope.training.device import Device, device_for, versions
from miscope.training.engine import Asked, Work, fill, visit
from miscope.training.ledger import Ledger, training_key
from miscope.training.run import Evaluation, Run, resume_steps
from miscope.workspace import files, store

OnEvaluation = Callable[[Evaluation], None]


def train(
    variant: Variant,
    folder: files.Folder,
    on_evaluation: OnEvaluation = lambda _: None,
    peers: Sequence[Variant] = (),
) -> dict[str, Any]:
    """Bring checkpoints, curve, metrics and record of a variant up to date; what comes back is the record.

    With `peers`, all of them train side by side, and the checkpoints and states of each come to lie in its own folder,
    beside this one; only this one's record is written.

    Raises:
        MiscopeError: the loss is not finite, or the weights stand still, at a step that it names; or the device is not
            there. What was written before stays, whole, and the next call goes on from it.
    """
    keep_freed_memory()
    device = device_for(variant.recipe)
    ledger = _ledger(variant, folder, device, variant.recipe.cohort if peers else "")
    _check_processes(variant, folder, device)
    started, work = time.perf_counter(), Work()
    if peers:
        _fill_cohort(variant, ledger, peers, device, work, on_evaluation)
    steps = set(variant.checkpoint_steps)
    fill(lambda: Run(variant, device), _asked(variant, steps), ledger, device, work, on_evaluation)
    if variant.adaptive:
        curve = [ledger.curve[step] for step in _evaluated(variant, set(variant.checkpoint_steps))]
        steps |= adaptive_steps(curve, variant.adaptive)
        fill(lambda: Run(variant, device), _asked(variant, steps), ledger, device, work, on_evaluation)
    if not device.writes:
        return {}
    _sweep(folder, variant, steps)
    _check_moving(folder, steps)
    curve = [ledger.curve[step] for step in _evaluated(variant, steps)]
    record = _record(variant, curve, device, work, time.perf_counter() - started)
    files.write(folder.curves, _csv(curve))
    files.write(folder.metrics, files.pretty_json(record["metrics"]))
    files.write(folder.record, files.pretty_json(record))
    return record


def _check_processes(variant: Variant, folder: files.Folder, device: Device) -> None:
    """
    Raises:
        MiscopeError: this very training was begun by another number of processes; going on would throw it away.
    """
    now = {"declaration": keys.digest(keys.canonical_json(variant.declaration())), "processes": device.world}
    before = json.loads(folder.began.read_text(encoding="utf-8")) if folder.began.is_file() else now
    device.wait()
    if before["declaration"] == now["declaration"] and before["processes"] != now["processes"]:
        raise MiscopeError(
            f"`{variant.name}` was begun by {before['processes']} processes, and this call has {device.world}: their "
            f"bytes differ. Run it as before, or delete {folder.began.parent} to begin anew."
        )
    if device.writes:
        files.write(folder.began, keys.canonical_json(now))


def _ledger(variant: Variant, folder: files.Folder, device: Device, cohort: str = "") -> Ledger:
    """The variant's files; a branch may also go on from the states of its parent, which trained alike up to there."""
    branch, parent = variant.branch, None
    if branch is not None:
        alone = replace(variant, branch=None)
        parent = Ledger(files.Folder(folder.path.parent / branch.parent), training_key(alone, device), until=branch.at)
    return Ledger(folder, training_key(variant, device, cohort), parent)


def _fill_cohort(
    variant: Variant,
    ledger: Ledger,
    peers: Sequence[Variant],
    device: Device,
    work: Work,
    on_evaluation: OnEvaluation,
) -> None:
    """Compute what is missing of a variant and of its peers, from the last state that all of them kept."""
    members = sorted([variant, *peers], key=lambda member: member.name)  # the same stack, whoever comes first
    folders = {member.name: files.Folder(ledger.folder.path.parent / member.name) for member in members}
    ledgers = [ledger if m is variant else _ledger(m, folders[m.name], device, m.recipe.cohort) for m in members]
    missing = [_asked(m, set(m.checkpoint_steps)).missing(files) for m, files in zip(members, ledgers, strict=True)]
    if not any(missing):
        return
    cohort = Cohort(members, device)
    first = min(step for steps in missing for step in steps)
    shared = set.intersection(*(set(files.resume_steps()) for files in ledgers))
    if kept := [step for step in shared if step <= first]:
        cohort.restore(max(kept), [files.state(max(kept)) or {} for files in ledgers])
    while True:
        for member, files, steps in zip(cohort.members(), ledgers, missing, strict=True):
            mine = member.variant is variant
            visit(member, {*member.variant.checkpoint_steps}, steps, files, work, on_evaluation if mine else _ignore)
        if not any(missing):
            work.refused = cohort.refused
            return
        cohort.advance()
        work.updates += 1


def _ignore(evaluation: Evaluation) -> None:
    pass


def _asked(variant: Variant, checkpoints: set[int]) -> Asked:
    return Asked(checkpoints, set(_evaluated(variant, checkpoints)))


def _evaluated(variant: Variant, wanted: set[int]) -> list[int]:
    """Steps with a row in the curve: each `eval_every`, each checkpoint, the last."""
    recipe = variant.recipe
    return sorted({*range(0, recipe.steps + 1, recipe.eval_every), recipe.steps, *wanted})


def _sweep(folder: files.Folder, variant: Variant, steps: set[int]) -> None:
    """Remove checkpoints and states that are not asked for, and halves that a kill left."""
    files.sweep(folder.checkpoints, keep={folder.checkpoint(step) for step in steps})
    kept = {folder.resume(step) for step in resume_steps(variant)}
    files.sweep(folder.path / "resume", keep=kept | {folder.resume_curve, folder.began})


def _check_moving(folder: files.Folder, steps: set[int]) -> None:
    """Two neighbouring checkpoints with the same weights mean that nothing was learned, or the wrong file was kept."""
    digests = {step: store.weights_digest(folder.checkpoint(step)) for step in sorted(steps)}
    for before, after in zip(sorted(steps), sorted(steps)[1:], strict=False):
        if digests[before] == digests[after]:
            raise MiscopeError(
                f"The weights of `{folder.name}` at step {after} equal those at step {before}: updates move nothing; "
                f"look at variants.{folder.name}.learning_rate."
            )


def _record(variant: Variant, curve: list[Evaluation], device: Device, work: Work, seconds: float) -> dict[str, Any]:
    """What was trained, on what, at what cost, how it ended. FLOPs are 6 N D, N without embeddings and positions."""
    shapes = _shapes(variant)
    n_params = sum(shapes.values())
    n_examples = variant.recipe.batch_size or len(variant.family.split(variant.data_seed).train)
    tokens = variant.recipe.steps * n_examples * variant.model.n_ctx
    return warning(device, work) | {
        "variant": variant.name,
        "label": variant.label,
        "trained_as": variant.declaration(),
        "family": variant.family_name,
        "settings": asdict(variant.family),
        "seeds": {"seed": variant.seed, "data_seed": variant.data_seed},
        "model": asdict(variant.model),
        "recipe": asdict(variant.recipe),
        "branch": _branch(variant),
        "device": device.describe(),
        "versions": versions(),
        "checkpoints": len(variant.checkpoint_steps),
        "parameters": n_params,
        "tokens": tokens,
        "flops_6nd": 6 * (n_params - shapes["W_E"] - shapes.get("W_pos", 0)) * tokens,
        "this_time": {"updates": work.updates, "checkpoints": work.written, "seconds": round(seconds, 2)},
        "metrics": _metrics(variant, curve, seconds),
    }


def warning(device: Device, work: Work) -> dict[str, str]:
    """What a reader of the record should know of how it was trained; nothing, if there is nothing to warn of."""
    coarse = "bfloat16 autocast: logits carry 8 bits; losses below about 1e-3 nats are not resolved."
    said = [coarse] if device.precision != "float32" else []
    said += [work.refused] if work.refused else []
    return {"warning": " ".join(said)} if said else {}


def _branch(variant: Variant) -> dict[str, Any] | None:
    return asdict(variant.branch) if variant.branch else None


def _shapes(variant: Variant) -> dict[str, int]:
    from miscope.model.transformer import Transformer

    return {name: p.numel() for name, p in Transformer(variant.model).named_parameters()}


def _metrics(variant: Variant, curve: list[Evaluation], seconds: float) -> dict[str, Any]:
    """The last losses and accuracies; `solved_step`, from where test accuracy stays solved, is absent if never."""
    last = {name: value for name, value in asdict(curve[-1]).items() if name != "step"}
    unsolved = [i for i, e in enumerate(curve) if not e.test_accuracy >= variant.family.solved_accuracy]
    first = unsolved[-1] + 1 if unsolved else 0
    solved = {"solved_step": curve[first].step} if first < len(curve) else {}
    return last | solved | {"steps": variant.recipe.steps, "seconds": round(seconds, 2)}


def _csv(curve: list[Evaluation]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(asdict(curve[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(evaluation) for evaluation in curve)
    return text.getvalue()
