"""Declares variants derived from another: the same task with other seeds, and a control run that must fail.

Both become entries of params.yaml, which `dvc repro` trains and analyses. Seeds answer "does it happen again?". A
control run answers "would a network that never generalises show this too?"; its curves are drawn behind its variant's.
"""

from collections.abc import Iterator, Mapping

from miscope.core import MiscopeError
from miscope.workspace import Workspace, configuration
from miscope.workspace.status import command

MOST_SEEDS = 100


def declare_seeds(workspace: Workspace, name: str, n: int) -> Iterator[str]:
    """Declare the variant with the next `n` seeds that are not declared yet; yields a line for each.

    Raises:
        MiscopeError: there is no such variant, it was not trained from a seed, or `n` is out of range.
    """
    root, declared = workspace.root, workspace.variants
    spec = configuration.spec(root, name)
    if not 1 <= n <= MOST_SEEDS:
        raise MiscopeError(f"{n} seeds; allowed: 1 to {MOST_SEEDS}.")
    _check_trained_from_its_seed(name, spec)
    seed, made = int(spec.get("seed", 0)), list[str]()
    while len(made) < n:
        seed += 1
        own = f"{name}_seed_{seed}"
        if own not in declared:
            configuration.add(root, own, {**_without_control(spec), "seed": seed})
            made.append(own)
            yield f"{own}: seed {seed}"
    reports = " ".join(f"report@{own}" for own in made)
    yield f"Run `dvc repro {reports}`, then `python -m miscope lead_lag {declared[name].family_name}`."


def declare_control(workspace: Workspace, name: str) -> Iterator[str]:
    """Declare a control run of the variant, with the changes that its family names, and link the variant to it.

    Raises:
        MiscopeError: there is no such variant, it has a control run already, its family declares none, or its weights
            are not trained here from its own seed.
    """
    root, variant = workspace.root, workspace.config.variant(name)
    spec = configuration.spec(root, name)
    if variant.control:
        raise MiscopeError(f"`{name}` has a control run: `{variant.control}`. Run `{command(variant.control)}`.")
    if not variant.family.controls:
        raise MiscopeError(f"The family `{variant.family_name}` declares no control, so `{name}` has none.")
    _check_trained_from_its_seed(name, spec)
    sentence, changes = next(iter(variant.family.controls.items()))
    control = f"{name}_control"
    model = {"model": {**(spec.get("model") or {}), **changes["model"]}} if "model" in changes else {}
    configuration.add(root, control, {**_without_control(spec), **changes, **model})
    configuration.set_key(root, name, "control", control)
    yield f"{control}: {sentence}"
    yield f"Run `{command(control)}`; its curves are then drawn behind those of `{name}` in the app and the notebook."


def _check_trained_from_its_seed(name: str, spec: Mapping[str, object]) -> None:
    """
    Raises:
        MiscopeError: the weights are imported or start from a parent, so other settings would not change them all.
    """
    if "imported" in spec or "branch" in spec:
        raise MiscopeError(
            f"`{name}` is imported or a branch: not trained from its own seed, it has no other seeds or control."
        )


def _without_control(spec: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in spec.items() if key != "control"}
