"""Variants made from one that is declared: the same in other seeds, and a twin that must fail.

Both are entries of params.yaml, so that `dvc repro` trains and analyses them like any other. Seeds answer "is it the
same again?"; a twin answers "would I see this in a network that never generalises?", and its curves are drawn behind
those of its variant.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from miscope import config, freshness
from miscope.core import MiscopeError

MOST_SEEDS = 100


def declare_seeds(root: Path, name: str, n: int) -> Iterator[str]:
    """Declare the variant in the next `n` seeds that it has none for; what comes back are lines that say so.

    Raises:
        MiscopeError: there is no such variant, it was not trained from a seed, or `n` is out of range.
    """
    spec = config.spec(root, name)
    if not 1 <= n <= MOST_SEEDS:
        raise MiscopeError(f"{n} seeds; allowed: 1 to {MOST_SEEDS}.")
    _check_trained_anew(name, spec)
    taken, seed = config.load(root).variants, int(spec.get("seed", 0))
    made: list[str] = []
    while len(made) < n:
        seed += 1
        own = f"{name}_seed_{seed}"
        if own not in taken:
            config.add(root, own, {**_without_twin(spec), "seed": seed})
            made.append(own)
            yield f"{own}: seed {seed}"
    reports = " ".join(f"report@{own}" for own in made)
    yield f"Run `dvc repro {reports}`, then `python -m miscope order {taken[name].family_name}`."


def declare_twin(root: Path, name: str) -> Iterator[str]:
    """Declare the variant changed by its family's control, which must fail, and name it as the variant's twin.

    Raises:
        MiscopeError: there is no such variant, it has a twin, its family declares no control, or its weights are not
            trained here from its own seed.
    """
    spec, variant = config.spec(root, name), config.load(root).variant(name)
    if variant.twin:
        raise MiscopeError(f"`{name}` has a twin: `{variant.twin}`. Run `{freshness.command(variant.twin)}`.")
    if not variant.family.controls:
        raise MiscopeError(f"The family `{variant.family_name}` declares no control, so `{name}` has no twin.")
    _check_trained_anew(name, spec)
    sentence, changes = next(iter(variant.family.controls.items()))
    twin = f"{name}_twin"
    model = {"model": {**(spec.get("model") or {}), **changes["model"]}} if "model" in changes else {}
    config.add(root, twin, {**_without_twin(spec), **changes, **model})
    config.set_key(root, name, "twin", twin)
    yield f"{twin}: {sentence}"
    yield f"Run `{freshness.command(twin)}`; its curves then lie behind those of `{name}` in the app and the notebook."


def _check_trained_anew(name: str, spec: Mapping[str, object]) -> None:
    """
    Raises:
        MiscopeError: the weights come from elsewhere or from a parent, so other settings would not change them all.
    """
    if "imported" in spec or "branch" in spec:
        raise MiscopeError(f"`{name}` is imported or a branch, not trained from its own seed, and has no relatives.")


def _without_twin(spec: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in spec.items() if key != "twin"}
