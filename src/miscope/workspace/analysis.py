"""Runs instruments whose artifacts are missing or stale, and opens artifacts that are fresh.

Every Output carries a key (`status`). Fresh Outputs are kept, all others are computed, and files that no checkpoint
needs are removed; the bytes are those of computing everything anew. An instrument that raises is reported, and the
others continue.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from miscope.catalog import Plugin, reason
from miscope.core import Checkpoint, Context, MiscopeError, NotApplicable
from miscope.instrument import GRADIENTS, Artifact, Null, Output, OverTraining, PerCheckpoint, sampled_steps
from miscope.keys import Key
from miscope.workspace import status, store
from miscope.workspace.configuration import Config, load
from miscope.workspace.files import Folder, folder_of, sweep
from miscope.workspace.observation import observed, observed_over_training

Progress = Callable[[Iterable[int]], Iterable[int]]
Compute = Callable[[Path, str, str, int], Output]  # (root, variant, instrument, step)


@dataclass(frozen=True)
class Summary:
    """How many Outputs of one instrument were computed, kept and removed."""

    computed: int = 0
    kept: int = 0
    removed: int = 0
    reason: str = ""  # why the instrument does not apply; empty if it does
    error: str = ""  # what it raised; empty if it did not

    def __str__(self) -> str:
        if self.error:
            return f"failed: {self.error}"
        if self.reason:
            return f"not applicable: {self.reason}"
        return f"{self.computed} computed, {self.kept} fresh, {self.removed} removed"


# ---------------------------------------------------------------- computing


def write_probe(config: Config, folder: Folder) -> int:
    """Write the variant's probe and context; returns the number of inputs."""
    variant = config.variant(folder.name)
    context = variant.family.context(variant.data_seed)
    store.save_context(folder.probe, context)
    return len(context.probe.tokens)


def bring_up_to_date(
    config: Config,
    folder: Folder,
    instruments: Sequence[str],
    progress: Progress = lambda steps: steps,
    *,
    with_siblings: bool = False,
) -> dict[str, Summary]:
    """Compute the Outputs and nulls that are missing or stale, and remove files that nothing needs.

    Per-checkpoint instruments share one forward pass for each checkpoint; instruments over training run after them.
    `with_siblings`: where that pass is made for activations, Outputs of other instruments that read them are stored
    too, and nothing else is done about those.

    Raises:
        MiscopeError: the checkpoints or the probe are missing or damaged, or there is no such instrument.
    """
    config.variant(folder.name)
    context = store.load_context(_existing(folder.probe, folder))
    for step in status.checkpoint_steps(folder):
        store.weights_digest(folder.checkpoint(step))  # raises for a damaged file, which is no instrument's fault
    summaries: dict[str, Summary] = {}
    plans = []
    for name in instruments:
        plugin = config.catalog.plugin(name)
        try:
            if isinstance(plugin.instrument, PerCheckpoint):
                plans.append(_plan(folder, plugin, config.settings(name)))
        except MiscopeError as wrong:
            summaries[name] = Summary(error=str(wrong))
    siblings = _siblings(config, folder, plans) if with_siblings else []
    _analyze(folder, [*plans, *siblings], context, progress)
    for plan in plans:
        summaries[plan.plugin.name] = _finished(folder, plan, context)
    for name in instruments:
        if name not in summaries:
            summaries[name] = _over_training(config, folder, config.catalog.plugin(name), context)
    return {name: summaries[name] for name in instruments}


@dataclass
class _Plan:
    """The checkpoints that one instrument has to measure, and what kept it from measuring them."""

    plugin: Plugin
    settings: Mapping[str, Any]
    expected: dict[Path, Key] = field(default_factory=dict)
    stale: dict[int, Path] = field(default_factory=dict)
    reason: str = ""
    error: str = ""

    @property
    def instrument(self) -> PerCheckpoint:
        assert isinstance(self.plugin.instrument, PerCheckpoint)
        return self.plugin.instrument


def _plan(folder: Folder, plugin: Plugin, settings: Mapping[str, Any]) -> _Plan:
    plan = _Plan(plugin, settings)
    steps = sampled_steps(status.checkpoint_steps(folder), settings)
    plan.reason = _reason_not_to(plan.instrument, folder, steps[0])
    if plan.reason:
        return plan
    keys = {step: status.output_key(folder, plugin, settings, step) for step in steps}
    plan.expected = {folder.output(plugin.name, step): key for step, key in keys.items()}
    paths = {step: folder.output(plugin.name, step) for step in steps}
    plan.stale = {step: path for step, path in paths.items() if not status.is_fresh(path, keys[step])}
    return plan


def _siblings(config: Config, folder: Folder, plans: Sequence[_Plan]) -> list[_Plan]:
    """Other instruments that read nothing but activations, if one of these reads any and has to; faulty ones apart."""
    if not any(plan.stale and reads_activations(plan.instrument) for plan in plans):
        return []
    siblings, own = [], {plan.plugin.name for plan in plans}
    for name in config.catalog.stored:
        plugin = config.catalog.plugin(name)
        if name not in own and isinstance(plugin.instrument, PerCheckpoint) and reads_activations(plugin.instrument):
            with suppress(MiscopeError):  # its own stage says what is wrong
                siblings.append(_plan(folder, plugin, config.settings(name)))
    return siblings


def reads_activations(instrument: PerCheckpoint) -> bool:
    """Whether it reads activations and nothing else, so that one pass over the probe serves all that do."""
    return bool(instrument.hooks) and GRADIENTS not in instrument.needs


def _analyze(folder: Folder, plans: Sequence[_Plan], context: Context, progress: Progress) -> None:
    """Load every checkpoint once, and run all instruments whose Outputs of it are missing or stale."""
    for step in progress(sorted({step for plan in plans for step in plan.stale})):
        due = [plan for plan in plans if step in plan.stale and not plan.reason and not plan.error]
        if not due:
            continue
        checkpoint = store.load_checkpoint(folder.checkpoint(step))
        for plan, seen in zip(due, observed(checkpoint, context, [plan.instrument for plan in due]), strict=True):
            path = plan.stale[step]
            try:
                output = plan.instrument.compute(seen, context, **status.of_compute(plan.settings))
                store.save_output(path, output, plan.expected[path])
            except NotApplicable as why:
                plan.reason = str(why)
            except Exception as error:  # one plugin's mistake must not end the analysis of all
                plan.error = f"at step {step}, {_sentence(error)}"


def _finished(folder: Folder, plan: _Plan, context: Context) -> Summary:
    """Remove unneeded files and compute the nulls; of an instrument that does not apply, store only the reason."""
    plugin = plan.plugin
    if plan.error:
        return Summary(error=plan.error)
    if plan.reason:
        return _not_applicable(folder, plugin, plan.settings, plan.reason)
    steps = sampled_steps(folder.checkpoint_steps(), plan.settings)
    kind = plan.instrument.output_type
    artifact = Artifact(steps, lru_cache(maxsize=2)(lambda s: store.load_output(folder.output(plugin.name, s), kind)))
    return _with_nulls(folder, plugin, artifact, context, plan.expected, len(plan.stale))


def _over_training(config: Config, folder: Folder, plugin: Plugin, context: Context) -> Summary:
    instrument, settings, path = plugin.instrument, config.settings(plugin.name), folder.over_training(plugin.name)
    assert isinstance(instrument, OverTraining), plugin.name
    try:
        seen: list[Any] = [_checkpoints(folder, instrument, context)] if instrument.sees_checkpoints else []
        seen += [store.load_curve(_existing(folder.curves, folder))] if instrument.reads_curve else []
        inputs = [*seen, *(artifact(config, folder, needed.name) for needed in instrument.needs)]
        key = status.over_training_key(folder, plugin, settings)
        if is_stale := not status.is_fresh(path, key):
            store.save_output(path, instrument.compute(*inputs, context, **settings), key)
        output = store.load_output(path, instrument.output_type)
        return _with_nulls(folder, plugin, output, context, {path: key}, int(is_stale))
    except NotApplicable as why:
        return _not_applicable(folder, plugin, settings, str(why))
    except Exception as error:  # one plugin's mistake must not end the analysis of all
        return Summary(error=_sentence(error))


def _with_nulls(
    folder: Folder, plugin: Plugin, artifact: Any, context: Context, expected: Mapping[Path, Key], computed: int
) -> Summary:
    """Remove unneeded files, and compute the nulls of the stored Outputs unless they are fresh."""
    measure = plugin.instrument.nulls if getattr(plugin.instrument, "is_stored", True) else None
    path = folder.nulls(plugin.name)
    removed = sweep(folder.instrument(plugin.name), keep={*expected} | ({path} if measure else set()))
    if measure is not None:
        key = status.nulls_key(folder, plugin)
        if not status.is_fresh(path, key):
            try:
                store.save_nulls(path, measure(artifact, context), key)
            except Exception as error:
                return Summary(error=f"its nulls, {_sentence(error)}")
    return Summary(computed, len(expected) - computed, removed)


def _not_applicable(folder: Folder, plugin: Plugin, settings: Mapping[str, Any], why: str) -> Summary:
    path = folder.not_applicable(plugin.name)
    store.save_output(path, status.Reason(why), status.reason_key(folder, plugin, settings))
    return Summary(removed=sweep(path.parent, keep={path}), reason=why)


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, MiscopeError) else reason(error)


def _checkpoints(folder: Folder, instrument: OverTraining, context: Context) -> Artifact[Checkpoint]:
    """The checkpoints as the instrument sees them, each computed anew on every access."""

    def seen(step: int) -> Checkpoint:
        return observed_over_training(store.load_checkpoint(folder.checkpoint(step)), context, instrument)

    return Artifact(status.checkpoint_steps(folder), seen)


def _reason_not_to(instrument: PerCheckpoint, folder: Folder, step: int) -> str:
    model = store.model_config(folder.checkpoint(step))
    lacking = [hook for hook in instrument.needs if hook.startswith("mlp.") and not model.d_mlp]
    if lacking and len(lacking) == len(instrument.needs):  # an instrument with other sites measures those
        return f"The model is attention-only (`d_mlp` is 0), so it has no `{lacking[0]}`."
    return ""


def _existing(path: Path, folder: Folder) -> Path:
    if not path.is_file():
        raise MiscopeError(f"`{folder.name}` has no {path.name}. Run `{status.command(folder.name)}`.")
    return path


# ---------------------------------------------------------------- one Output, and stored artifacts


def compute(checkpoint: Checkpoint, instrument: PerCheckpoint, context: Context, settings: Mapping[str, Any]) -> Output:
    """One Output, with one forward pass over the probe if the instrument needs activations."""
    (seen,) = observed(checkpoint, context, [instrument])
    return instrument.compute(seen, context, **status.of_compute(settings))


def compute_at(root: Path, variant: str, instrument: str, step: int) -> Output:
    """The Output of an instrument that is never stored, at one checkpoint."""
    config, folder = load(root), folder_of(root, variant)
    chosen = config.catalog.instrument(instrument)
    assert isinstance(chosen, PerCheckpoint), instrument
    context = store.load_context(_existing(folder.probe, folder))
    checkpoint = store.load_checkpoint(_existing(folder.checkpoint(step), folder))
    return compute(checkpoint, chosen, context, config.settings(instrument))


def artifact(config: Config, folder: Folder, instrument: str, compute: Compute = compute_at) -> Artifact[Any] | Output:
    """The instrument's Artifact, or its one Output over training. Outputs are read on access.

    Raises:
        MiscopeError: it is missing or stale; the error names the digest that differs and the command that updates it.
        NotApplicable: the instrument has nothing to measure here.
    """
    _check_fresh(config, folder, instrument)
    chosen = config.catalog.instrument(instrument)
    if isinstance(chosen, OverTraining):
        return store.load_output(folder.over_training(instrument), chosen.output_type)
    if chosen.is_stored:
        read = lambda step: store.load_output(folder.output(instrument, step), chosen.output_type)  # noqa: E731
    else:
        read = lambda step: compute(config.root, folder.name, instrument, step)  # noqa: E731
    steps = sampled_steps(folder.checkpoint_steps(), config.settings(instrument))
    return Artifact(steps, lru_cache(maxsize=128)(read))


def nulls(config: Config, folder: Folder, instrument: str) -> tuple[Null, ...]:
    """What chance would show, for every view of the instrument.

    Raises:
        MiscopeError: the artifact is missing or stale.
        NotApplicable: the instrument has nothing to measure here.
    """
    _check_fresh(config, folder, instrument)
    path = folder.nulls(instrument)
    return store.load_nulls(path) if path.is_file() else ()


def _check_fresh(config: Config, folder: Folder, instrument: str) -> None:
    state = status.status(config, folder, instrument)
    if state.state == "not applicable":
        raise NotApplicable(state.detail)
    if state.state != "fresh":
        raise MiscopeError(state.sentence)
