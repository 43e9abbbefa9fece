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
from safetensors import SafetensorError
from safetensors.numpy import load_file

from miscope.core import MiscopeError, ModelConfig

SHORT = {"W_E": "embed", "W_pos": "pos_embed", "W_U": "unembed", "b_U": "unembed"}  # of names without a module
KNOWN = re.compile(
    r"embed\.W_E|pos_embed\.W_pos|unembed\.[Wb]_U|ln_final\.[wb]|blocks\.\d+\.(ln[12]\.[wb]"
    r"|attn\.([Wb]_[QKVO]|mask|IGNORE)|mlp\.([Wb]_in|[Wb]_out))"
)
BUFFERS = ("mask", "IGNORE")  # of TransformerLens' attention; they hold no weights
ENDS = ("embed.W_E", "pos_embed.W_pos", "unembed.W_U")
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Weights:
    """What a file holds, in our names and shapes, float32."""

    weights: Arrays
    model: ModelConfig
    notes: tuple[str, ...]  # sentences: what was turned, filled with zeros or left out


def read(path: Path, task: ModelConfig, attention_rate: float = 1.0) -> Weights:
    """The weights in a file, as a model for the task that `task` is the shape of.

    Of `task` its positions, tokens, outputs, activation function and causal mask hold; the other sizes are the file's.

    Raises:
        MiscopeError: the file cannot be read, a name is missing or unexpected, or a shape does not fit the task.
    """
    try:
        raw = _named(load_file(path))
        model = _model(raw, task)
        weights, notes = _fitted(raw, model)
        kept = _task_outputs(weights, task.d_vocab_out, notes)
        if not attention_rate:
            kept = _summing(kept, model, notes)
    except (SafetensorError, OSError) as error:
        raise MiscopeError(f"{path} cannot be read as safetensors ({error}).") from None
    except MiscopeError as error:
        raise MiscopeError(f"{path} {error}") from None
    return Weights(kept, replace(model, d_vocab_out=task.d_vocab_out), tuple(dict.fromkeys(notes)))


def _named(tensors: Arrays) -> dict[str, np.ndarray]:
    """Under TransformerLens' names, float32."""
    names = {name: _full_name(name) for name in tensors}
    if unknown := sorted(name for name, full in names.items() if not KNOWN.fullmatch(full)):
        raise MiscopeError(f"has names that no layout known here has: {', '.join(unknown)}.")
    weights = {names[name]: value.astype(np.float32) for name, value in tensors.items()}
    return {name: value for name, value in weights.items() if _leaf(name) not in BUFFERS}


def _full_name(name: str) -> str:
    if name in SHORT:
        return f"{SHORT[name]}.{name}"
    if re.fullmatch(r"[Wb]_([QKVO]|in|out)", name):
        return f"blocks.0.{'mlp' if name.endswith(('in', 'out')) else 'attn'}.{name}"
    return re.sub(r"^attn_blocks\.", "blocks.", name)


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _model(raw: Arrays, task: ModelConfig) -> ModelConfig:
    """The shape of the model that the file holds, with all outputs that it has."""
    in_blocks = [name.split(".", 2)[1:] for name in raw if name.startswith("blocks.")]
    n_layers, leaves = 1 + max((int(layer) for layer, _ in in_blocks), default=0), {leaf for _, leaf in in_blocks}
    needed = leaves | {f"attn.W_{x}" for x in "QKVO"}  # what any block has, all must have
    needed |= {"mlp.W_in", "mlp.W_out"} if any(leaf.startswith("mlp.") for leaf in leaves) else set()
    names = (*ENDS, *(f"blocks.{i}.{leaf}" for i in range(n_layers) for leaf in sorted(needed)))
    if lacks := [name for name in names if name not in raw]:
        raise MiscopeError(f"lacks {', '.join(lacks)}.")
    d_model = _d_model(raw, task)
    n_heads, *sizes = raw["blocks.0.attn.W_Q"].shape
    if len(sizes) != 2 or d_model not in sizes:
        shape = raw["blocks.0.attn.W_Q"].shape
        raise MiscopeError(f"has W_Q of shape {shape}, which is not of heads that read {d_model} numbers.")
    w_in = raw.get("blocks.0.mlp.W_in")
    return replace(
        task, n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_head=_other(sizes, d_model),
        d_mlp=0 if w_in is None else _other(w_in.shape, d_model),
        d_vocab_out=_other(raw["unembed.W_U"].shape, d_model),
        normalization="LN" if "ln1.b" in leaves else "RMS" if "ln1.w" in leaves else "none",
        has_biases=any(_leaf(name).startswith("b_") for name in raw),
    )  # fmt: skip


def _d_model(raw: Arrays, task: ModelConfig) -> int:
    """The size that the embedding, the positions and the unembedding share."""
    shared = set.intersection(*(set(raw[name].shape) for name in ENDS))
    of_tokens = [n for n in shared if {n, task.d_vocab} == set(raw["embed.W_E"].shape)]
    if len(of_tokens) == 1:
        return of_tokens[0]
    shapes = ", ".join(f"{name} {raw[name].shape}" for name in ENDS)
    sizes = f"{task.d_vocab} tokens and {task.n_ctx} positions"
    raise MiscopeError(f"does not fit the task, which has {sizes}: it has {shapes}.")


def _other(sizes: tuple[int, ...] | list[int], known: int) -> int:
    """The size that is not the known one; where all are, that."""
    return next((n for n in sizes if n != known), known)


def _fitted(raw: Arrays, model: ModelConfig) -> tuple[dict[str, np.ndarray], list[str]]:
    """Every weight of the model in its own shape, a bias that the layout does not have as zeros; and notes."""
    from miscope.model.transformer import Transformer
    from miscope.model.weights import weights

    shapes = {name: weight.shape for name, weight in weights(Transformer(model, seed=None)).items()}
    absent, notes = sorted(shapes.keys() - raw.keys()), list[str]()
    if odd := sorted(raw.keys() - shapes.keys()):
        raise MiscopeError(f"has {', '.join(odd)}, which a model of its other weights does not have.")
    if lacks := [name for name in absent if not _leaf(name).startswith("b_")]:
        raise MiscopeError(f"lacks {', '.join(lacks)}.")
    is_lens = raw["blocks.0.attn.W_O"].ndim == 3  # heads apart: TransformerLens' own shapes
    fitted = {name: _turned(name, x, shapes[name], is_lens, notes) for name, x in raw.items()}
    notes += ["Biases that the file does not have are zero."] if absent else []
    return fitted | {name: np.zeros(shapes[name], np.float32) for name in absent}, notes


def _turned(name: str, x: np.ndarray, shape: tuple[int, ...], is_lens: bool, notes: list[str]) -> np.ndarray:
    """The weight in this shape."""
    if name.endswith(".W_O") and x.shape == (shape[2], shape[0] * shape[1]):
        notes.append("W_O of every layer was cut into heads.")
        return np.ascontiguousarray(x.T.reshape(shape))
    is_matrix = x.ndim > 1 and _leaf(name).startswith("W_")
    ways = [way for way in ((x, x.swapaxes(-1, -2)) if is_matrix else (x,)) if way.shape == shape]
    if not ways:
        raise MiscopeError(f"has {name} of shape {x.shape}, not {shape}.")
    if len(ways) == 2 and not is_lens:
        raise MiscopeError(f"has a square {name}, so that its shape does not tell which way it lies.")
    if ways[0] is not x:
        notes.append(f"{_leaf(name)} of every layer was transposed." if "blocks" in name else f"{name} was transposed.")
    return np.ascontiguousarray(ways[0])


def _task_outputs(weights: Arrays, n_task: int, notes: list[str]) -> dict[str, np.ndarray]:
    """Without the outputs that the task does not have."""
    n = weights["unembed.W_U"].shape[1]
    if n < n_task:
        raise MiscopeError(f"has {n} outputs; the task has {n_task}.")
    if n > n_task:
        notes.append(f"Of {n} outputs the task has the first {n_task}; the others were left out.")
    outputs = {name: weights[name][..., :n_task] for name in weights if name.startswith("unembed.")}
    return {**weights, **{name: np.ascontiguousarray(x) for name, x in outputs.items()}}


def _summing(weights: Arrays, model: ModelConfig, notes: list[str]) -> dict[str, np.ndarray]:
    """At an attention rate of 0 a head takes the sum over positions: even attention times their number.

    Source: Zhong et al. 2023, arXiv:2306.17844, section 5.1 (attention rate).
    """
    if model.is_causal:
        raise MiscopeError("needs a task without a causal mask for an attention rate of 0.")
    notes.append(f"At an attention rate of 0, W_Q and W_K are zero and W_O is {model.n_ctx} times itself.")
    factor = {"W_Q": 0.0, "W_K": 0.0, "W_O": float(model.n_ctx)}
    return {name: w * np.float32(factor.get(_leaf(name), 1.0)) for name, w in weights.items()}
