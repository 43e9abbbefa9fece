"""Which frequencies of the input each head follows, in what it asks for, offers and moves."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from miscope.instruments._shared.heads import head_names, mark
from miscope.instruments.attention_spectra.measure import SHARES, AttentionSpectra, asked
from miscope.plugin import Artifact, Context, NotApplicable, Null, Table, bars, highest, lines, long, view

ASKS, MOVES = "score with each token", "what is moved of a token"
Part = Literal["value", "key", "query", "query-key", "score"]


@view(
    question="When does each head use a single frequency?",
    reading="Top: the share of the best frequency in a head's attention score with each token. Bottom: the same for "
    "the values that the head moves. A head whose attention follows one wave of the input approaches 1 at the top; at "
    "the bottom, heads carry all key frequencies.",
    draw=lines("step", "share", "head", "part", titles={"share": "share at the best frequency"}),
)
def overview(spectra: Artifact[AttentionSpectra], context: Context, null: Null) -> Table:
    """One row per (part, head, step); `share` at the best frequency, of tokens' scores where none always asks last."""
    best = [[asked(output).max(axis=-1), output.value_share.max(axis=-1)] for output in spectra.values()]
    values = np.array(best).reshape(len(spectra), 2, -1).transpose(1, 2, 0)
    rows = long("share", values, part=(ASKS, MOVES), head=_names(spectra.last.qk_share), step=spectra.steps)
    return Table(rows, limits={"share": (0.0, 1.02)}, marks=mark(null))


@view(
    question="Do queries and keys agree in phase?",
    reading="The cosine of the phase difference between queries and keys, at the frequency with most of the head's "
    "query-key energy at the end. 1: a token's score is largest with itself; -1: smallest; 0: a quarter of a period "
    "apart. Where that energy is small the curve has no meaning: in modular addition only the last token's query "
    "matters.",
    draw=lines("step", "alignment", "head", titles={"alignment": "alignment of query and key"}),
)
def alignment(spectra: Artifact[AttentionSpectra], context: Context) -> Table:
    """One row per (head, step); `alignment` in [-1, 1] at the frequency of most query-key energy at the last step."""
    last = spectra.last.qk_share
    chosen = last.argmax(axis=-1)[None, ..., None]
    values = np.take_along_axis(spectra.stack("qk_alignment"), chosen, axis=3).reshape(len(spectra), -1).T
    names = [f"{head} (k = {k + 1})" for head, k in zip(_names(last), chosen.ravel(), strict=True)]
    note = f"the best frequency holds at most {last.max():.0%} of any head's query-key energy"
    rows = long("alignment", values, head=names, step=spectra.steps)
    return Table(rows, limits={"alignment": (-1.02, 1.02)}, note=note)


@view(
    question="Which frequencies do the weights of each head contain?",
    reading="The share of energy at each frequency of a head's queries, keys and values, or of the attention score; "
    "frequencies above 3 times the mean are coloured and named. `score` is that of the last token.",
    draw=bars("frequency", "share", facet="head", emphasis="is_large", titles={"frequency": "frequency k"}),
)
def spectrum(
    spectra: Artifact[AttentionSpectra], context: Context, step: int, null: Null, *, part: Part = "key"
) -> Table:
    """One row per (head, frequency); `share` of the energy of that part of the head, its constant left out."""
    shares = getattr(spectra[step], SHARES[part])
    if shares is None:
        raise NotApplicable("The probe's inputs do not all end on the same token, so no one token asks.")
    n = shares.shape[2]
    rows = long("share", shares.reshape(-1, n), head=_names(shares), frequency=np.arange(1, n + 1))
    rows["is_large"] = rows["share"] >= 3 / n
    top = 1.15 * max(highest(spectra, SHARES[part]), *mark(null).values())
    return Table(rows, limits={"share": (0.0, top)}, note=part, marks=mark(null))


def _names(shares: Float[np.ndarray, "layer head freq"]) -> list[str]:
    """`head 2`, in a network of several layers `layer 1, head 2`."""
    layers, heads, _ = shares.shape
    return head_names(layers, heads) if layers > 1 else [f"head {i}" for i in range(heads)]
