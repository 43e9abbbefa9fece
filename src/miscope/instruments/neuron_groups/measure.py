r"""How neurons with the same final frequency lie in weight space: spread, dimensions, and the shape of the third one.

A group is the columns of W_in of the neurons whose theta (`neuron_fourier`: what they read of the tokens) has most of
its energy at one frequency k at the final checkpoint. Its members are the same at all earlier checkpoints, so early
values use knowledge of the end. In a trained group two large components have equal shares, the cosine and the sine of
k. The third, fitted by a quadratic function of the first two, says whether the group lies in a plane (flat) or is
curved like a bowl or a saddle; trained groups at p = 113 are saddles, and become so late. At initialisation a group is
flat and has equal shares.

Maths: $w_j$ is the column of $W_{in}$ of neuron $j$ of a group of $n$, $\bar w$ their mean, $s_i$ the singular values
of the columns less $\bar w$; $x, y, z$ are the scores on PC1, PC2, PC3, each over its standard deviation.
$$\text{spread} = \Bigl(\tfrac{1}{n} \sum_j \lVert w_j - \bar w \rVert^2\Bigr)^{1/2}, \qquad
\text{share}_i = \frac{s_i^2}{\sum_j s_j^2},$$
$$\hat z = b_0 + b_1 x + b_2 y + b_3 x^2 + b_4 x y + b_5 y^2, \qquad
\text{r2\_quadratic} = 1 - \tfrac{1}{n} \sum_j (z_j - \hat z_j)^2,$$
by least squares; `r2_linear` has $b_3 = b_4 = b_5 = 0$, `r2_gain` is the difference. `curvature` is the eigenvalues of
$$\begin{pmatrix} 2 b_3 & b_4 \\ b_4 & 2 b_5 \end{pmatrix}, \qquad
\text{chance\_gain} = \text{99th percentile of } \operatorname{Beta}\bigl(\tfrac{3}{2}, \tfrac{n - 6}{2}\bigr).$$
Where the gain is below `chance_gain` or `least_gain` the shape is flat; a bowl has curvatures of one sign.

Source: ours; quadratic regression on principal components as in Hastie, Tibshirani and Friedman 2009, The Elements of
Statistical Learning, sections 3.2 and 14.5 (under chance the gain has a beta distribution).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from miscope.instruments._shared.frequencies import check_basis, neuron_reads
from miscope.instruments._shared.nulls import NO_START, with_margin
from miscope.maths.null_distributions import gain
from miscope.maths.spectra import energy_by_frequency
from miscope.plugin import Basis, Checkpoint, Context, MiscopeError, NotApplicable, Null, Output, OverTraining

Members = Int[np.ndarray, "layer neuron"]
SHAPES = ("flat", "bowl", "saddle")


@dataclass(frozen=True)
class NeuronGroups(Output):
    """Groups in order of layers, in each first all neurons (k = 0), then frequencies in ascending order."""

    steps: Int[np.ndarray, " n"]
    layer: Int[np.ndarray, " group"]
    frequency: Int[np.ndarray, " group"]  # k; 0: all neurons of the layer
    size: Int[np.ndarray, " group"]  # neurons
    spread: Float[np.ndarray, "group n"]  # root mean square distance of the columns from their mean, in weights
    share: Float[np.ndarray, "group n component"]  # of the group's variance, descending; they sum to at most 1
    r2_linear: Float[np.ndarray, "group n"]  # of PC3 on PC1, PC2: 0 up to rounding, as components do not correlate
    r2_quadratic: Float[np.ndarray, "group n"]  # of PC3 on PC1, PC2, their squares and product, in [0, 1]
    r2_gain: Float[np.ndarray, "group n"]  # the difference
    chance_gain: Float[np.ndarray, " group"]  # what three regressors that tell nothing gain in one group of a hundred
    curvature: Float[np.ndarray, "group n 2"]  # of the fit, largest first; PC3 in its own std, PC1 and PC2 in theirs
    shape: Int[np.ndarray, "group n"]  # 0 flat: no gain; 1 bowl: curvatures of one sign; 2 saddle: of two
    member: Members  # the frequency k of the group that each neuron belongs to; 0: to none
    score: Float32[np.ndarray, "layer neuron 3"]  # at the last checkpoint, on its group's components; NaN: no group
    level: float  # share of a neuron's energy at k from which it belongs
    least_gain: float  # below it, or below chance, a group is flat


def neuron_groups(
    checkpoints: Mapping[int, Checkpoint], context: Context, *, level: float = 0.7, min_neurons: int = 10,
    n_components: int = 5, least_gain: float = 0.1,
) -> NeuronGroups:  # fmt: skip
    """A frequency of fewer than `min_neurons` makes no group; heads are passed through where the model has them."""
    if min_neurons < 7 or n_components < 3:
        asked = f"`min_neurons` = {min_neurons}, `n_components` = {n_components}"
        raise MiscopeError(f"{asked}; allowed: 7 and more, 3 and more.")
    steps = tuple(checkpoints)
    member = _members(checkpoints[steps[-1]], context.basis, level, min_neurons)
    groups = [(layer, k) for layer, ks in enumerate(member) for k in (0, *np.unique(ks[ks > 0]).tolist())]
    forms = [[_form(_columns(c, member, *group), n_components) for group in groups] for c in checkpoints.values()]
    names = ("spread", "share", "r2_linear", "r2_quadratic", "curvature")
    each = {name: np.array([[form[name] for form in row] for row in forms]).swapaxes(0, 1) for name in names}
    size = np.array([len(form["score"]) for form in forms[-1]])
    chance, r2_gain = np.array([gain(n, 3, 6) for n in size.tolist()]), each["r2_quadratic"] - each["r2_linear"]
    is_bent = r2_gain >= np.maximum(chance, least_gain)[:, None]
    score = np.full((*member.shape, 3), np.nan, dtype=np.float32)
    for (layer, k), form in zip(groups, forms[-1], strict=True):
        if k:
            score[layer, member[layer] == k] = form["score"]
    return NeuronGroups(
        steps=np.array(steps, dtype=np.int64),
        layer=np.array([layer for layer, _ in groups]),
        frequency=np.array([k for _, k in groups]),
        size=size,
        r2_gain=r2_gain,
        chance_gain=chance,
        shape=np.where(is_bent, np.where(each["curvature"].prod(axis=2) > 0, 1, 2), 0),
        member=member,
        score=score,
        level=level,
        least_gain=least_gain,
        **each,
    )


def _members(last: Checkpoint, basis: Basis, level: float, min_neurons: int) -> Members:
    """The frequency k of each neuron's group; 0: it belongs to none."""
    if not last.model.d_mlp:
        raise NotApplicable("The model has no MLP, and so no neurons.")
    check_basis(basis, last.weights["embed.W_E"])
    layers = []
    for layer in range(last.model.n_layers):
        energy = energy_by_frequency(basis, neuron_reads(last.weights, layer, basis.size))
        k = np.where(energy.max(axis=0) >= level * energy.sum(axis=0), energy.argmax(axis=0) + 1, 0)
        k[~energy.any(axis=0)] = 0
        layers.append(np.where(np.bincount(k)[k] >= min_neurons, k, 0))
    return np.stack(layers)


def _columns(checkpoint: Checkpoint, member: Members, layer: int, k: int) -> Float[np.ndarray, "chosen d_model"]:
    """Of W_in, as rows; k = 0: of all neurons."""
    rows = checkpoint.weights[f"blocks.{layer}.mlp.W_in"].T.astype(np.float64)
    return rows[member[layer] == k] if k else rows


def _form(points: Float[np.ndarray, "neuron d_model"], n_components: int) -> dict[str, Any]:
    """One group at one checkpoint, by the names of the Output: its components, and the third fitted by the others."""
    u, s, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    score = u * s
    score *= np.where(np.take_along_axis(score, np.abs(score).argmax(axis=0)[None], axis=0) < 0, -1, 1)
    variance = s**2 / len(points)
    share = variance / variance.sum() if variance.any() else variance
    padded = np.pad(share[:n_components], (0, max(0, n_components - len(share))))
    fitted = _fit(score[:, :3]) if share[2] > 1e-12 else {}
    flat = {"r2_linear": 0.0, "r2_quadratic": 0.0, "curvature": np.zeros(2)}
    return {"score": score[:, :3], "spread": np.sqrt(variance.sum()), "share": padded} | flat | fitted


def _fit(score: Float[np.ndarray, "neuron 3"]) -> dict[str, Any]:
    """R2 of PC3 on a plane and on a quadratic of PC1 and PC2, and the quadratic's two curvatures."""
    x, y, z = (score / score.std(axis=0)).T
    regressors = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    plane, curve = (np.linalg.lstsq(regressors[:, :n], z)[0] for n in (3, 6))
    linear, quadratic = (1 - float(((z - regressors[:, : len(b)] @ b) ** 2).mean()) for b in (plane, curve))
    hessian = np.array([[2 * curve[3], curve[4]], [curve[4], 2 * curve[5]]])
    return {"r2_linear": linear, "r2_quadratic": quadratic, "curvature": np.linalg.eigvalsh(hessian)[::-1]}


def measures(output: NeuronGroups) -> dict[str, np.ndarray]:
    """How much of a group of neurons lies in two directions, mean over groups."""
    of_groups = output.share[output.frequency > 0, :, :2].sum(axis=2)
    return {"share_in_two_directions": of_groups.mean(axis=0)} if len(of_groups) else {}


def nulls(groups: NeuronGroups, context: Context) -> Iterator[Null]:
    """Groups that are flat, the same neurons before training, and all neurons of the layer."""
    at = np.flatnonzero(groups.frequency)
    none = Null("neurons in groups of one frequency", 0, 0, "random neurons", level=None)
    yield (_of_shape(groups, at) if at.size else none).of("overview")
    for n in range(1, groups.share.shape[2] + 1):
        yield (_of_share(groups, at, n) if at.size else none).of("dimensions", n=n)
    yield (_of_spread(groups, at) if at.size else none).of("spread")


def _of_shape(groups: NeuronGroups, at: Int[np.ndarray, " frequency"]) -> Null:
    """The group that is most bent at the end, by what the best of as many flat ones would gain."""
    thresholds = np.array([max(groups.least_gain, gain(int(n), 3, 6, at.size)) for n in groups.size[at]])
    gains = groups.r2_gain[at, -1]
    best = int((gains / thresholds).argmax())
    statistic = f"gain in R2 (group of k = {groups.frequency[at[best]]})"
    return Null(statistic, float(gains[best]), float(thresholds[best]), "99 % of flat groups", "matched")


def _of_share(groups: NeuronGroups, at: Int[np.ndarray, " frequency"], n: int) -> Null:
    """By the same neurons before training, when they were a group of that size without a frequency."""
    if groups.steps[0] != 0:
        return Null.absent(NO_START)
    first, last = np.median(groups.share[at][:, [0, -1], :n].sum(axis=2), axis=0).tolist()
    statistic = f"the median group's share in {n} components"
    return with_margin(statistic, last, first, "the same neurons before training", unit="share")


def _of_spread(groups: NeuronGroups, at: Int[np.ndarray, " frequency"]) -> Null:
    """The group that is tightest at the end beside all neurons of its layer: a random few lie as far apart."""
    last = groups.spread[:, -1]
    whole = np.array([last[(groups.layer == groups.layer[i]) & (groups.frequency == 0)].item() for i in at])
    best = int((last[at] / np.where(whole > 0, whole, 1)).argmin())
    statistic = f"spread (group of k = {groups.frequency[at[best]]})"
    return with_margin(statistic, float(last[at[best]]), float(whole[best]), "all neurons", is_lower=True)


instrument = OverTraining(neuron_groups, reads_weights=True, measures=measures, nulls=nulls)
