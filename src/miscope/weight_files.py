"""Files of weights in TransformerLens' names, or in the older layouts of published models, as a model of our own.

Older layouts have names without the module (`W_E`), attention-only blocks called `attn_blocks`, matrices transposed,
W_O with all heads in one, and biases of the MLP alone. Which way a matrix lies is told by its sizes; where they leave
it open in an older layout, that is an error. A name that is missing or that nothing is known of is one too.

Source: the layouts are those of the weights published with Nanda et al. 2023, arXiv:2301.05217, and Zhong et al. 2023,
arXiv:2306.17844, and of TransformerLens' state dicts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from miscope.core import MiscopeError, ModelConfig

SHORT = {"W_E": "embed", "W_pos": "pos_embed", "W_U": "unembed", "b_U": "unembed"}  # of names without a module
IN_MLP = ("W_in", "b_in", "W_out", "b_out")
BUFFERS = ("mask", "IGNORE")  # of TransformerLens' attention; they hold no weights
MATRICES = ("embed.W_E", "pos_embed.W_pos", "unembed.W_U")
ATTENTION = ("W_Q", "W_K", "W_V", "W_O")


@dataclass(frozen=True)
class Found:
    """What a file holds, in our names and shapes, float32."""

    weights: Mapping[str, np.ndarray]
    model: ModelConfig
    notes: tuple[str, ...]  # sentences: what was turned, filled with zeros or left out


def read(path: Path, task: ModelConfig, attention_rate: float = 1.0) -> Found:
    """The weights in a file, as a model for the task that `task` is the shape of.

    Of `task` its positions, tokens, outputs, activation function and causal mask hold; the other sizes are the file's.

    Raises:
        MiscopeError: the file cannot be read, a name is missing or unexpected, or a shape does not fit the task.
    """
    raw = _named(_tensors(path), path)
    n_layers = 1 + max((int(name.split(".")[1]) for name in raw if name.startswith("blocks.")), default=-1)
    if lacks := [name for name in (*MATRICES, *_needed(n_layers, raw)) if name not in raw]:
        raise MiscopeError(f"{path} lacks {', '.join(lacks)}.")
    return _Reading(path, raw, n_layers, task).found(attention_rate)


def _tensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()  # safetensors' handle does not iterate
            return {name: file.get_tensor(name).astype(np.float32) for name in names}
    except (SafetensorError, OSError) as error:
        raise MiscopeError(f"{path} cannot be read as safetensors ({error}).") from None


def _named(tensors: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Under TransformerLens' names."""
    named, unknown = {}, []
    for name, value in tensors.items():
        full = _full_name(name)
        if full is None:
            unknown.append(name)
        elif full.rpartition(".")[2] not in BUFFERS:
            named[full] = value
    if unknown:
        raise MiscopeError(f"{path} has names that no layout known here has: {', '.join(sorted(unknown))}.")
    return named


def _full_name(name: str) -> str | None:
    if name in SHORT:
        return f"{SHORT[name]}.{name}"
    if name in IN_MLP:
        return f"blocks.0.mlp.{name}"
    if re.fullmatch(r"[Wb]_[QKVO]", name):
        return f"blocks.0.attn.{name}"
    full = re.sub(r"^attn_blocks\.", "blocks.", name)
    known = (
        r"embed\.W_E|pos_embed\.W_pos|unembed\.[Wb]_U|ln_final\.[wb]|blocks\.\d+\.(ln[12]\.[wb]"
        r"|attn\.([Wb]_[QKVO]|mask|IGNORE)|mlp\.([Wb]_in|[Wb]_out))"
    )
    return full if re.fullmatch(known, full) else None


def _needed(n_layers: int, raw: Mapping[str, np.ndarray]) -> list[str]:
    """Names that each block must have: all of those that any block has, and the four matrices of attention."""
    leaves = {name.split(".", 2)[2] for name in raw if name.startswith("blocks.")}
    leaves |= {f"attn.{name}" for name in ATTENTION}
    if any(leaf.startswith("mlp.") for leaf in leaves):
        leaves |= {"mlp.W_in", "mlp.W_out"}
    return [f"blocks.{i}.{leaf}" for i in range(n_layers) for leaf in sorted(leaves)]


class _Reading:
    """One file on its way into our names."""

    def __init__(self, path: Path, raw: dict[str, np.ndarray], n_layers: int, task: ModelConfig) -> None:
        self.path, self.raw, self.n_layers, self.task = path, raw, n_layers, task
        self.is_lens = raw["blocks.0.attn.W_O"].ndim == 3  # heads apart: TransformerLens' own shapes
        self.notes: list[str] = []

    def found(self, attention_rate: float) -> Found:
        d_model = self._d_model()
        outputs = self._turned("unembed.W_U", (d_model, None))
        weights = {
            "embed.W_E": self._turned("embed.W_E", (self.task.d_vocab, d_model)),
            "pos_embed.W_pos": self._turned("pos_embed.W_pos", (self.task.n_ctx, d_model)),
            "unembed.W_U": self._kept(outputs),
        }
        n_heads, d_head = self._heads(d_model)
        d_mlp = self._d_mlp(d_model)
        for i in range(self.n_layers):
            for name in ATTENTION:
                weights[f"blocks.{i}.attn.{name}"] = self._attention(i, name, (n_heads, d_model, d_head))
            if d_mlp:
                weights[f"blocks.{i}.mlp.W_in"] = self._turned(f"blocks.{i}.mlp.W_in", (d_model, d_mlp))
                weights[f"blocks.{i}.mlp.W_out"] = self._turned(f"blocks.{i}.mlp.W_out", (d_mlp, d_model))
        model = self._model(d_model, n_heads, d_head, d_mlp)
        weights |= self._vectors(model)
        return Found(self._rated(weights, model, attention_rate), model, tuple(dict.fromkeys(self.notes)))

    def _model(self, d_model: int, n_heads: int, d_head: int, d_mlp: int) -> ModelConfig:
        has_norms, has_centring = (any(name.endswith(f"ln1.{leaf}") for name in self.raw) for leaf in "wb")
        return replace(
            self.task,
            n_layers=self.n_layers, d_model=d_model, n_heads=n_heads, d_head=d_head, d_mlp=d_mlp,
            normalization=("LN" if has_centring else "RMS") if has_norms else "none",
            has_biases=any(name.rpartition(".")[2].startswith("b_") for name in self.raw),
        )  # fmt: skip

    # ------------------------------------------------------------ sizes

    def _d_model(self) -> int:
        """The size that the embedding, the positions and the unembedding share."""
        shared = set.intersection(*(set(self.raw[name].shape) for name in MATRICES))
        of_tokens = [n for n in shared if {n, self.task.d_vocab} == set(self.raw["embed.W_E"].shape)]
        if len(of_tokens) == 1:
            return of_tokens[0]
        shapes = ", ".join(f"{name} {self.raw[name].shape}" for name in MATRICES)
        raise MiscopeError(
            f"{self.path} does not fit the task, which has {self.task.d_vocab} tokens and {self.task.n_ctx} positions: "
            f"it has {shapes}."
        )

    def _heads(self, d_model: int) -> tuple[int, int]:
        shape = self.raw["blocks.0.attn.W_Q"].shape
        sizes = [n for n in shape[1:] if n != d_model]
        if len(shape) != 3 or d_model not in shape[1:] or (not sizes and shape[1] != shape[2]):
            raise MiscopeError(
                f"{self.path}: W_Q has shape {shape}, which is not of heads that read {d_model} numbers."
            )
        return shape[0], sizes[0] if sizes else d_model

    def _d_mlp(self, d_model: int) -> int:
        w_in = self.raw.get("blocks.0.mlp.W_in")
        if w_in is None:
            return 0
        return next((n for n in w_in.shape if n != d_model), d_model)

    # ------------------------------------------------------------ ways that a matrix may lie

    def _turned(self, name: str, shape: tuple[int, int | None]) -> np.ndarray:
        """The matrix as [row, column] of this shape; None stands for any size."""
        value = self.raw[name]
        fits = [way for way in ((0, 1), (1, 0)) if value.ndim == 2 and _is(value.transpose(way).shape, shape)]
        if not fits:
            raise MiscopeError(f"{self.path}: {name} has shape {value.shape}; the task asks for {_said(shape)}.")
        if len(fits) == 2 and not self.is_lens:
            raise MiscopeError(f"{self.path}: {name} is square, so its shape does not tell which way it lies.")
        if fits[0] == (1, 0):
            self.notes.append(f"{_every(name)} was transposed.")
        return np.ascontiguousarray(value.transpose(fits[0]))

    def _attention(self, layer: int, name: str, sizes: tuple[int, int, int]) -> np.ndarray:
        """[head d_model d_head], and W_O [head d_head d_model]."""
        n_heads, d_model, d_head = sizes
        shape = (n_heads, d_head, d_model) if name == "W_O" else sizes
        value = self.raw[f"blocks.{layer}.attn.{name}"]
        if name == "W_O" and value.shape == (d_model, n_heads * d_head):
            self.notes.append("W_O of every layer was cut into heads.")
            return np.ascontiguousarray(value.T.reshape(n_heads, d_head, d_model))
        ways = {value.transpose(0, *way).shape: (0, *way) for way in ((2, 1), (1, 2)) if value.ndim == 3}
        if shape not in ways:
            raise MiscopeError(f"{self.path}: {name} of layer {layer} has shape {value.shape}, not {shape}.")
        if d_head == d_model and not self.is_lens:
            raise MiscopeError(f"{self.path}: {name} is square, so its shape does not tell which way it lies.")
        if ways[shape] != (0, 1, 2):
            self.notes.append(f"{name} of every layer was transposed.")
        return np.ascontiguousarray(value.transpose(ways[shape]))

    def _kept(self, outputs: np.ndarray) -> np.ndarray:
        n, kept = outputs.shape[1], self.task.d_vocab_out
        if n < kept:
            raise MiscopeError(f"{self.path} has {n} outputs; the task has {kept}.")
        if n > kept:
            self.notes.append(f"Of {n} outputs the task has the first {kept}; the others were left out.")
        return np.ascontiguousarray(outputs[:, :kept])

    def _vectors(self, model: ModelConfig) -> dict[str, np.ndarray]:
        """Biases and the norms' scales; a bias that the layout does not have is zero."""
        shapes = _vector_shapes(model)
        if odd := [n for n in self.raw if _is_vector(n) and n not in shapes]:
            raise MiscopeError(f"{self.path} has {', '.join(odd)}, which a model of its other weights does not have.")
        found = {}
        for name, shape in shapes.items():
            value = self.raw.get(name)
            if value is None and not name.rpartition(".")[2].startswith("b_"):
                raise MiscopeError(f"{self.path} lacks {name}.")
            if value is None:
                self.notes.append("Biases that the file does not have are zero.")
                value = np.zeros(shape, dtype=np.float32)
            if name == "unembed.b_U":
                value = value[: shape[0]]
            if value.shape != shape:
                raise MiscopeError(f"{self.path}: {name} has shape {value.shape}, not {shape}.")
            found[name] = value
        return found

    def _rated(self, weights: dict[str, np.ndarray], model: ModelConfig, rate: float) -> dict[str, np.ndarray]:
        """At an attention rate of 0 a head takes the sum over positions: even attention times their number.

        Source: Zhong et al. 2023, arXiv:2306.17844, section 5.1 (attention rate).
        """
        if rate:
            return weights
        if model.is_causal:
            raise MiscopeError(f"{self.path}: an attention rate of 0 needs a model without a causal mask.")
        self.notes.append(f"At an attention rate of 0, W_Q and W_K are zero and W_O is {model.n_ctx} times itself.")
        scaled = {"W_Q": 0.0, "W_K": 0.0, "W_O": float(model.n_ctx)}
        return {n: w * np.float32(scaled.get(n.rpartition(".")[2], 1.0)) for n, w in weights.items()}


def _vector_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    d, heads = model.d_model, (model.n_heads, model.d_head)
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(model.n_layers):
        if model.has_biases:
            shapes |= {f"blocks.{i}.attn.b_{x}": heads for x in "QKV"} | {f"blocks.{i}.attn.b_O": (d,)}
        if model.has_biases and model.d_mlp:
            shapes |= {f"blocks.{i}.mlp.b_in": (model.d_mlp,), f"blocks.{i}.mlp.b_out": (d,)}
        for norm in ("ln1", "ln2") if model.d_mlp else ("ln1",):
            shapes |= _norm_shapes(f"blocks.{i}.{norm}", model)
    shapes |= {"unembed.b_U": (model.d_vocab_out,)} if model.has_biases else {}
    return shapes | _norm_shapes("ln_final", model)


def _norm_shapes(name: str, model: ModelConfig) -> dict[str, tuple[int, ...]]:
    leaves = {"none": "", "RMS": "w", "LN": "wb"}[model.normalization]
    return {f"{name}.{leaf}": (model.d_model,) for leaf in leaves}


def _is_vector(name: str) -> bool:
    return not name.rpartition(".")[2].startswith("W_")


def _is(shape: tuple[int, ...], wanted: tuple[int, int | None]) -> bool:
    return all(want in (None, size) for size, want in zip(shape, wanted, strict=True))


def _said(shape: tuple[int, int | None]) -> str:
    return f"({', '.join('any' if n is None else str(n) for n in shape)})"


def _every(name: str) -> str:
    return f"{name.rpartition('.')[2]} of every layer" if name.startswith("blocks.") else name
