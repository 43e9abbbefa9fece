"""Reads and writes the files of a workspace: checkpoints, probes, Outputs, nulls.

Each file carries digests of its content and of its inputs; a damaged file is an error that names it.
"""

import csv
import io
import json
import types
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import AbstractArray, jaxtyped
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig, Probe
from miscope.instrument import Null, Output
from miscope.keys import Key, canonical_json, digest_of_arrays, stamp
from miscope.maths.spectra import Basis
from miscope.workspace.files import write

O = TypeVar("O", bound=Output)

HEADER = "provenance"  # the member of an npz file that holds its key


# ---------------------------------------------------------------- tensors: checkpoints and probes


def _save_tensors(path: Path, tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    # one metadata entry: safetensors does not fix the order of several
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    write(path, save_tensors(arrays, metadata={"miscope": canonical_json(meta)}))


def _load_tensors(path: Path, what: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()  # safetensors' handle does not iterate
            return {name: file.get_tensor(name) for name in names}, _meta(file, path)
    except (SafetensorError, OSError) as error:
        raise MiscopeError(f"{what} {path} cannot be read ({error}). Delete it and run `dvc repro`.") from None


def _meta(file: Any, path: Path) -> dict[str, Any]:
    meta = (file.metadata() or {}).get("miscope")
    if meta is None:
        raise MiscopeError(f"{path} was not written by MIScope: its header has no `miscope` entry.")
    header: dict[str, Any] = json.loads(meta)
    return header


def save_checkpoint(
    path: Path, step: int, model: ModelConfig, weights: Mapping[str, np.ndarray], training: str = ""
) -> None:
    """Write weights by TransformerLens' names; the header holds step, model, training and the weights' digest."""
    meta = {"step": step, "model": model.declaration(), "training": training, "weights": digest_of_arrays(weights)}
    _save_tensors(path, weights, meta)


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in `path`, its weights checked against the digest in its header.

    Raises:
        MiscopeError: the file is truncated, was not written by MIScope, or its weights do not match their digest.
    """
    weights, meta = _load_tensors(path, "The checkpoint")
    if digest_of_arrays(weights) != meta["weights"]:
        raise MiscopeError(
            f"The checkpoint {path} is damaged: its weights differ from their digest. Delete it and run `dvc repro`."
        )
    return Checkpoint(step=meta["step"], model=ModelConfig(**meta["model"]), weights=types.MappingProxyType(weights))


def weights_digest(path: Path) -> str:
    """The digest of the weights in a checkpoint, from its header."""
    return str(_header(path, stamp(path))["weights"])


def training_of(path: Path, *, is_whole: bool = True) -> str:
    """The key of the training that wrote a checkpoint; empty for a file that is damaged, if it must be whole."""
    try:
        if is_whole:
            load_checkpoint(path)
        return str(_header(path, stamp(path)).get("training", ""))
    except MiscopeError:
        return ""


def metadata_of(content: bytes) -> str | None:
    """The `miscope` entry in the header of a safetensors file."""
    size = int.from_bytes(content[:8], "little")
    header: dict[str, dict[str, str]] = json.loads(content[8 : 8 + size])
    return header.get("__metadata__", {}).get("miscope")


def metadata_of_file(path: Path) -> str:
    """The `miscope` entry in the header of a safetensors file; empty for a file that is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            return str((file.metadata() or {}).get("miscope", ""))
    except (SafetensorError, OSError):
        return ""


def is_checkpoint(path: Path) -> bool:
    """Whether MIScope wrote this file as a checkpoint."""
    try:
        return {"model", "step", "weights"} <= _header(path, stamp(path)).keys()
    except MiscopeError:
        return False


def model_config(path: Path) -> ModelConfig:
    """The model's shape, from a checkpoint's header."""
    return ModelConfig(**_header(path, stamp(path))["model"])


@lru_cache(maxsize=65_536)
def _header(path: Path, stamp: tuple[int, int]) -> dict[str, Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            return _meta(file, path)
    except (SafetensorError, OSError) as error:
        raise MiscopeError(f"The checkpoint {path} cannot be read ({error}). Delete it and run `dvc repro`.") from None


def save_context(path: Path, context: Context) -> None:
    """Write the probe and its context, byte-stably."""
    probe = {f.name: value for f in fields(Probe) if (value := getattr(context.probe, f.name)) is not None}
    latents = {LATENT + name: labels for name, labels in context.latents.items()}
    meta = {name: getattr(context, name) for name in _CONTEXT_DATA} | {"basis": asdict(context.basis)}
    _save_tensors(path, probe | latents, meta)


LATENT = "latent: "  # the prefix of the names of latents in a probe's file
_CONTEXT_DATA = tuple(f.name for f in fields(Context) if f.name not in ("probe", "basis", "latents"))


def load_context(path: Path) -> Context:
    """The probe and its context, written by the stage `probe`."""
    tensors, meta = _load_tensors(path, "The probe")
    basis = Basis(**meta.pop("basis"))
    latents = {name.removeprefix(LATENT): tensors.pop(name) for name in sorted(tensors) if name.startswith(LATENT)}
    data: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in meta.items()}
    return Context(probe=Probe(**tensors), basis=basis, latents=types.MappingProxyType(latents), **data)


def load_curve(path: Path) -> dict[str, np.ndarray]:
    """The training curve, column by column: `step`, losses, accuracies and the task's own metrics."""
    names, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    columns = dict(zip(names, np.array(rows, dtype=np.float64).T, strict=True))
    return columns | {"step": columns["step"].astype(np.int64)}


# ---------------------------------------------------------------- outputs


def save_output(path: Path, output: Output, key: Key) -> None:
    """Write an Output with its key and the digest of its values; absent (None) fields are left out.

    Raises:
        MiscopeError: a field does not match its annotation.
    """
    if faults := list(faults_of(output)):
        raise MiscopeError(f"{type(output).__name__}: {'; '.join(faults)}.")
    arrays = {f.name: np.asarray(v) for f in fields(output) if (v := getattr(output, f.name)) is not None}
    header = asdict(key) | {"values": digest_of_arrays(arrays)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{HEADER: np.asarray(canonical_json(header))}, **arrays)
    write(path, buffer.getvalue())


def load_output(path: Path, kind: type[O]) -> O:
    """The Output in `path`; fields that were absent are None."""
    hints = get_type_hints(kind)
    with _open_npz(path) as file:
        values = {name: _value(file[name], hints[name]) for name in file.files if name != HEADER}
    return kind(**{f.name: values.get(f.name) for f in fields(kind)})


def output_key(path: Path) -> Key:
    """The key of a stored Output."""
    return _key(_npz_header(path, stamp(path)))


def values_digest(path: Path) -> str:
    """The digest of a stored Output's values, from its header."""
    return str(_npz_header(path, stamp(path))["values"])


def faults_of(output: Output) -> Iterator[str]:
    """Fields that do not match their annotations; an axis of one name has one size."""
    hints = get_type_hints(type(output))
    with jaxtyped("context"):
        for field in fields(output):
            value, kinds = getattr(output, field.name), _kinds(hints[field.name])
            # not in a function of its own: jaxtyping remembers the sizes of axes within one function only
            if not any(isinstance(value, kind) if _is_shape(kind) else _is_a(value, kind) for kind in kinds):
                shape = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
                yield f"`{field.name}` is {shape}, declared {' or '.join(map(_type_name, kinds))}"


def _kinds(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is types.UnionType else (kind,)


def _is_a(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if kind is bool:
        return isinstance(value, (bool, np.bool_))
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(isinstance(v, get_args(kind)[0]) for v in value)
    return isinstance(value, get_origin(kind) or kind)


def _is_shape(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, AbstractArray)


def _type_name(kind: Any) -> str:
    if _is_shape(kind):
        return f"{kind.__name__.partition('[')[0]}[{kind.dim_str!r}]"
    return getattr(kind, "__name__", str(kind))


def _key(header: Mapping[str, Any]) -> Key:
    return Key(header["inputs"], header["code"], header["settings"])


@lru_cache(maxsize=65_536)
def _npz_header(path: Path, stamp: tuple[int, int]) -> dict[str, Any]:
    with _open_npz(path) as file:
        header: dict[str, Any] = json.loads(file[HEADER].item())
        return header


@contextmanager
def _open_npz(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise MiscopeError(f"The artifact {path} cannot be read ({error}). Delete it and run `dvc repro`.") from None


def _value(array: np.ndarray, kind: Any) -> Any:
    """The stored array as the type that the Output's field declares: a number, a text, several texts, or the array."""
    kinds = [k for k in _kinds(kind) if k is not type(None)]
    if kinds and kinds[0] in (int, float, str, bool):
        return array.item()
    if kinds and get_origin(kinds[0]) is tuple:
        return tuple(array.tolist())
    return array


# ---------------------------------------------------------------- nulls

ROW = ("step", "options", "value", "threshold")  # of a Null, what differs from row to row


def save_nulls(path: Path, nulls: Iterable[Null], key: Key) -> None:
    """Write the nulls, a row for each; fields that many rows share are written once."""
    shared: dict[str, int] = {}
    rows = []
    for null in nulls:
        common = {f.name: getattr(null, f.name) for f in fields(Null) if f.name not in ROW}
        index = shared.setdefault(canonical_json(common), len(shared))
        numbers = (None if np.isnan(x) else float(x) for x in (null.value, null.threshold))
        rows.append([index, null.step, dict(null.options), *numbers])
    content = {"key": asdict(key), "shared": [json.loads(text) for text in shared], "rows": rows}
    write(path, canonical_json(content))


def load_nulls(path: Path) -> tuple[Null, ...]:
    """The nulls in `path`."""
    return _nulls(path, stamp(path))[1]


def nulls_key(path: Path) -> Key:
    """The key of stored nulls."""
    return _nulls(path, stamp(path))[0]


@lru_cache(maxsize=512)
def _nulls(path: Path, stamp: tuple[int, int]) -> tuple[Key, tuple[Null, ...]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        shared, rows = content["shared"], content["rows"]
        return _key(content["key"]), tuple(_null(shared[index], *row) for index, *row in rows)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise MiscopeError(f"The artifact {path} cannot be read ({error}). Delete it and run `dvc repro`.") from None


def _null(
    base: Mapping[str, Any], step: int | None, options: Mapping[str, Any], value: float | None, threshold: float | None
) -> Null:
    value, threshold = (np.nan if x is None else x for x in (value, threshold))
    own = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    return Null(**base, value=value, threshold=threshold, step=step, options=types.MappingProxyType(own))
