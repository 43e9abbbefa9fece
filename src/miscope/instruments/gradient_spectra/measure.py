r"""Which frequencies the gradient of the train loss is about to change, at the embedding, the attention and the MLP.

The gradient by the embedding is read over tokens as it is. Of a weight that reads the stream, it is what a step would
change of what that weight reads of each token: W_E times the gradient by W_Q, W_K and W_V, and for W_in, W_E through
the layer's OV circuits times it, as number tokens reach the MLP through heads.

A network with a circuit on few frequencies is pushed on at those, at all sites alike, while its loss still tells
nothing. So it is for labels shuffled over the inputs: any error flows back through the circuit's own weights. In the
runs looked at, right labels spread the gradient over more frequencies than shuffled ones do. What is narrow here is the
network; only what lies above the shuffled labels would be the task.

Maths: $E$ is the rows of $W_E$ of the basis' tokens, $G_X$ the gradient of the loss by weight $X$, $h$ the heads of the
layer; what varies over tokens is $M$, of the embedding, the attention and the MLP:
$$M = G_E, \qquad M = E \, [\, G_{W_Q} \, G_{W_K} \, G_{W_V} \,], \qquad
M = E \Bigl(\sum_h W_V^h W_O^h\Bigr) G_{W_{in}},$$
with $G_{W_{gate}}$ beside the last where there is a gate. With $f_r$ the rows of the basis, $f_0$ the constant,
$r \in k$ being $\cos k$ and $\sin k$,
$$\text{power}_k = \frac{\sum_{r \in k} \lVert f_r M \rVert^2}{\sum_{r \ne 0} \lVert f_r M \rVert^2}, \qquad
\text{concentration} = \sum_k \text{power}_k^2;$$
`similarity` is the cosine of two sites' powers; `norm` is of the gradients by the site's weights, with
all rows of $W_E$.

Source: ours; the projections are those of Nanda et al. 2023, arXiv:2301.05217, section 4.1 (weights through W_E in the
Fourier basis) and Elhage et al. 2021, A Mathematical Framework for Transformer Circuits (OV circuits). Norms' scales
are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from miscope.instruments._shared.nulls import MARGIN, against_untrained
from miscope.maths.spectra import Basis, energy_by_frequency
from miscope.maths.waves import token_reads
from miscope.plugin import Artifact, Checkpoint, Context, ModelConfig, NotApplicable, Null, Output, PerCheckpoint

SHUFFLED = "the same network with shuffled labels, with a margin of"
OF_SITES = 2 * MARGIN  # of what lacks to a cosine of 1: on small networks, two shuffles differ by up to 2.3


@dataclass(frozen=True)
class GradientSpectra(Output):
    """Of the mean loss on the train inputs, weight decay left out."""

    site: tuple[str, ...]  # `embedding`, `layer 0 attention`, `layer 0 MLP`, ...
    is_native: bool  # whether the basis is that of the task's input group; if not, it is the DFT over tokens
    norm: Float[np.ndarray, " site"]  # of the gradient by the site's own weights
    power: Float[np.ndarray, "site freq"]  # share of each frequency in what varies over tokens; sums to 1, or 0
    concentration: Float[np.ndarray, " site"]  # inverse participation ratio of `power`, 1 / n_f to 1
    similarity: Float[np.ndarray, "site site"]  # cosine between the sites' powers, in [0, 1]
    shuffled_norm: Float[np.ndarray, " site"]  # the same of a gradient for labels shuffled over the train inputs
    shuffled_power: Float[np.ndarray, "site freq"]
    shuffled_concentration: Float[np.ndarray, " site"]
    shuffled_similarity: Float[np.ndarray, "site site"]


def gradient_spectra(checkpoint: Checkpoint, context: Context, *, seed: int = 0) -> GradientSpectra:
    """Two gradients over all train inputs of the probe: with the right labels, and with shuffled ones."""
    basis, network = context.basis, checkpoint.network
    if basis.n_frequencies < 2:
        raise NotApplicable(f"The {basis.size} tokens of the basis have one frequency: there is nothing to tell apart.")
    if len(checkpoint.weights["embed.W_E"]) < basis.size:
        raise NotApplicable(f"The embedding has fewer rows than the basis' {basis.size} tokens.")
    inputs = network.train_inputs()
    shuffled = np.random.default_rng(seed).permutation(inputs)
    gradients = [network.gradients(network.weights[None], inputs, of)[1][0] for of in (inputs, shuffled)]
    own, null = (_Sites.of(network.named(gradient), checkpoint, basis) for gradient in gradients)
    return GradientSpectra(
        site=own.names,
        is_native=basis.is_native,
        norm=own.norm,
        power=own.power,
        concentration=(own.power**2).sum(axis=1),
        similarity=_similarity(own.power),
        shuffled_norm=null.norm,
        shuffled_power=null.power,
        shuffled_concentration=(null.power**2).sum(axis=1),
        shuffled_similarity=_similarity(null.power),
    )


@dataclass(frozen=True)
class _Sites:
    """One gradient seen at every site."""

    names: tuple[str, ...]
    norm: Float[np.ndarray, " site"]
    power: Float[np.ndarray, "site freq"]

    @classmethod
    def of(cls, gradient: Mapping[str, np.ndarray], checkpoint: Checkpoint, basis: Basis) -> "_Sites":
        embedding, weights = checkpoint.weights["embed.W_E"][: basis.size], checkpoint.weights
        names, norms, over_tokens = ["embedding"], [_norm(gradient["embed.W_E"])], [gradient["embed.W_E"][: basis.size]]
        for i in range(checkpoint.model.n_layers):
            attention = _side_by_side(gradient, i, checkpoint.model)
            names.append(f"layer {i} attention")
            norms.append(_norm(attention))
            over_tokens.append(embedding.astype(np.float64) @ attention)
            if checkpoint.model.d_mlp:
                reads = [gradient.get(f"blocks.{i}.mlp.{name}") for name in ("W_in", "W_gate")]
                w_in = np.concatenate([read for read in reads if read is not None], axis=1)
                names.append(f"layer {i} MLP")
                norms.append(_norm(w_in))
                over_tokens.append(token_reads(embedding, w_in, *_heads(weights, i)))
        power = np.stack([_power(basis, values) for values in over_tokens])
        return cls(tuple(names), np.array(norms), power)


def _norm(gradient: np.ndarray) -> float:
    return float(np.linalg.norm(gradient.astype(np.float64)))


def _side_by_side(gradient: Mapping[str, np.ndarray], layer: int, model: ModelConfig) -> np.ndarray:
    """What queries, keys and values of all heads read the stream with: [d_model, all their outputs]."""
    parts = (gradient[f"blocks.{layer}.attn.{name}"] for name in ("W_Q", "W_K", "W_V"))
    columns = [part.transpose(1, 0, 2).reshape(model.d_model, -1) for part in parts]
    return np.concatenate(columns, axis=1).astype(np.float64)


def _heads(weights: Mapping[str, np.ndarray], layer: int) -> tuple[np.ndarray, np.ndarray]:
    """W_V and W_O with a head each for every query; keys and values may be shared by several."""
    w_v, w_o = (weights[f"blocks.{layer}.attn.{name}"] for name in ("W_V", "W_O"))
    return np.repeat(w_v, len(w_o) // len(w_v), axis=0), w_o


def _power(basis: Basis, values: Float[np.ndarray, "token dim"]) -> Float[np.ndarray, " freq"]:
    """Share of each frequency in the energy over tokens, the constant left out; all 0 where nothing varies."""
    values = np.asarray(values, dtype=np.float64)
    energy = energy_by_frequency(basis, values).sum(axis=1)
    has_variance = energy.sum() > 1e-24 * (values**2).sum()  # less is what rounding leaves of a constant
    return energy / energy.sum() if has_variance else np.zeros_like(energy)


def _similarity(power: Float[np.ndarray, "site freq"]) -> Float[np.ndarray, "site site"]:
    """0 beside a site at which nothing varies."""
    norms = np.linalg.norm(power, axis=1)
    products = np.outer(norms, norms)
    return np.divide(power @ power.T, products, out=np.zeros_like(products), where=products > 0)


def measures(output: GradientSpectra) -> dict[str, float]:
    """Of each site's gradient, how few frequencies it has and how large it is."""
    both = (("concentration", output.concentration), ("norm", output.norm))
    return {f"{name} of {site}": float(x) for name, of in both for site, x in zip(output.site, of, strict=True)}


def sharing(concentration: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """About how many frequencies share a gradient, from 1 to all; NaN where it does not vary over tokens."""
    return np.divide(1, concentration, out=np.full(concentration.shape, np.nan), where=concentration > 0)


# ---------------------------------------------------------------- what chance would show


def nulls(spectra: Artifact[GradientSpectra], context: Context) -> Iterator[Null]:
    """Shuffled labels, whose gradient the network's own weights narrow as well; of the overview, no training."""
    last = spectra.last
    yield against_untrained(
        "frequencies that share the embedding's gradient",
        spectra,
        lambda output: float(sharing(output.concentration)[0]),
        is_lower=True,
    ).of("overview")
    yield _of_width(last).of("concentration")
    yield _of_norm(last).of("norms")
    yield _of_similarity(last).of("similarity")
    yield from (_of_width(output).of("spectrum", step) for step, output in spectra.items())


def _of_width(output: GradientSpectra) -> Null:
    """Whether the gradient of any site is narrower than for shuffled labels."""
    own, shuffled = sharing(output.concentration), sharing(output.shuffled_concentration)
    ratio = own / shuffled
    site = int(np.nanargmin(ratio)) if np.isfinite(ratio).any() else 0
    statistic = f"frequencies that share the gradient ({output.site[site]})"
    return _against_shuffled(statistic, own[site], shuffled[site] / MARGIN, is_lower=True)


def _of_norm(output: GradientSpectra) -> Null:
    """Whether the right labels push less than others, because the network knows them."""
    own, shuffled = (float(np.linalg.norm(norm)) for norm in (output.norm, output.shuffled_norm))
    return _against_shuffled("norm of the gradient over all sites", own, shuffled / MARGIN, is_lower=True)


def _of_similarity(output: GradientSpectra) -> Null:
    pairs = np.triu_indices(len(output.site), 1)
    own, shuffled = (float(of[pairs].mean()) for of in (output.similarity, output.shuffled_similarity))
    return _against_shuffled("mean cosine of two sites", own, 1 - (1 - shuffled) / OF_SITES, OF_SITES)


def _against_shuffled(
    statistic: str, value: float, threshold: float, margin: float = MARGIN, is_lower: bool = False
) -> Null:
    source = f"{SHUFFLED} {margin:g}"
    return Null(statistic, float(value), float(threshold), source, "matched", level=None, is_lower=is_lower)


instrument = PerCheckpoint(gradient_spectra, needs=("gradients",), measures=measures, nulls=nulls)
