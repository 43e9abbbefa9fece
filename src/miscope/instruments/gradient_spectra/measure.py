r"""Which frequencies the gradient of the train loss changes, at the embedding, the attention and the MLP.

The gradient with respect to the embedding is read over tokens directly. For a weight that reads the residual stream, it
is what a step would change of what that weight reads of each token: W_E times the gradient of W_Q, W_K and W_V. For
W_in it is W_E through the layer's OV circuits times the gradient, because number tokens reach the MLP through heads.

A network whose circuit uses few frequencies has gradients at those frequencies, at all sites alike, even while its loss
is flat. The same holds for labels shuffled over the inputs: any error flows back through the circuit's own weights. In
the runs examined, right labels spread the gradient over more frequencies than shuffled ones do. Narrow gradients are a
property of the network; only the difference to shuffled labels is due to the task.

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
from typing import Any

import numpy as np
from jaxtyping import Float

from miscope.instruments._shared.frequencies import check_basis
from miscope.instruments._shared.nulls import MARGIN, against_untrained, with_margin
from miscope.maths.spectra import Basis, energy_by_frequency
from miscope.maths.waves import token_reads
from miscope.plugin import Artifact, Checkpoint, Context, Null, Output, PerCheckpoint

SHUFFLED = "the same network with shuffled labels,"
OF_SITES = 2 * MARGIN  # of what lacks to a cosine of 1: on small networks, two shuffles differ by up to 2.3


@dataclass(frozen=True)
class GradientSpectra(Output):
    """Of the mean loss on the train inputs, weight decay left out."""

    site: tuple[str, ...]  # `embedding`, `layer 0 attention`, `layer 0 MLP`, ...
    is_native: bool  # whether the basis is that of the task's input group; if not, it is the DFT over tokens
    norm: Float[np.ndarray, " site"]  # of the gradient by the site's own weights
    power: Float[np.ndarray, "site freq"]  # share of each frequency in what varies over tokens; sums to 1, or 0
    concentration: Float[np.ndarray, " site"]  # inverse participation ratio of `power`, 1 / n_f to 1
    similarity: Float[np.ndarray, "site site"]  # cosine between the sites' powers, in [0, 1]; 0: nothing varies
    shuffled_norm: Float[np.ndarray, " site"]  # the same of a gradient for labels shuffled over the train inputs
    shuffled_power: Float[np.ndarray, "site freq"]
    shuffled_concentration: Float[np.ndarray, " site"]
    shuffled_similarity: Float[np.ndarray, "site site"]


def gradient_spectra(checkpoint: Checkpoint, context: Context, *, seed: int = 0) -> GradientSpectra:
    """Two gradients over all train inputs of the probe: with the right labels, and with shuffled ones."""
    basis, network = context.basis, checkpoint.network
    check_basis(basis, checkpoint.weights["embed.W_E"])
    inputs = network.train_inputs()
    shuffled = np.random.default_rng(seed).permutation(inputs)
    gradients = [network.gradients(network.weights[None], inputs, of)[1][0] for of in (inputs, shuffled)]
    own, null = (by_field(network.named(gradient), checkpoint, basis) for gradient in gradients)
    beside = {f"shuffled_{name}": values for name, values in null.items() if name != "site"}
    return GradientSpectra(is_native=basis.is_native, **own, **beside)


def by_field(gradient: Mapping[str, np.ndarray], checkpoint: Checkpoint, basis: Basis) -> dict[str, Any]:
    """What one gradient, by the weights' names, shows at every site: fields of GradientSpectra."""
    embedding = checkpoint.weights["embed.W_E"][: basis.size]
    sites = {"embedding": (gradient["embed.W_E"], gradient["embed.W_E"][: basis.size])}  # by its weights, over tokens
    for i in range(checkpoint.model.n_layers):
        heads = [gradient[f"blocks.{i}.attn.{name}"] for name in ("W_Q", "W_K", "W_V")]  # [head d_model d_head]
        columns = [part.transpose(1, 0, 2).reshape(embedding.shape[1], -1) for part in heads]
        attention = np.concatenate(columns, axis=1).astype(np.float64)
        sites[f"layer {i} attention"] = attention, embedding.astype(np.float64) @ attention
        if checkpoint.model.d_mlp:
            reads = [gradient.get(f"blocks.{i}.mlp.{name}") for name in ("W_in", "W_gate")]
            w_in = np.concatenate([read for read in reads if read is not None], axis=1)
            w_v, w_o = (checkpoint.weights[f"blocks.{i}.attn.{name}"] for name in ("W_V", "W_O"))
            w_v = np.repeat(w_v, len(w_o) // len(w_v), axis=0)  # keys and values may be shared by several queries
            sites[f"layer {i} MLP"] = w_in, token_reads(embedding, w_in, w_v, w_o)
    power = np.stack([_power(basis, over_tokens) for _, over_tokens in sites.values()])
    sizes = np.linalg.norm(power, axis=1)
    products = np.outer(sizes, sizes)
    return {
        "site": tuple(sites),
        "norm": np.array([np.linalg.norm(own.astype(np.float64)) for own, _ in sites.values()]),
        "power": power,
        "concentration": (power**2).sum(axis=1),
        "similarity": np.divide(power @ power.T, products, out=np.zeros_like(products), where=products > 0),
    }


def _power(basis: Basis, values: Float[np.ndarray, "token dim"]) -> Float[np.ndarray, " freq"]:
    """Share of each frequency in the energy over tokens, the constant left out; all 0 where nothing varies."""
    values = np.asarray(values, dtype=np.float64)
    energy = energy_by_frequency(basis, values).sum(axis=1)
    has_variance = energy.sum() > 1e-24 * (values**2).sum()  # less is what rounding leaves of a constant
    return energy / energy.sum() if has_variance else np.zeros_like(energy)


def measures(output: GradientSpectra) -> dict[str, float]:
    """Of each site's gradient, how few frequencies it has and how large it is."""
    both = (("concentration", output.concentration), ("norm", output.norm))
    return {f"{name} of {site}": float(x) for name, of in both for site, x in zip(output.site, of, strict=True)}


def sharing(concentration: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """About how many frequencies share a gradient, from 1 to all; NaN where it does not vary over tokens."""
    return np.divide(1, concentration, out=np.full(concentration.shape, np.nan), where=concentration > 0)


def nulls(spectra: Artifact[GradientSpectra], context: Context) -> Iterator[Null]:
    """Shuffled labels, whose gradient the network's own weights narrow as well; of the overview, no training."""
    last, statistic = spectra.last, "frequencies that share the embedding's gradient"
    yield against_untrained(statistic, spectra, lambda x: sharing(x.concentration)[0], is_lower=True).of("overview")
    yield _of_width(last).of("concentration")
    own, shuffled = (float(np.linalg.norm(norm)) for norm in (last.norm, last.shuffled_norm))  # less: labels are known
    statistic = "norm of the gradient over all sites"
    yield with_margin(statistic, own, shuffled, SHUFFLED, is_lower=True, strength="matched").of("norms")
    pairs = np.triu_indices(len(last.site), 1)
    own, shuffled = (float(of[pairs].mean()) for of in (last.similarity, last.shuffled_similarity))
    threshold, source = 1 - (1 - shuffled) / OF_SITES, f"{SHUFFLED} with a margin of {OF_SITES:g}"
    yield Null("mean cosine of two sites", own, threshold, source, "matched", level=None).of("similarity")
    yield from (_of_width(output).of("spectrum", step) for step, output in spectra.items())


def _of_width(output: GradientSpectra) -> Null:
    """Whether the gradient of any site is narrower than for shuffled labels."""
    own, shuffled = sharing(output.concentration), sharing(output.shuffled_concentration)
    ratio = own / shuffled
    site = int(np.nanargmin(ratio)) if np.isfinite(ratio).any() else 0
    statistic = f"frequencies that share the gradient ({output.site[site]})"
    return with_margin(statistic, float(own[site]), float(shuffled[site]), SHUFFLED, is_lower=True, strength="matched")


instrument = PerCheckpoint(gradient_spectra, needs=("gradients",), measures=measures, nulls=nulls)
