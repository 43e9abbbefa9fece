"""A checkpoint's network as a function of its weights: losses elsewhere, gradients, products with the Hessian.

Source: Pearlmutter 1994, Fast Exact Multiplication by the Hessian, Neural Computation 6(1); here as the gradient of the
gradient's inner product with a vector, on one graph of the gradient for all vectors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor
from torch.func import functional_call

from miscope.core import Checkpoint, Context, ModelConfig, Probe
from miscope.model.memory import keep_freed_memory
from miscope.model.rows import UniqueRows, unique_rows
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights, weights

Forward = Callable[[Transformer], Tensor]
FAR = 69.0  # nats; exp(-69) is about 1e-30, which counts as nothing: float32 gradients far below crawl (training)


def network(checkpoint: Checkpoint, context: Context) -> "DifferentiableNetwork":
    """The `Network` of a checkpoint on the probe of its context; what each method gives stands there."""
    keep_freed_memory()
    return DifferentiableNetwork(_loaded(checkpoint.model, checkpoint.weights).requires_grad_(False), context)


def _loaded(config: ModelConfig, values: Mapping[str, np.ndarray]) -> Transformer:
    return load_weights(Transformer(config, seed=None), values)


class _Inputs:
    """Probe inputs, where their logits are read, and the plan of their distinct rows where that pays."""

    def __init__(self, tokens: np.ndarray, query_positions: Sequence[int] | np.ndarray, n_ctx: int) -> None:
        self.tokens, self.query_positions = torch.from_numpy(tokens), torch.as_tensor(query_positions)
        self._n_ctx = n_ctx

    @cached_property
    def plan(self) -> UniqueRows | None:
        return unique_rows(self.tokens, self.query_positions, self._n_ctx)

    def logits(self, model: Transformer, is_twice: bool = False) -> Float[Tensor, "inputs query vocab"]:
        """`is_twice`: with a hook that only looks, which keeps the model from what has one derivative alone."""
        if is_twice:
            return model.logits_at(self.tokens, self.query_positions, lambda name, x: x)
        plan = self.plan
        return model.logits_at(self.tokens, self.query_positions) if plan is None else model.forward_unique(plan)


class _Asked(_Inputs):
    """With the answers asked of them."""

    def __init__(self, context: Context, n_ctx: int, inputs: np.ndarray, answers_of: np.ndarray) -> None:
        right = _right(context.probe, context.answer_position)[answers_of]
        positions = np.flatnonzero((right >= 0).any(axis=0))
        super().__init__(context.probe.tokens[inputs], positions, n_ctx)
        targets = right[:, positions].ravel()
        self.is_asked = None if (targets >= 0).all() else torch.from_numpy(np.flatnonzero(targets >= 0))
        self.targets = torch.from_numpy(targets[targets >= 0])


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
        return _flat(self.model).numpy()

    def vector(self, weights: Mapping[str, np.ndarray]) -> Float32[np.ndarray, " parameter"]:
        return _flat(_loaded(self.model.config, weights)).numpy()

    def named(self, vector: Float[np.ndarray, " parameter"]) -> dict[str, Float32[np.ndarray, "..."]]:
        model = Transformer(self.model.config, seed=None)
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), self._parts(_tensor(vector)).values(), strict=True):
                parameter.copy_(value)
        return weights(model)

    def _parts(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of a flat tensor, by the model's own names."""
        shapes = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        pieces = flat.split([shape.numel() for shape in shapes.values()])
        return {name: piece.view(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}

    def train_inputs(self, n_answers: int = 0, seed: int = 0) -> Int[np.ndarray, " inputs"]:
        probe = self.context.probe
        inputs = np.flatnonzero(probe.is_train) if probe.is_train.any() else np.arange(len(probe.tokens))
        each = (_right(probe, self.context.answer_position)[inputs] >= 0).sum() / len(inputs)
        n = max(1, round(n_answers / each)) if n_answers else len(inputs)
        if n >= len(inputs):
            return inputs
        return np.sort(np.random.default_rng(seed).choice(inputs, n, replace=False))

    def _asked(self, inputs: np.ndarray, answers_of: np.ndarray | None = None) -> _Asked:
        return _Asked(self.context, self.model.config.n_ctx, inputs, inputs if answers_of is None else answers_of)

    def losses(
        self, vectors: Float32[np.ndarray, "n parameter"], inputs: Int[np.ndarray, " inputs"]
    ) -> Float[np.ndarray, " n"]:
        asked = self._asked(inputs)
        with torch.inference_mode():
            return np.array([float(self._loss(_tensor(vector), asked)) for vector in vectors])

    def gradients(
        self, vectors: Float32[np.ndarray, "n parameter"], inputs: Int[np.ndarray, " inputs"],
        answers_of: Int[np.ndarray, " inputs"] | None = None,
    ) -> tuple[Float[np.ndarray, " n"], Float32[np.ndarray, "n parameter"]]:  # fmt: skip
        asked = self._asked(inputs, answers_of)
        losses, gradients = np.empty(len(vectors)), np.empty(vectors.shape, dtype=np.float32)
        for i, vector in enumerate(vectors):
            at = _tensor(vector).requires_grad_()
            loss = self._loss(at, asked)
            losses[i], gradients[i] = float(loss.detach()), torch.autograd.grad(loss, at)[0].numpy()
        return losses, gradients

    def hessian(
        self, inputs: Int[np.ndarray, " inputs"]
    ) -> Callable[[Float[np.ndarray, "n parameter"]], Float[np.ndarray, "n parameter"]]:
        at = _flat(self.model).requires_grad_()
        loss = self._loss(at, self._asked(inputs), is_twice=True)
        (gradient,) = torch.autograd.grad(loss, at, create_graph=True)

        def products(vectors: Float[np.ndarray, "n parameter"]) -> Float[np.ndarray, "n parameter"]:
            each = (torch.autograd.grad(gradient, at, _tensor(v), retain_graph=True)[0] for v in vectors)
            return np.stack([product.double().numpy() for product in each])

        return products

    def _loss(self, flat: Tensor, asked: _Asked, *, is_twice: bool = False) -> Tensor:
        """The mean cross-entropy with these weights; `is_twice`: on a graph that can be differentiated twice."""
        logits = self._with(flat, partial(asked.logits, is_twice=is_twice)).flatten(0, 1)
        return _cross_entropy(logits if asked.is_asked is None else logits[asked.is_asked], asked.targets)

    def _with(self, flat: Tensor, forward: Forward) -> Tensor:
        """What the model gives with the weights of a flat tensor."""
        parts = {f"model.{name}": part for name, part in self._parts(flat).items()}
        return functional_call(_Called(self.model), parts, (forward,))

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
        tokens, n_ctx = self.context.probe.tokens[inputs], self.model.config.n_ctx
        read = _Inputs(tokens, [self.context.answer_position], n_ctx)
        with torch.inference_mode():
            return self._with(_tensor(vector), read.logits)[:, 0].numpy()


class _Called(torch.nn.Module):
    """The model behind the one call that `functional_call` makes."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, forward: Forward) -> Tensor:
        return forward(self.model)


def _flat(model: Transformer) -> Float[Tensor, " parameter"]:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


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
