r"""What rounding the weights to 8 and to 4 bits costs, for each matrix and for all at once.

The weights are rounded to the grid of the product's own quantization; activations stay in float32. INT8 costs a network
that has learned its task almost nothing. The cost of INT4 depends on the phase: the logits of a network that has
memorised depend on many small differences, which rounding destroys. The null is noise of the same size as the rounding
error, in every matrix: where it costs as much, the size matters and not the grid.

Maths: $\hat w$ is a weight $w$ of the matrix $W$ after rounding. At 8 bits each output (column $j$) has a scale $s_j$,
$$\hat w_{ij} = s_j \operatorname{round}(w_{ij} / s_j), \qquad s_j = \max_i \lvert w_{ij} \rvert / 127, \qquad
\text{error} = \lVert \hat W - W \rVert_F \,/\, \lVert W \rVert_F.$$
At 4 bits $\hat w_{ij} = s_j \, m_{gj} \, q_{ij}$ with $q_{ij}$ from -8 to 7, $s_j = \max_i \lvert w_{ij} \rvert / 105$
and an integer $m_{gj}$ from 1 to 15 for each group $g$ of 32 inputs, of five the one of least squared error. The noise
is $N(0, \sigma^2)$ with $\sigma^2$ the mean of $(\hat w - w)^2$ over the matrix.

Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3 (weights alone, a scale per output); Wu et al. 2020,
arXiv:2004.09602, section 5 (sensitivity, one layer at a time). The noise is ours.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.core import weight_order
from miscope.instrument import GRADIENTS
from miscope.instruments._shared import guessing
from miscope.instruments._shared.nulls import MARGIN, against_untrained
from miscope.instruments._shared.sites import matrix_kinds
from miscope.maths.statistics import answers
from miscope.plugin import Artifact, Checkpoint, Context, MiscopeError, Null, Output, PerCheckpoint
from miscope.quantization.grid import nearest_grid

Weights = Mapping[str, np.ndarray]
BITS = (8, 4)
ALL = "all"
LEAST_LOSS = 1e-12  # in nats: what is below counts as that much

Split = Literal["train", "test"]


PerMatrix = Float[np.ndarray, "matrix bits"]


@dataclass(frozen=True)
class QuantizationSensitivity(Output):
    """At the answer position, on a fixed sample of the probe. A split without inputs in it is absent (None)."""

    matrix: tuple[str, ...]  # the weight that is quantized, the others left as they are; the last is `all`
    bits: Int[np.ndarray, " bits"]
    error: PerMatrix  # size of the rounding over that of the weight; of `all`, over all of them
    train_loss: PerMatrix | None  # mean cross-entropy in nats
    test_loss: PerMatrix | None
    train_accuracy: PerMatrix | None  # in [0, 1]
    test_accuracy: PerMatrix | None
    plain_train_loss: float | None  # of the network as it is
    plain_test_loss: float | None
    plain_train_accuracy: float | None
    plain_test_accuracy: float | None
    noise_train_loss: Float[np.ndarray, " bits"] | None  # with noise as large as the rounding in all matrices
    noise_test_loss: Float[np.ndarray, " bits"] | None
    noise_train_accuracy: Float[np.ndarray, " bits"] | None
    noise_test_accuracy: Float[np.ndarray, " bits"] | None
    n_inputs: int


Sensitivity = Artifact[QuantizationSensitivity]


def quantization_sensitivity(
    checkpoint: Checkpoint, context: Context, *, inputs: int = 4096, seed: int = 0
) -> QuantizationSensitivity:
    """Of every matrix that the model multiplies by; `inputs` is the size of the sample, 0 for the whole probe."""
    if inputs < 0:
        raise MiscopeError(f"`inputs` = {inputs}; allowed: at least 0.")
    probe, rng = context.probe, np.random.default_rng(seed)
    n = min(inputs or len(probe.tokens), len(probe.tokens))
    chosen = np.sort(rng.choice(len(probe.tokens), n, replace=False))
    names, weights = _matrices(checkpoint), checkpoint.weights
    rounded = [{name: _rounded(name, weights[name], bits) for name in names} for bits in BITS]
    noisy = [{name: _noisy(weights[name], of[name], rng) for name in names} for of in rounded]
    one_by_one = [[{name: of[name]} for of in rounded] for name in names]
    changes: list[list[dict[str, np.ndarray]]] = [*one_by_one, rounded, noisy, [{} for _ in BITS]]
    answered = np.array([[_answered(checkpoint, context, chosen, change) for change in row] for row in changes])
    measured: dict[str, Any] = {}
    for i, name in enumerate(("train_loss", "test_loss", "train_accuracy", "test_accuracy")):
        values = answered[:, :, i]
        parts = (None,) * 3 if np.isnan(values).all() else (values[:-2], values[-2], float(values[-1, 0]))
        measured |= dict(zip((name, f"noise_{name}", f"plain_{name}"), parts, strict=True))
    return QuantizationSensitivity(
        matrix=(*names, ALL),
        bits=np.array(BITS),
        error=np.array([[_error(weights, change) for change in row] for row in changes[:-2]]),
        n_inputs=n,
        **measured,
    )


def _matrices(checkpoint: Checkpoint) -> list[str]:
    """Weights of the model's linear maps; an unembedding that is the embedding's transpose is none."""
    left_out = {"embed.W_E", "pos_embed.W_pos"} | ({"unembed.W_U"} if checkpoint.model.has_tied_embeddings else set())
    names = (name for name in checkpoint.weights if name.rpartition(".")[2].startswith("W_") and name not in left_out)
    return sorted(names, key=weight_order)


def _rounded(name: str, weight: np.ndarray, bits: int) -> Float32[np.ndarray, "..."]:
    """The nearest weight on the grid, laid out as the model multiplies by it: [d_in, d_out], heads side by side."""
    if weight.ndim == 2:
        return nearest_grid(weight, bits).weight
    if name.endswith("W_O"):  # [head d_head d_model]
        return nearest_grid(weight.reshape(-1, weight.shape[2]), bits).weight.reshape(weight.shape)
    heads, d_model, d_head = weight.shape
    side_by_side = weight.transpose(1, 0, 2).reshape(d_model, heads * d_head)
    return nearest_grid(side_by_side, bits).weight.reshape(d_model, heads, d_head).transpose(1, 0, 2)


def _noisy(weight: np.ndarray, rounded: np.ndarray, rng: np.random.Generator) -> Float32[np.ndarray, "..."]:
    """The weight with Gaussian noise of the rounding's own size; heads that share a weight share its noise."""
    size, noise = np.sqrt(np.square(rounded - weight, dtype=np.float64).mean()), rng.standard_normal(weight.shape)
    if weight.ndim == 3:
        _, first, head = np.unique(weight, axis=0, return_index=True, return_inverse=True)
        noise = noise[first[head]]
    return (weight + size * noise).astype(np.float32)


def _error(weights: Weights, change: Weights) -> float:
    moved = sum(float(np.square(new - weights[name], dtype=np.float64).sum()) for name, new in change.items())
    size = sum(float(np.square(weights[name], dtype=np.float64).sum()) for name in change)
    return float(np.sqrt(moved / size)) if size else 0.0


def _answered(
    checkpoint: Checkpoint, context: Context, chosen: Int[np.ndarray, " chosen"], change: Weights
) -> list[float]:
    """Train and test loss, train and test accuracy with some weights exchanged; NaN of a split without inputs."""
    network, probe = checkpoint.network, context.probe
    logits = network.logits(network.vector({**checkpoint.weights, **change}), chosen)
    given = answers(logits, probe.targets[chosen], None if probe.allowed is None else probe.allowed[chosen])
    splits = (probe.is_train[chosen], ~probe.is_train[chosen])
    of_inputs = (given.loss, given.margin > 0)
    return [float(x[split].mean()) if split.any() else float("nan") for x in of_inputs for split in splits]


def measures(output: QuantizationSensitivity) -> dict[str, float]:
    """The accuracy of the network with all matrices rounded, on test inputs."""
    if output.test_accuracy is None:
        return {}
    return {f"test_accuracy_at_int{b}": float(x) for b, x in zip(output.bits, output.test_accuracy[-1], strict=True)}


def rounded_kinds(output: QuantizationSensitivity) -> tuple[str, ...]:
    """What is rounded, by kind; `all` is last."""
    return (*matrix_kinds(output.matrix[:-1]), ALL)


def costs(sensitivity: Sensitivity, split: Split, prefix: str = "") -> Float[np.ndarray, "step *matrix bits"]:
    """The loss with matrices rounded, or by the prefix `noise_` with noise as large, as a multiple of that without."""
    loss, plain = (np.maximum(sensitivity.stack(f"{kind}{split}_loss"), LEAST_LOSS) for kind in (prefix, "plain_"))
    return loss / plain.reshape(-1, *[1] * (loss.ndim - 1))


def nulls(sensitivity: Sensitivity, context: Context) -> Iterator[Null]:
    """Guessing, noise as large as the rounding, and the untrained network."""
    last = sensitivity.last
    split: Split = "train" if last.test_loss is None else "test"
    is_split = context.probe.is_train == (split == "train")
    n_inputs = max(1, round(last.n_inputs * is_split.mean()))  # of the split in the sample, about
    threshold = guessing.guessed_share(n_inputs, guessing.chance(context.probe, is_split))
    accuracy, statistic = float(getattr(last, f"{split}_accuracy")[-1, -1]), f"{split} accuracy at INT4"
    yield Null(statistic, accuracy, threshold, guessing.SOURCE, unit="share").of("overview")
    yield _of_error(sensitivity).of("errors")
    cost = float(costs(sensitivity, split)[-1, -1, -1])
    yield _against_noise(f"{split} loss at INT4, divided by the loss without", cost, sensitivity, split, -1).of(
        "losses"
    )
    for shown in get_args(Split):
        for at, bits in enumerate(last.bits.tolist() if getattr(last, f"{shown}_loss") is not None else ()):
            alone = costs(sensitivity, shown)[-1, :-1, at]
            statistic = f"loss with {rounded_kinds(last)[alone.argmax()]} alone rounded, divided by the loss without"
            null = _against_noise(statistic, float(alone.max()), sensitivity, shown, at)
            yield null.of("matrices", bits=str(bits), split=shown)


def _of_error(sensitivity: Sensitivity) -> Null:
    """Of the matrix whose fit to its grid of four bits changed most, to the better or to the worse."""
    first, last = sensitivity[sensitivity.steps[0]], sensitivity.last
    start, end = (np.log(np.maximum(output.error[:, -1], 1e-12)) for output in (first, last))
    most = int(np.abs(end - start).argmax())
    statistic, is_lower = f"rounding of {rounded_kinds(last)[most]} at INT4", bool(end[most] < start[most])
    return against_untrained(statistic, sensitivity, lambda o: o.error[most, -1], is_lower=is_lower, unit="share")


def _against_noise(statistic: str, cost: float, sensitivity: Sensitivity, split: Split, at: int) -> Null:
    """The loss of bits number `at` over that with noise as large, at its worst step: one draw may be lucky."""
    threshold = MARGIN * float(costs(sensitivity, split, "noise_")[:, at].max())
    source = f"noise as large (worst step, with a margin of {MARGIN:g})"
    return Null(statistic, cost, threshold, source, "matched", level=None)


instrument = PerCheckpoint(quantization_sensitivity, needs=(GRADIENTS,), checkpoints=12, measures=measures, nulls=nulls)
