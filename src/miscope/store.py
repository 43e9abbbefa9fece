"""Files: where each thing lies, how it is written (whole or not at all), and digests that prove what it was made from.

    artifacts/<variant>/variant.json                 the record of its training
                        metrics.json, curves.csv     how it ended; losses over training
                        probe.safetensors            the fixed inputs and their context
                        checkpoints/<step>.safetensors
                        resume/<step>.safetensors    states to resume training from
                        instruments/<instrument>/<step>.npz or over_training.npz
                        views/<instrument>/<view>.json, drawn_from
                        report.html

Every file is byte-stable: the same content gives the same bytes.
"""

import hashlib
import io
import json
import os
import tempfile
import types
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from miscope.core import Checkpoint, Context, MiscopeError, ModelConfig, Output, Probe
from miscope.maths.spectra import Basis

O = TypeVar("O", bound=Output)

HEADER = "provenance"  # the member of an npz file that says what it was made from


@dataclass(frozen=True)
class Folder:
    """The files of one variant."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def record(self) -> Path:
        return self.path / "variant.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def curves(self) -> Path:
        return self.path / "curves.csv"

    @property
    def probe(self) -> Path:
        return self.path / "probe.safetensors"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"{step:06d}.safetensors"

    def checkpoint_steps(self) -> tuple[int, ...]:
        return _steps(self.checkpoints, ".safetensors")

    def resume(self, step: int) -> Path:
        """The state of the training at a step: weights and the optimizer's moments."""
        return self.path / "resume" / f"{step:06d}.safetensors"

    @property
    def resume_curve(self) -> Path:
        """All evaluations so far, kept while a training may go on."""
        return self.path / "resume" / "curve.safetensors"

    @property
    def began(self) -> Path:
        """What was declared, and by how many processes, when the training began."""
        return self.path / "resume" / "began.json"

    def resume_steps(self) -> tuple[int, ...]:
        return _steps(self.path / "resume", ".safetensors")

    def instrument(self, name: str) -> Path:
        """The folder of all that an instrument found."""
        return self.path / "instruments" / name

    def output(self, instrument: str, step: int) -> Path:
        return self.instrument(instrument) / f"{step:06d}.npz"

    def output_steps(self, instrument: str) -> tuple[int, ...]:
        return _steps(self.instrument(instrument), ".npz")

    def over_training(self, instrument: str) -> Path:
        return self.instrument(instrument) / "over_training.npz"

    def not_applicable(self, instrument: str) -> Path:
        """The file that says why the instrument has nothing to measure on this variant."""
        return self.instrument(instrument) / "not_applicable.npz"

    @property
    def views(self) -> Path:
        return self.path / "views"

    def view(self, name: str) -> Path:
        instrument, _, leaf = name.partition(".")
        return self.views / instrument / f"{leaf}.json"

    def drawn_from(self, instrument: str) -> Path:
        """The digest of all that an instrument's drawings were made from."""
        return self.views / instrument / "drawn_from"


def folder(root: Path, variant: str) -> Folder:
    return Folder(root / "artifacts" / variant)


def _steps(path: Path, suffix: str) -> tuple[int, ...]:
    if not path.is_dir():
        return ()
    return tuple(
        sorted(int(f.name.removesuffix(suffix)) for f in path.iterdir() if f.name.removesuffix(suffix).isdigit())
    )


# ---------------------------------------------------------------- bytes


def write(path: Path, content: bytes | str) -> None:
    """Write the file whole or not at all: to a temporary neighbour, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sweep(path: Path, keep: set[Path]) -> int:
    """Remove the files directly under `path` that are not in `keep` (orphans, and halves a kill left); how many."""
    orphans = [file for file in path.iterdir() if file.is_file() and file not in keep] if path.is_dir() else []
    for file in orphans:
        file.unlink()
    return len(orphans)


def canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def pretty_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=2) + "\n"


def digest(*parts: bytes | str) -> str:
    """SHA-256 of the parts, each with its length, in 32 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()[:32]


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of names, types, shapes and values."""
    return digest(
        *(
            part
            for name in sorted(arrays)
            for part in (
                name,
                arrays[name].dtype.str,
                str(arrays[name].shape),
                np.ascontiguousarray(arrays[name]).tobytes(),
            )
        )
    )


def digest_of_files(paths: tuple[Path, ...]) -> str:
    """Digest of the files' names and texts."""
    return digest(*(part for path in paths for part in (path.name, path.read_bytes())))


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
    return json.loads(meta)


def save_checkpoint(
    path: Path, step: int, model: ModelConfig, weights: Mapping[str, np.ndarray], training: str = ""
) -> None:
    """Write weights under TransformerLens' names; the header says step, model, training and the weights' digest."""
    meta = {"step": step, "model": model.declaration(), "training": training, "weights": digest_of_arrays(weights)}
    _save_tensors(path, weights, meta)


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in `path`, its weights checked against the digest in its header.

    Raises:
        MiscopeError: the file is truncated, was not written by MIScope, or its weights are not those it claims.
    """
    weights, meta = _load_tensors(path, "The checkpoint")
    if digest_of_arrays(weights) != meta["weights"]:
        raise MiscopeError(
            f"The checkpoint {path} is damaged: its weights differ from their digest. Delete it and run `dvc repro`."
        )
    return Checkpoint(step=meta["step"], model=ModelConfig(**meta["model"]), weights=types.MappingProxyType(weights))


def weights_digest(path: Path) -> str:
    """The digest of the weights in a checkpoint, from its header."""
    return _header(path, _stamp(path))["weights"]


def training_of(path: Path) -> str:
    """The key of the training that wrote a checkpoint; empty for a file that is damaged."""
    try:
        load_checkpoint(path)
        return _header(path, _stamp(path)).get("training", "")
    except MiscopeError:
        return ""


def metadata_of(content: bytes) -> str | None:
    """The `miscope` entry in the header of a safetensors file."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]).get("__metadata__", {}).get("miscope")


def is_checkpoint(path: Path) -> bool:
    """Whether MIScope wrote this file as a checkpoint."""
    try:
        return {"model", "step", "weights"} <= _header(path, _stamp(path)).keys()
    except MiscopeError:
        return False


def model_config(path: Path) -> ModelConfig:
    """The model's shape, from a checkpoint's header."""
    return ModelConfig(**_header(path, _stamp(path))["model"])


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


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


LATENT = "latent: "  # what the names of latents begin with in a probe's file
_CONTEXT_DATA = tuple(f.name for f in fields(Context) if f.name not in ("probe", "basis", "latents"))


def load_context(path: Path) -> Context:
    """The probe and its context as the `probe` stage wrote them."""
    tensors, meta = _load_tensors(path, "The probe")
    basis = Basis(**meta.pop("basis"))
    latents = {name.removeprefix(LATENT): tensors.pop(name) for name in sorted(tensors) if name.startswith(LATENT)}
    data: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in meta.items()}
    return Context(probe=Probe(**tensors), basis=basis, latents=types.MappingProxyType(latents), **data)


def probe_digest(path: Path) -> str:
    return _file_digest(path, _stamp(path))


@lru_cache(maxsize=1024)
def _file_digest(path: Path, stamp: tuple[int, int]) -> str:
    return digest(path.read_bytes())


# ---------------------------------------------------------------- outputs


@dataclass(frozen=True)
class Provenance:
    """What an Output was made from. Two Outputs may be compared only if they differ in `inputs` alone."""

    instrument: str
    inputs: str  # digest of the weights, or of a tracker's input Outputs
    probe: str
    code: str
    settings: str  # canonical JSON


def save_output(path: Path, output: Output, provenance: Provenance) -> None:
    """Write an Output with its provenance and the digest of its values; absent (None) fields are left out."""
    arrays = {f.name: np.asarray(v) for f in fields(output) if (v := getattr(output, f.name)) is not None}
    header = asdict(provenance) | {"values": digest_of_arrays(arrays)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{HEADER: np.asarray(canonical_json(header))}, **arrays)
    write(path, buffer.getvalue())


def load_output(path: Path, kind: type[O]) -> O:
    """The Output in `path`; fields that were absent are None."""
    hints = get_type_hints(kind)
    with _open_npz(path) as file:
        values = {name: _value(file[name], hints[name]) for name in file.files if name != HEADER}
    return kind(**{f.name: values.get(f.name) for f in fields(kind)})


def load_provenance(path: Path) -> Provenance:
    return Provenance(**{k: v for k, v in _npz_header(path, _stamp(path)).items() if k != "values"})


def values_digest(path: Path) -> str:
    """The digest of a stored Output's values, from its header."""
    return _npz_header(path, _stamp(path))["values"]


@lru_cache(maxsize=65_536)
def _npz_header(path: Path, stamp: tuple[int, int]) -> dict[str, str]:
    with _open_npz(path) as file:
        return json.loads(file[HEADER].item())


@contextmanager
def _open_npz(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            yield arrays
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise MiscopeError(f"The artifact {path} cannot be read ({error}). Delete it and run `dvc repro`.") from None


def _value(array: np.ndarray, kind: Any) -> Any:
    """The stored array as the type that the Output's field declares: a number, a text, texts, or the array."""
    kinds = [k for k in (get_args(kind) if get_origin(kind) is types.UnionType else (kind,)) if k is not type(None)]
    if kinds and kinds[0] in (int, float, str, bool):
        return array.item()
    if kinds and get_origin(kinds[0]) is tuple:
        return tuple(array.tolist())
    return array
