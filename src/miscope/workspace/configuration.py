"""Reads params.yaml into frozen dataclasses. An unknown key, or a value out of range, is an error.

YAML 1.2, as DVC reads it (`1e-3` is a number, `no` is a text). params.yaml is written only with valid content.
"""

import dataclasses
import io
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from miscope import catalog
from miscope.catalog import Catalog
from miscope.core import (
    Adaptive,
    Branch,
    Family,
    Imported,
    MiscopeError,
    ModelConfig,
    Recipe,
    Variant,
    field_names,
    weights_only,
)
from miscope.families._contract import check_family, family_lacks
from miscope.keys import digest_of_code
from miscope.workspace.files import write

SECTIONS = ("variants", "instruments", "scaling")
RENAMED = {"twin": "control", "cohort": "ensemble", "graduation": "first_learned_step"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, 10_000_000),
    "learning_rate": (0, 10),
    "weight_decay": (0, 100),
    "eval_every": (1, 1_000_000),
    "warmup_steps": (0, 1_000_000),
    "batch_size": (0, 10_000_000),
    "accumulate": (1, 10_000),
    "resume_points": (-1, 10_000),
    "threads": (0, 1_024),
    "seed": (0, 2**63 - 1),
    "data_seed": (0, 2**63 - 1),
    "n_layers": (1, 48),
    "d_model": (1, 16_384),
    "n_heads": (1, 256),
    "d_head": (1, 4_096),
    "d_mlp": (0, 65_536),
}


@dataclass(frozen=True)
class Config:
    """What params.yaml declares: the variants to train, the settings of the instruments, the scaling studies."""

    root: Path
    variants: Mapping[str, Variant]
    catalog: Catalog  # the instruments of this package, and those that `instruments` names by dotted path
    instruments: Mapping[str, Mapping[str, Any]]
    scaling: Mapping[str, Mapping[str, Any]]  # as written in params.yaml; `scaling.study` reads one

    def variant(self, name: str) -> Variant:
        if name in self.variants:
            return self.variants[name]
        known = ", ".join(self.variants)
        raise MiscopeError(f"params.yaml declares no variant `{name}`; it declares: {known or 'none'}.")

    def ensemble_members(self, variant: Variant) -> tuple[Variant, ...]:
        """The other variants of its ensemble; none if it names no ensemble."""
        name = variant.recipe.ensemble
        return tuple(v for v in self.variants.values() if name and v is not variant and v.recipe.ensemble == name)

    def settings(self, instrument: str) -> dict[str, Any]:
        """The instrument's settings: its defaults, overridden by params.yaml."""
        return {**self.catalog.instrument(instrument).settings, **self.instruments.get(instrument, {})}


def load(root: Path) -> Config:
    """The configuration of the workspace at `root`.

    Raises:
        MiscopeError: one line that names the key, the value and what is allowed.
    """
    path = root / "params.yaml"
    return _load(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=16)
def _load(path: Path, stamp: int) -> Config:
    text = _read(path)
    only_known_keys(text, SECTIONS, "params.yaml")
    declared = _mapping(text, "instruments")
    known = Catalog(outside=_outside_instruments(declared, path.parent))
    instruments = {_leaf(name): _instrument(known, name, spec or {}) for name, spec in declared.items()}
    variants: dict[str, Variant] = {}
    for name, spec in _mapping(text, "variants").items():
        _check_name(name, variants)
        variants[name] = variant(name, spec, path.parent)
    _check_parents(variants)
    _check_controls(variants)
    studies = {_study_name(name, spec): spec for name, spec in _mapping(text, "scaling").items()}
    frozen = types.MappingProxyType
    return Config(path.parent, frozen(variants), known, frozen(instruments), frozen(studies))


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise MiscopeError(f"{path} does not exist; run from the folder that holds params.yaml.")
    try:
        text = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except DuplicateKeyError as error:
        key = re.search(r'found duplicate key "(.*?)"', str(error))
        raise MiscopeError(
            f"params.yaml: the key `{key[1] if key else '?'}` occurs twice; two variants would share one folder."
        ) from None
    except YAMLError as error:
        raise MiscopeError(f"params.yaml is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(text, Mapping):
        raise MiscopeError("params.yaml must be a mapping with the sections " + ", ".join(SECTIONS) + ".")
    return text


def entry(name: str, spec: Mapping[str, Any]) -> str:
    """The text of a variant's entry in params.yaml."""
    text = io.StringIO()
    _round_trip().dump({name: dict(spec)}, text)
    return text.getvalue()


def add(root: Path, name: str, spec: Mapping[str, Any]) -> None:
    """Add a variant to params.yaml; its other lines and comments do not change.

    Raises:
        MiscopeError: the name is taken or invalid, or the entry declares no valid variant; then nothing is written.
    """
    if name in load(root).variants:
        raise MiscopeError(f"params.yaml declares a variant `{name}` already; choose another name.")
    _check_name(name, load(root).variants)
    variant(name, spec, root)
    document = _document(root)
    if not document.get("variants"):
        document["variants"] = {}
    document["variants"][name] = dict(spec)
    _rewrite(root, document)


def spec(root: Path, name: str) -> dict[str, Any]:
    """A variant's entry in params.yaml, as plain data.

    Raises:
        MiscopeError: params.yaml declares no such variant, or is not valid.
    """
    load(root).variant(name)
    return dict(_read(root / "params.yaml")["variants"][name])


def set_key(root: Path, name: str, key: str, value: Any) -> None:
    """Write one key of a variant's entry; all other lines and comments of params.yaml do not change.

    Raises:
        MiscopeError: the entry would declare no valid variant; then nothing is written.
    """
    variant(name, spec(root, name) | {key: value}, root)
    document = _document(root)
    document["variants"][name][key] = value
    _rewrite(root, document)


def _document(root: Path) -> Any:
    return _round_trip().load((root / "params.yaml").read_text(encoding="utf-8"))


def _rewrite(root: Path, document: Any) -> None:
    text = io.StringIO()
    _round_trip().dump(document, text)
    write(root / "params.yaml", text.getvalue())


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def _mapping(text: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    value = text.get(section) or {}
    if not isinstance(value, Mapping):
        raise MiscopeError(f"params.yaml: `{section}` = {value!r} must be a mapping of names to settings.")
    return value


def _check_name(name: Any, taken: Mapping[str, Variant]) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise MiscopeError(
            f"params.yaml: variants: the name {name!r} becomes a folder; use letters, digits, `_` and `-`, as text."
        )
    for other in taken:
        if other.casefold() == name.casefold():
            raise MiscopeError(
                f"params.yaml: variants `{other}` and `{name}` would share the folder artifacts/{name} "
                "on a file system that ignores case; rename one."
            )


def _study_name(name: Any, spec: Any) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise MiscopeError(
            f"params.yaml: scaling: the name {name!r} becomes a folder; use letters, digits, `_` and `-`, as text."
        )
    if not isinstance(spec, Mapping):
        raise MiscopeError(f"params.yaml: `scaling.{name}` = {spec!r} must be a mapping of settings.")
    return name


def _outside_instruments(declared: Mapping[str, Any], root: Path) -> list[str]:
    """Instruments named by dotted path: modules beside params.yaml or installed ones."""
    named = [name for name in declared if "." in str(name)]
    if named:
        catalog.look_in(root)
    return named


def _leaf(name: str) -> str:
    """`head_entropy` of `my_lab.head_entropy`."""
    return name.rpartition(".")[2]


def _instrument(catalog: Catalog, name: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    where = f"instruments.{name}"
    if _leaf(name) not in catalog.plugins:
        _unknown(name, tuple(catalog.plugins), "instruments")
    if not isinstance(spec, Mapping):
        raise MiscopeError(f"params.yaml: `{where}` = {spec!r} must be a mapping of settings.")
    try:
        known = catalog.instrument(_leaf(name)).settings
    except MiscopeError:  # `catalog.faults` says what is wrong with it; the others go on without it
        return spec
    only_known_keys(spec, tuple(known), where)
    return {key: _coerce(value, type(known[key]), f"{where}.{key}") for key, value in spec.items()}


def variant(name: str, spec: Any, root: Path) -> Variant:
    """The variant that an entry of params.yaml declares.

    Raises:
        MiscopeError: one line that names the key, the value and what is allowed.
    """
    where = f"variants.{name}"
    if not isinstance(spec, Mapping):
        raise MiscopeError(f"params.yaml: `{where}` = {spec!r} must be a mapping with at least `family` and `seed`.")
    cls = _family_class(spec, where, root)
    own = ("family", "_target_", "seed", "data_seed", "model", "checkpoints", "branch", "imported", "control")
    only_known_keys(spec, (*own, *field_names(cls), *field_names(Recipe)), where)
    family: Family = _build(cls, _only(spec, cls), where)
    code = _code_of(cls) if "_target_" in spec else ""
    if code:
        check_family(family, code)
    recipe = replace(family.recipe(), **coerced(Recipe, _only(spec, Recipe), where))
    fixed, adaptive = _schedule(spec.get("checkpoints"), recipe.steps, f"{where}.checkpoints")
    declared = Variant(
        name=name,
        family_name=spec.get("_target_", spec.get("family", "")),
        family=family,
        seed=_number(spec.get("seed", 0), int, f"{where}.seed"),
        data_seed=_number(spec.get("data_seed", 0), int, f"{where}.data_seed"),
        model=_model(family.model(), spec.get("model") or {}, f"{where}.model"),
        recipe=recipe,
        checkpoint_steps=fixed,
        adaptive=adaptive,
        family_code=code,
        imported=_imported(spec["imported"], f"{where}.imported") if "imported" in spec else None,
        control=_coerce(spec.get("control", ""), str, f"{where}.control"),
    )
    if "branch" not in spec:
        return declared
    return replace(declared, branch=_branch(declared, spec["branch"], f"{where}.branch"))


def _family_class(spec: Mapping[str, Any], where: str, root: Path) -> type[Family]:
    """The task that a variant names: a family of this package, or a class of the user named by `_target_`."""
    cls: type[Family]
    known = catalog.families()
    if "_target_" in spec:
        if "family" in spec:
            raise MiscopeError(f"params.yaml: `{where}` names both a `family` and a `_target_`; `_target_` is enough.")
        cls = catalog.located(spec["_target_"], f"params.yaml: `{where}._target_`", root)
    elif "family" not in spec:
        raise MiscopeError(f"params.yaml: `{where}` names no `family`; known: {', '.join(known)}, or `_target_`.")
    elif spec["family"] not in known:
        _unknown(spec["family"], known, f"{where}.family")
    else:
        cls = catalog.family(spec["family"])
    if lacks := list(family_lacks(cls)):
        name = spec.get("_target_", spec.get("family"))
        raise MiscopeError(f"params.yaml: `{where}`: {name} is no family: it lacks {', '.join(lacks)}.")
    return cls


def _code_of(cls: type) -> str:
    """A digest of the code of a class from outside: DVC does not watch its file, so this digest does."""
    path = getattr(sys.modules[cls.__module__], "__file__", None)
    return digest_of_code(Path(path)) if path else ""


def _imported(spec: Any, where: str) -> Imported:
    """From a path alone, or from a mapping with `path` and other settings."""
    settings = {"path": spec} if isinstance(spec, str) else spec
    if not isinstance(settings, Mapping) or "path" not in settings:
        raise MiscopeError(f"params.yaml: `{where}` = {spec!r} must be a path, or a mapping with `path`.")
    only_known_keys(settings, field_names(Imported), where)
    imported: Imported = _build(Imported, settings, where)
    if imported.attention_rate not in (0, 1):
        raise MiscopeError(f"params.yaml: `{where}.attention_rate` = {imported.attention_rate:g}; allowed: 0 or 1.")
    return imported


def _branch(variant: Variant, spec: Any, where: str) -> Branch:
    """The step at which the variant leaves its parent, and its settings from there on; parents are checked later."""
    if not isinstance(spec, Mapping) or not {"parent", "at"} <= spec.keys():
        raise MiscopeError(f"params.yaml: `{where}` = {spec!r} must name `parent`, `at`, and the settings that change.")
    cls = type(variant.family)
    changeable = (*field_names(cls), "data_seed", "learning_rate", "weight_decay", "betas", "schedule", "warmup_steps")
    only_known_keys(spec, ("parent", "at", *changeable), where)
    family = _build(cls, as_dict(variant.family) | _only(spec, cls), where)
    if family.model() != variant.family.model():
        raise MiscopeError(f"params.yaml: `{where}` changes the shape of the model, which a branch must keep.")
    return Branch(
        parent=_coerce(spec["parent"], str, f"{where}.parent"),
        at=_number(spec["at"], int, f"{where}.at", (0, variant.recipe.steps)),
        family=family,
        data_seed=_number(spec.get("data_seed", variant.data_seed), int, f"{where}.data_seed"),
        recipe=replace(variant.recipe, **coerced(Recipe, _only(spec, Recipe), where)),
    )


def _check_parents(variants: Mapping[str, Variant]) -> None:
    """Up to its step, a branch must equal its parent: the same task, seeds, model and recipe."""
    for name, variant in variants.items():
        if variant.branch is None:
            continue
        where, parent = f"variants.{name}.branch.parent", variants.get(variant.branch.parent)
        if parent is None or parent.branch is not None:
            allowed = ", ".join(other for other, v in variants.items() if v.branch is None)
            raise MiscopeError(f"params.yaml: `{where}` = {variant.branch.parent!r}; allowed: {allowed}.")
        fault = f"params.yaml: `variants.{name}` is no branch of `{parent.name}`:"
        for key in ("family", "seed", "data_seed", "model"):
            if getattr(parent, key) != getattr(variant, key):
                raise MiscopeError(f"{fault} its `{key}` differs before step {variant.branch.at}.")
        if weights_only(parent.recipe) != weights_only(variant.recipe):
            raise MiscopeError(f"{fault} its recipe differs before step {variant.branch.at}.")


def _check_controls(variants: Mapping[str, Variant]) -> None:
    """A control run is another variant of the same task."""
    for name, variant in variants.items():
        alike = [v.name for v in variants.values() if v.family_name == variant.family_name and v is not variant]
        if variant.control and variant.control not in alike:
            allowed = ", ".join(alike) or f"none, for no other variant is of {variant.family_name}"
            raise MiscopeError(f"params.yaml: `variants.{name}.control` = {variant.control!r}; allowed: {allowed}.")


def _model(default: ModelConfig, spec: Mapping[str, Any], where: str) -> ModelConfig:
    if not isinstance(spec, Mapping):
        raise MiscopeError(f"params.yaml: `{where}` = {spec!r} must be a mapping of model settings.")
    task_owned = ("n_ctx", "d_vocab", "d_vocab_out")
    allowed = tuple(key for key in field_names(ModelConfig) if key not in task_owned)
    only_known_keys(spec, allowed, where)
    return replace(default, **coerced(ModelConfig, spec, where))


def _schedule(spec: Any, steps: int, where: str) -> tuple[tuple[int, ...], Adaptive | None]:
    """Checkpoint steps from a list of steps, ranges `{every, from, to}` and `{log, from, to}`, and one `{adaptive}`.

    0 and the last step are always included.
    """
    if spec is None:
        spec = [{"every": max(1, steps // 50)}]
    if not isinstance(spec, list):
        raise MiscopeError(
            f"params.yaml: `{where}` = {spec!r} must be a list of steps and of ranges such as {{every: 100}}."
        )
    fixed, adaptive = {0, steps}, None
    for i, item in enumerate(spec):
        if isinstance(item, Mapping) and "adaptive" in item:
            adaptive = _adaptive(item, f"{where}[{i}]")
        else:
            fixed |= set(_range(item, steps, f"{where}[{i}]"))
    return tuple(sorted(fixed)), adaptive


def _adaptive(item: Mapping[str, Any], where: str) -> Adaptive:
    only_known_keys(item, ("adaptive", "metric"), where)
    n = _number(item["adaptive"], int, f"{where}.adaptive", (1, 100_000))
    metric = get_type_hints(Adaptive)["metric"]
    return Adaptive(n, _coerce(item.get("metric", "test_loss"), metric, f"{where}.metric"))


def _log_range(item: Mapping[str, Any], steps: int, where: str) -> set[int]:
    only_known_keys(item, ("log", "from", "to"), where)
    n = _number(item["log"], int, f"{where}.log", (1, 100_000))
    start = _number(item.get("from", 1), int, f"{where}.from", (1, steps))
    stop = _number(item.get("to", steps), int, f"{where}.to", (start, steps))
    ratio = (stop / start) ** (1 / max(n - 1, 1))
    return {round(start * ratio**i) for i in range(n)}


def _range(item: Any, steps: int, where: str) -> Iterable[int]:
    if isinstance(item, Mapping) and "log" in item:
        return _log_range(item, steps, where)
    if isinstance(item, Mapping):
        only_known_keys(item, ("every", "from", "to"), where)
        if "every" not in item:
            raise MiscopeError(
                f"params.yaml: `{where}` has no `every`; write {{every: 100}} or {{from: 0, to: 500, every: 10}}."
            )
        every = _number(item["every"], int, f"{where}.every", (1, steps))
        start = _number(item.get("from", 0), int, f"{where}.from", (0, steps))
        stop = _number(item.get("to", steps), int, f"{where}.to", (start, steps))
        return range(start, stop + 1, every)
    step = _number(item, int, where, (0, steps))
    return range(step, step + 1)


# ---------------------------------------------------------------- values


def _build(cls: type, spec: Mapping[str, Any], where: str) -> Any:
    try:
        return cls(**coerced(cls, spec, where))
    except MiscopeError as error:
        raise MiscopeError(f"params.yaml: `{where}`: {error}") if "params.yaml" not in str(error) else error from None


def coerced(cls: type, spec: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The entries as the types that a dataclass declares for its fields.

    Raises:
        MiscopeError: one line that names the key, the value and what is allowed.
    """
    hints = get_type_hints(cls)
    return {key: _coerce(value, hints[key], f"{where}.{key}") for key, value in spec.items()}


def _coerce(value: Any, kind: Any, where: str) -> Any:
    """`value` as the type `kind` that a dataclass field or a setting's default declares."""
    if kind in (int, float):
        return _number(value, kind, where)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise MiscopeError(f"params.yaml: `{where}` = {value!r}; allowed: {', '.join(map(str, get_args(kind)))}.")
        return value
    if get_origin(kind) in (Union, types.UnionType):
        kinds = tuple(get_origin(one) or one for one in get_args(kind))
        if not isinstance(value, kinds):
            names = " or ".join(
                {str: "a text", int: "a whole number", float: "a number"}.get(k, "a mapping") for k in kinds
            )
            raise MiscopeError(f"params.yaml: `{where}` = {value!r} must be {names}.")
        return value
    if kind is tuple or get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise MiscopeError(f"params.yaml: `{where}` = {value!r} must be a list.")
        inner = get_args(kind)
        if inner and inner[-1] is not Ellipsis and len(inner) != len(value):
            raise MiscopeError(f"params.yaml: `{where}` = {list(value)!r} must have {len(inner)} entries.")
        each = (inner[0] if inner else Any,) * len(value)
        return tuple(_coerce(v, k, f"{where}[{i}]") for i, (v, k) in enumerate(zip(value, each, strict=True)))
    if kind in (str, bool) and not isinstance(value, kind):
        raise MiscopeError(
            f"params.yaml: `{where}` = {value!r} must be {'a text' if kind is str else 'true or false'}."
        )
    return value


def _number(value: Any, kind: type, where: str, bounds: tuple[float, float] | None = None) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or (kind is int and value != int(value)):
        noun = "a whole number" if kind is int else "a number"
        raise MiscopeError(f"params.yaml: `{where}` = {value!r} must be {noun}.")
    low, high = bounds or RANGES.get(where.rpartition(".")[2], (float("-inf"), float("inf")))
    if not low <= value <= high:
        raise MiscopeError(f"params.yaml: `{where}` = {value!r}; allowed: {low:,} to {high:,}.")
    return kind(value)


def _only(spec: Mapping[str, Any], cls: type) -> dict[str, Any]:
    return {key: spec[key] for key in field_names(cls) if key in spec}


def only_known_keys(spec: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """
    Raises:
        MiscopeError: a key that is none of those known; it names the nearest.
    """
    for key in spec:
        if key not in known:
            _unknown(key, known, where)


def _unknown(key: Any, known: tuple[str, ...], where: str) -> None:
    close = get_close_matches(str(key), known, n=1)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    if RENAMED.get(str(key)) in known:
        hint = f" It is called `{RENAMED[str(key)]}` now."
    at = "params.yaml" if where == "params.yaml" else f"params.yaml: `{where}`"
    raise MiscopeError(f"{at}: `{key}` is unknown.{hint} Allowed: {', '.join(known) or 'no settings'}.")


def as_dict(value: Any) -> Any:
    """A frozen dataclass as plain data, for JSON."""
    return dataclasses.asdict(value)
