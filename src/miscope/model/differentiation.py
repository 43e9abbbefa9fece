"""A checkpoint's network as a function of its weights: losses elsewhere, gradients, products with the Hessian.

Source: Pearlmutter 1994, Fast Exact Multiplication by the Hessian, Neural Computation 6(1); here as the gradient of the
gradient's inner product with a vector, on one graph of the gradient for all vectors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor
from torch.func import functional_call

from miscope.core import Checkpoint, Context, Probe
from miscope.model.hooks import Hook, untouched
from miscope.model.memory import keep_freed_memory
from miscope.model.rows import UniqueRows, unique_rows
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights, weights

FAR = 69.0  # nats; exp(-69) is about 1e-30, which counts as nothing: float32 gradients far below crawl (training.loss)


def network(checkpoint: Checkpoint, context: Context) -> "DifferentiableNetwork":
    """The `Network` of a checkpoint on the probe of its context; what each method gives stands there."""
    keep_freed_memory()
    model = load_weights(Transformer(checkpoint.model), checkpoint.weights)
    return DifferentiableNetwork(model.requires_grad_(False), context)


class _Asked:
    """Some probe inputs with the answers asked of them, and the plan of their distinct rows where that pays."""

    def __init__(
        self, context: Context, n_ctx: int, inputs: Int[np.ndarray, " inputs"], answers_of: Int[np.ndarray, " inputs"]
    ) -> None:
        right = _right(context.probe, context.answer_position)[answers_of]
        read = np.flatnonzero((right >= 0).any(axis=0))
        self.tokens = torch.from_numpy(context.probe.tokens[inputs])
        self.read = torch.from_numpy(read)
        targets = right[:, read].ravel()
        self.asked = None if (targets >= 0).all() else torch.from_numpy(np.flatnonzero(targets >= 0))
        self.targets = torch.from_numpy(targets[targets >= 0])
        self._n_ctx = n_ctx

    @cached_property
    def rows(self) -> UniqueRows | None:
        return unique_rows(self.tokens, self.read, self._n_ctx)


def _right(probe: Probe, answer_position: int) -> Int[np.ndarray, "batch pos"]:
    """The right answer at every position; -1: none is asked there."""
    if probe.following is not None:
        return probe.following
    right = np.full(probe.tokens.shape, -1, dtype=np.int64)
    right[:, answer_position] = probe.targets
    return right


@dataclass(frozen=True)
class DifferentiableNetwork:
    """Our own transformer behind the `Network` protocol."""

    model: Transformer
    context: Context

    @cached_property
    def weights(self) -> Float32[np.ndarray, " parameter"]:
        return self._flat().numpy()

    def _flat(self) -> Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in self.model.parameters()])

    def vector(self, weights: Mapping[str, np.ndarray]) -> Float32[np.ndarray, " parameter"]:
        model = load_weights(Transformer(self.model.config), weights)
        return DifferentiableNetwork(model, self.context)._flat().numpy()

    def named(self, vector: Float[np.ndarray, " parameter"]) -> dict[str, Float32[np.ndarray, "..."]]:
        model = Transformer(self.model.config)
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), self._parts(_tensor(vector)).values(), strict=True):
                parameter.copy_(value)
        return weights(model)

    def _parts(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of a flat tensor, by the model's own names."""
        shapes = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        pieces = flat.split([shape.numel() for shape in shapes.values()])
        return {name: piece.view(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}

    # ---------------------------------------------------------------- inputs

    def train_inputs(self, n_answers: int = 0, seed: int = 0) -> Int[np.ndarray, " inputs"]:
        probe = self.context.probe
        found = np.flatnonzero(probe.is_train) if probe.is_train.any() else np.arange(len(probe.tokens))
        each = (_right(probe, self.context.answer_position)[found] >= 0).sum() / len(found)
        n = max(1, round(n_answers / each)) if n_answers else len(found)
        if n >= len(found):
            return found
        return np.sort(np.random.default_rng(seed).choice(found, n, replace=False))

    def _asked(self, inputs: np.ndarray, answers_of: np.ndarray | None = None) -> _Asked:
        return _Asked(self.context, self.model.config.n_ctx, inputs, inputs if answers_of is None else answers_of)

    # ---------------------------------------------------------------- losses

    def losses(
        self, vectors: Float32[np.ndarray, "n parameter"], inputs: Int[np.ndarray, " inputs"]
    ) -> Float[np.ndarray, " n"]:
        asked = self._asked(inputs)
        with torch.inference_mode():
            return np.array([float(self._loss(_tensor(vector), asked)) for vector in vectors])

    def gradients(
        self,
        vectors: Float32[np.ndarray, "n parameter"],
        inputs: Int[np.ndarray, " inputs"],
        answers_of: Int[np.ndarray, " inputs"] | None = None,
    ) -> tuple[Float[np.ndarray, " n"], Float32[np.ndarray, "n parameter"]]:
        asked = self._asked(inputs, answers_of)
        losses, found = np.empty(len(vectors)), np.empty(vectors.shape, dtype=np.float32)
        for i, vector in enumerate(vectors):
            at = _tensor(vector).requires_grad_()
            loss = self._loss(at, asked)
            losses[i], found[i] = float(loss.detach()), torch.autograd.grad(loss, at)[0].numpy()
        return losses, found

    def hessian(
        self, inputs: Int[np.ndarray, " inputs"]
    ) -> Callable[[Float[np.ndarray, "n parameter"]], Float[np.ndarray, "n parameter"]]:
        at = self._flat().requires_grad_()
        loss = self._loss(at, self._asked(inputs), is_twice=True)
        (gradient,) = torch.autograd.grad(loss, at, create_graph=True)

        def products(vectors: Float[np.ndarray, "n parameter"]) -> Float[np.ndarray, "n parameter"]:
            each = (torch.autograd.grad(gradient, at, _tensor(v), retain_graph=True)[0] for v in vectors)
            return np.stack([product.double().numpy() for product in each])

        return products

    def _loss(self, flat: Tensor, asked: _Asked, *, is_twice: bool = False) -> Tensor:
        """The mean cross-entropy with these weights; `is_twice`: on a graph that can be differentiated twice."""
        if asked.rows is None or is_twice:
            call = {"tokens": asked.tokens, "read": asked.read, "hook": _looking if is_twice else untouched}
        else:
            call = {"rows": asked.rows}
        out: Tensor = functional_call(_Forward(self.model), _prefixed(self._parts(flat)), kwargs=call)
        logits = out.flatten(0, 1)
        return _cross_entropy(logits if asked.asked is None else logits[asked.asked], asked.targets)

    # ---------------------------------------------------------------- activations

    def embedding_gradients(
        self, inputs: Int[np.ndarray, " inputs"], answers: Int[np.ndarray, " inputs"]
    ) -> Float32[np.ndarray, "inputs pos d_model"]:
        leaf: list[Tensor] = []

        def hook(name: str, x: Tensor) -> Tensor:
            if name == "hook_embed":
                leaf.append(x := x.detach().requires_grad_())
            return x

        tokens = torch.from_numpy(self.context.probe.tokens[inputs])
        logits = self.model.logits_at(tokens, torch.tensor([self.context.answer_position]), hook)[:, 0]
        chosen = logits.gather(1, torch.from_numpy(np.asarray(answers))[:, None])
        return torch.autograd.grad(chosen.sum(), leaf[0])[0].numpy()

    def logits(
        self, vector: Float32[np.ndarray, " parameter"], inputs: Int[np.ndarray, " inputs"]
    ) -> Float32[np.ndarray, "inputs vocab"]:
        asked, answer = self._asked(inputs), torch.tensor([self.context.answer_position])
        call = {"tokens": asked.tokens, "read": answer, "hook": untouched}
        rows = unique_rows(asked.tokens, answer, self.model.config.n_ctx)
        with torch.inference_mode():
            given = _prefixed(self._parts(_tensor(vector)))
            found: Tensor = functional_call(
                _Forward(self.model), given, kwargs=call if rows is None else {"rows": rows}
            )
        return found[:, 0].numpy()


class _Forward(torch.nn.Module):
    """The model's two ways forward behind the one call that `functional_call` makes."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        *,
        tokens: Tensor | None = None,
        read: Tensor | None = None,
        hook: Hook = untouched,
        rows: UniqueRows | None = None,
    ) -> Tensor:
        if rows is not None:
            return self.model.forward_unique(rows)
        assert tokens is not None and read is not None
        return self.model.logits_at(tokens, read, hook)


def _prefixed(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"model.{name}": part for name, part in parts.items()}


def _looking(name: str, x: Tensor) -> Tensor:
    """A hook that changes nothing, whose presence keeps the model from what can be differentiated only once."""
    return x


def _tensor(vector: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(vector, dtype=np.float32))


def _cross_entropy(logits: Float[Tensor, "answer vocab"], targets: Int[Tensor, " answer"]) -> Float[Tensor, ""]:
    """Mean of log(1 + sum of exp(wrong - right)) in float64, which keeps the digits of a loss of 1e-20 nats."""
    z = logits.double()
    right = z.gather(1, targets[:, None])
    wrong = (z - right).scatter(1, targets[:, None], -torch.inf)
    wrong = wrong.masked_fill(wrong < (wrong.detach().amax(dim=1, keepdim=True) - 1).clamp(max=-FAR), -torch.inf)
    total = wrong.logsumexp(dim=1)
    return F.softplus(total, threshold=1e4).mean()
