"""Models and runs whose numbers are known, and how an instrument is put to them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from miscope.core import Checkpoint, Context, ModelConfig, Probe
from miscope.families.modulo_addition import ModuloAddition
from miscope.instrument import Artifact, Instrument, PerCheckpoint
from miscope.maths.spectra import Basis
from miscope.workspace.observation import observed


def through_the_model(instrument: Instrument, checkpoint: Checkpoint, context: Context) -> Any:
    """What the instrument measures on weights: the product's own transformer runs them on the probe."""
    assert isinstance(instrument, PerCheckpoint), instrument.name
    (seen,) = observed(checkpoint, context, [instrument])
    return instrument.compute(seen, context)


def on_planted(instrument: Instrument, model: ModelConfig, context: Context, **activations: np.ndarray) -> Any:
    """What the instrument measures on activations put in its hands: `hook_resid_post` is layer 0's, `logits` itself."""
    named = {name if name == "logits" else f"blocks.0.{name}": x.astype(np.float32) for name, x in activations.items()}
    return instrument.compute(Checkpoint(0, model, {}, named), context)


def tracked(instrument: Instrument, *paths: Mapping[int, Any], context: Context, **settings: Any) -> Any:
    """What an instrument over training measures on runs, each a mapping from step to an Output or a Checkpoint."""
    return instrument.compute(*(Artifact(tuple(path), path.__getitem__) for path in paths), context, **settings)


def probe(n: int, p: int = 5) -> Context:
    """A context for instruments that look at what is planted and not at the inputs: n of them, all trained on."""
    nothing = Probe(np.zeros((n, 1), dtype=np.int64), np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool))
    return Context(probe=nothing, answer_position=0, basis=Basis("fourier", p))


def shape(**changes: Any) -> ModelConfig:
    """A model of one layer, as small as can be."""
    smallest = ModelConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_mlp=0, n_ctx=1, d_vocab=5, d_vocab_out=5)
    return replace(smallest, **changes)


def run_of(model: ModelConfig, name: str, path: Float[np.ndarray, "n row column"]) -> dict[int, Checkpoint]:
    """Checkpoints at steps 0, 1, 2, ... of one matrix."""
    return {step: Checkpoint(step, model, {name: at.astype(np.float32)}) for step, at in enumerate(path)}


@dataclass(frozen=True)
class Addition:
    """One layer that adds modulo p exactly, by `n_phases` neurons for each frequency.

    Heads attend evenly, one for each frequency, and move cos and sin of w x. A neuron of phase phi has
    relu(cos(w a + phi) + cos(w b + phi)) = relu(2 cos(w (a - b) / 2) cos(w (a + b) / 2 + phi)) and writes
    gain cos(w c + 2 phi). Summed over phases that are even around the circle, the second harmonic of relu(cos) is left:

        logit(a, b, c) = sum over k of gain_k (2 n / 3 pi) |cos(w_k (a - b) / 2)| cos(w_k (a + b - c)).

    The next harmonic that is left is the (2 n - 2)th, smaller by 3 / (4 n^2).

    Source: the solution with a quadratic activation of Gromov 2023, arXiv:2301.02679, section 3, with a ReLU in its
    place, which makes it the pizza of Zhong et al. 2023, arXiv:2306.17844, section 4.
    """

    p: int = 31
    frequencies: tuple[int, ...] = (3, 7, 12)
    gains: tuple[float, ...] = (3.0, 2.0, 1.0)
    n_phases: int = 101  # odd, so that odd harmonics leave nothing

    @property
    def family(self) -> ModuloAddition:
        return ModuloAddition(modulus=self.p, train_fraction=0.4)

    @property
    def context(self) -> Context:
        return self.family.context(0)

    @property
    def model(self) -> ModelConfig:
        n = len(self.frequencies)
        sizes = {"d_model": 6 * n, "n_heads": n, "d_head": 2, "d_mlp": n * self.n_phases}
        return shape(**sizes, n_ctx=3, d_vocab=self.p + 1, d_vocab_out=self.p)

    @property
    def phases(self) -> Float[np.ndarray, " phase"]:
        return 2 * np.pi * np.arange(self.n_phases) / self.n_phases

    @property
    def amplitude(self) -> Float[np.ndarray, " freq"]:
        """Of each frequency's cosine in the logits, where a = b."""
        return np.array(self.gains) * 2 * self.n_phases / (3 * np.pi)

    @property
    def mean_size(self) -> float:
        """Of |cos(w (a - b) / 2)| over all pairs: 1 / (p sin(pi / 2p)), which goes to 2 / pi; p is odd."""
        return float(1 / (self.p * np.sin(np.pi / (2 * self.p))))

    def sizes(self) -> Float[np.ndarray, "batch freq"]:
        """|cos(w_k (a - b) / 2)| of every pair, in the order a * p + b."""
        a, b = np.divmod(np.arange(self.p**2), self.p)
        return np.abs(np.cos(np.pi * np.outer(a - b, self.frequencies) / self.p))

    def logits(self, sizes: Float[np.ndarray, "batch freq"]) -> Float[np.ndarray, "batch vocab"]:
        """Of cosines of these sizes, in units of `amplitude`."""
        a, b = np.divmod(np.arange(self.p**2), self.p)
        difference = (a + b)[:, None] - np.arange(self.p)
        waves = np.cos(2 * np.pi * np.multiply.outer(self.frequencies, difference) / self.p)
        return np.einsum("bk,k,kbc->bc", sizes, self.amplitude, waves)

    def checkpoint(self, step: int = 0) -> Checkpoint:
        """The residual stream holds cos and sin of each frequency thrice: of tokens, of sums, of answers."""
        n, x = 2 * len(self.frequencies), 2 * np.pi * np.arange(self.p) / self.p
        circles = np.concatenate([[np.cos(k * x), np.sin(k * x)] for k in self.frequencies])  # [2 freq, token]
        head = np.eye(n).reshape(-1, 2, n)
        turn = np.stack([np.cos(self.phases), -np.sin(self.phases)])
        twice = np.stack([np.cos(2 * self.phases), -np.sin(2 * self.phases)], axis=1)
        read, written = np.zeros((n, self.model.d_mlp)), np.zeros((self.model.d_mlp, n))
        for i, gain in enumerate(self.gains):
            neurons = slice(i * self.n_phases, (i + 1) * self.n_phases)
            read[2 * i : 2 * i + 2, neurons], written[neurons, 2 * i : 2 * i + 2] = turn, gain * twice
        weights = {
            "embed.W_E": _placed((self.p + 1, 3 * n), (0, 0), circles.T),
            "pos_embed.W_pos": np.zeros((3, 3 * n)),
            **{f"blocks.0.attn.{name}": np.zeros((n // 2, 3 * n, 2)) for name in ("W_Q", "W_K")},
            # even attention gives a third of each position, and `=` has nothing
            "blocks.0.attn.W_V": 3 * np.stack([_placed((3 * n, 2), (0, 0), one.T) for one in head]),
            "blocks.0.attn.W_O": np.stack([_placed((2, 3 * n), (0, n), one) for one in head]),
            "blocks.0.mlp.W_in": _placed((3 * n, self.model.d_mlp), (n, 0), read),
            "blocks.0.mlp.W_out": _placed((self.model.d_mlp, 3 * n), (0, 2 * n), written),
            "unembed.W_U": _placed((3 * n, self.p), (2 * n, 0), circles),
        }
        return Checkpoint(step, self.model, _frozen(weights))


@dataclass(frozen=True)
class Induction:
    """Two layers of attention that answer with what followed the present token before, and by `gain` logits.

    Head 0 of layer 0 looks at the position before by its number, and copies its token; head 1 attends evenly and does
    nothing. Head 0 of layer 1 looks for a position whose copy is the present token, and writes the token that stands
    there as the answer; head 1 is idle as well.

    Source: the circuit of Elhage et al. 2021, A Mathematical Framework for Transformer Circuits, and Olsson et al.
    2022, arXiv:2209.11895, in weights that are zeros and ones.
    """

    gain: float = 4.0
    focus: float = 60.0  # of scores: what is not sought gets exp(-60) of what is

    @property
    def family(self) -> Any:
        from miscope.families.induction_heads import InductionHeads

        return InductionHeads(n_tokens=16, length=23, min_period=4, max_period=8, test_periods=(5, 7))

    @property
    def model(self) -> ModelConfig:
        v, n = self.family.n_tokens, self.family.length + 1
        sizes = {"n_layers": 2, "d_model": 3 * (v + 1) + n, "n_heads": 2, "d_head": n}
        return shape(**sizes, n_ctx=n, d_vocab=v + 1, d_vocab_out=v)

    @property
    def loss(self) -> float:
        """Where one answer has `gain` and the others 0."""
        return float(np.log1p((self.model.d_vocab_out - 1) * np.exp(-self.gain)))

    def checkpoint(self) -> Checkpoint:
        """The residual stream holds tokens, positions, the token before, the answer."""
        model = self.model
        v, n, d = model.d_vocab, model.n_ctx, model.d_model
        token, place, before, answer = 0, v, v + n, 2 * v + n
        size = np.sqrt(self.focus) * n**0.25  # scores are divided by the root of d_head
        one = np.eye(v)
        weights = {
            "embed.W_E": _placed((v, d), (0, token), one),
            "pos_embed.W_pos": _placed((n, d), (0, place), np.eye(n)),
            "unembed.W_U": _placed((d, model.d_vocab_out), (answer, 0), one[:, : model.d_vocab_out]),
        }
        heads = (  # where each one's query, key and value read and its output writes, and what
            ((place, size * np.eye(n)), (place, size * np.eye(n, k=1)), (token, one), (before, one)),
            ((token, size * one), (before, size * one), (token, one), (answer, self.gain * one)),
        )
        for layer, blocks in enumerate(heads):
            for name, (at, block) in zip(("W_Q", "W_K", "W_V", "W_O"), blocks, strict=True):
                matrix = _placed((n, d), (0, at), block) if name == "W_O" else _placed((d, n), (at, 0), block)
                weights[f"blocks.{layer}.attn.{name}"] = np.stack([matrix, np.zeros_like(matrix)])
        return Checkpoint(0, model, _frozen(weights))


def _placed(size: tuple[int, int], corner: tuple[int, int], block: np.ndarray) -> np.ndarray:
    """Zeros of a size with a block that begins at a corner."""
    matrix = np.zeros(size)
    matrix[corner[0] : corner[0] + block.shape[0], corner[1] : corner[1] + block.shape[1]] = block
    return matrix


def _frozen(weights: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return MappingProxyType({name: weight.astype(np.float32) for name, weight in weights.items()})
