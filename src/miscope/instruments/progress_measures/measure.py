r"""What the logits lose without the key frequencies, and keep with them alone: progress that the test loss hides.

With P the projection on cos(w_k s) and sin(w_k s) for the key frequencies k, and L the logits:

* restricted loss, of P L plus the mean of L - P L over all inputs. It falls as the generalising circuit forms,
  thousands of steps before the test loss does.
* excluded loss, of L - P L on the training inputs, without adding back a mean. It is near the train loss while the
  network memorises, and rises when the network needs the circuit.
* trig loss, of the best sum of cos(w_k (s - c)) over the keys: the loss if logits depended on s - c alone.

The keys are those of the final checkpoint, so that all numbers but `single_loss` use knowledge of the end. Frequencies
that the network does not use leave the restricted loss high and the excluded loss at the train loss; to see this, name
such frequencies in the setting `keys`.

Maths: $s(x)$ and the logits $L(x, v)$, less their mean over $v$, are those of `logit_spectra`; $\bar L(s, v)$ is the
mean of the $p$ inputs at $s$, $f_r$ a row of the basis, of length 1, and $r \in \mathcal K$ are the waves of the keys.
$H$ is the mean cross-entropy with the right answers in nats, over all, train or test inputs.
$$(P L)(x, \cdot) = \sum_{r \in \mathcal K} f_r(s(x)) \sum_{s} f_r(s) \, \bar L(s, \cdot), \qquad
\text{restricted\_loss} = H\bigl(P L + \operatorname{mean}_x L\bigr),$$
$$\text{excluded\_loss} = H_\text{train}(L - P L), \qquad
\text{trig\_loss} = H\Bigl(\sum_{k \in \mathcal K} \alpha_k \cos w_k (s - c)\Bigr),$$
$\alpha_k$ the `trig_amplitude` of `logit_spectra`. `key_share` and `trig_share` sum its shares over the keys,
`single_loss` is the largest of its excluded losses over all $k$. A key is a $k$ whose share at the final checkpoint is
at least the setting `share`, and $10 / p^2$.

Source: Nanda et al. 2023, arXiv:2301.05217, section 5.1, whose footnote has the loss without keys. It states neither
the split of the restricted loss, so all three are given, nor a rule for the keys: `share` is ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from miscope.instruments._shared import guessing
from miscope.instruments._shared.nulls import with_margin
from miscope.instruments.logit_spectra.measure import LogitSpectra, of_noise
from miscope.instruments.logit_spectra.measure import instrument as logit_spectra_instrument
from miscope.instruments.losses.measure import Losses
from miscope.instruments.losses.measure import instrument as losses_instrument
from miscope.maths.statistics import answers
from miscope.maths.waves import answer_element, losses_without
from miscope.plugin import Artifact, Basis, Checkpoint, Context, MiscopeError, Null, Output, OverTraining

Run = Mapping[int, Checkpoint]
Keys = Int[np.ndarray, " key"]
Inputs = Int[np.ndarray, " batch"]
Logits = Float[np.ndarray, "element vocab"]
NOISE = 10  # over p^2: five times the share that logits of noise have at a frequency, 2 of p^2 directions


@dataclass(frozen=True)
class ProgressMeasures(Output):
    """Losses are means in nats. NaN: there is no key, or no input of that split."""

    steps: Int[np.ndarray, " n"]
    key_frequency: Keys  # k, ascending; none: no frequency stands out at the final checkpoint
    key_rule: str  # where the keys are from, as a sentence
    is_native: bool  # whether the basis is that of the task's input group
    train_loss: Float[np.ndarray, " n"]  # of the logits as they are
    test_loss: Float[np.ndarray, " n"]
    restricted_loss: Float[np.ndarray, "split n"]  # over all inputs, train, test
    excluded_loss: Float[np.ndarray, " n"]  # train, without all keys
    key_excluded_loss: Float[np.ndarray, "key n"]  # train, without one key
    single_loss: Float[np.ndarray, " n"]  # the largest train loss without one frequency, whichever it is: no keys used
    single_frequency: Int[np.ndarray, " n"]  # that frequency; 0: no train inputs
    other_loss: Float[np.ndarray, " n"]  # the largest train loss without one frequency that is no key
    trig_loss: Float[np.ndarray, " n"]  # over all inputs
    key_share: Float[np.ndarray, " n"]  # of the logits' energy along the keys' directions, in [0, 1]
    trig_share: Float[np.ndarray, " n"]  # and along their cos(w_k (s - c)), at most `key_share`


def progress_measures(
    checkpoints: Run, spectra: Artifact[LogitSpectra], losses: Artifact[Losses], context: Context, *,
    keys: tuple[int, ...] = (), share: float = 0.01,
) -> ProgressMeasures:  # fmt: skip
    """By default a key is a frequency with at least `share` of the logits' energy at the final checkpoint.

    Where the group is so small that noise comes near it, five times what noise has is asked for. `checkpoints` have
    the logits of the training inputs alone; those of one at a time are held, and none are made where there is no key.
    """
    chosen, rule = _keys(spectra, context.basis, keys, max(share, NOISE / context.basis.size**2))
    rows = [
        _measured(spectra[step], losses[step], context, chosen)
        | {"excluded_loss": _excluded_loss(checkpoints, step, spectra[step], context, chosen)}
        for step in spectra.steps
    ]
    columns = {name: np.stack([row[name] for row in rows], axis=-1) for name in rows[0]}
    return ProgressMeasures(
        steps=np.array(spectra.steps, dtype=np.int64),
        key_frequency=chosen,
        key_rule=rule,
        is_native=context.basis.is_native,
        **columns,
    )


def _keys(spectra: Artifact[LogitSpectra], basis: Basis, keys: Sequence[int], share: float) -> tuple[Keys, str]:
    """The key frequencies, and where they are from in words."""
    if keys:
        if not all(1 <= k <= basis.n_frequencies for k in keys):
            raise MiscopeError(f"`keys` = {list(keys)}; allowed: frequencies from 1 to {basis.n_frequencies}.")
        return np.unique(np.array(keys, dtype=np.int64)), "The key frequencies are those of the settings."
    step = spectra.steps[-1]
    chosen = np.flatnonzero(spectra[step].share >= share) + 1
    which = "The key frequencies have" if len(chosen) else "No frequency has"
    return chosen, f"{which} at least {100 * share:.3g} % of the logits' energy at the final checkpoint, step {step:,}."


def _measured(spectrum: LogitSpectra, losses: Losses, context: Context, keys: Keys) -> dict[str, np.ndarray]:
    """The columns of one checkpoint that need no logits."""
    single = spectrum.excluded_loss
    others = np.empty(0) if single is None else np.delete(single, keys - 1)
    numbers = {
        "train_loss": losses.train_loss,
        "test_loss": losses.test_loss,
        "single_loss": None if single is None else single.max(),
        "other_loss": others.max() if len(others) else None,
        **_of_keys(spectrum, context, keys),
    }
    return {
        **{name: np.asarray(np.nan if x is None else x, dtype=np.float64) for name, x in numbers.items()},
        "single_frequency": np.asarray(0 if single is None else single.argmax() + 1),
        "key_excluded_loss": np.full(len(keys), np.nan) if single is None else single[keys - 1],
    }


def _of_keys(spectrum: LogitSpectra, context: Context, keys: Keys) -> dict[str, float | np.ndarray | None]:
    """What needs keys: nothing is known of it without one."""
    if not len(keys):
        return {"restricted_loss": np.full(3, np.nan), "trig_loss": None, "key_share": None, "trig_share": None}
    basis, probe = context.basis, context.probe
    element = answer_element(basis, probe.targets)[1]
    mean = basis.matrix[0, 0] * spectrum.coefficient[0].astype(np.float64)
    restricted = _losses(_kept(spectrum, basis, keys) + mean, element, probe.targets)
    trig = _trig_logits(spectrum, basis.size, keys)
    return {
        "restricted_loss": np.array([_mean(restricted[s]) for s in (slice(None), probe.is_train, ~probe.is_train)]),
        "trig_loss": None if trig is None else _mean(_losses(trig, element, probe.targets)),
        "key_share": spectrum.share[keys - 1].sum(),
        "trig_share": None if spectrum.trig_share is None else spectrum.trig_share[keys - 1].sum(),
    }


def _kept(spectrum: LogitSpectra, basis: Basis, keys: Keys) -> Logits:
    """P L, which depends on an input's element alone."""
    of_key = np.isin(basis.frequencies, keys)
    return basis.matrix[of_key].T @ spectrum.coefficient[of_key].astype(np.float64)


def _losses(logits: Logits, element: Inputs, targets: Inputs) -> Float[np.ndarray, " batch"]:
    """Cross-entropy of each input where logits depend on its element alone."""
    n = logits.shape[1]
    different, index = np.unique(element * n + targets, return_inverse=True)
    at, right = np.divmod(different, n)
    return answers(logits[at], right).loss[index]


def _trig_logits(spectrum: LogitSpectra, size: int, keys: Keys) -> Logits | None:
    """Sum over the keys of their cosines; an output that is no token of the basis has 0, the mean."""
    if spectrum.trig_amplitude is None:
        return None
    angle = 2 * np.pi * np.multiply.outer(keys, np.subtract.outer(np.arange(size), np.arange(size))) / size
    logits = np.zeros((size, spectrum.coefficient.shape[1]))
    logits[:, :size] = np.tensordot(spectrum.trig_amplitude[keys - 1], np.cos(angle), axes=1)
    return logits


def _excluded_loss(run: Run, step: int, spectrum: LogitSpectra, context: Context, keys: Keys) -> np.ndarray:
    """The train loss without all keys; NaN, and no checkpoint is made, without a key or inputs to train on."""
    train, targets = context.probe.is_train, context.probe.targets
    if not (len(keys) and train.any()):
        return np.asarray(np.nan)
    logits, element = run[step].activations["logits"], answer_element(context.basis, targets)[1][train]
    return np.asarray(losses_without(logits, targets[train], element, _kept(spectrum, context.basis, keys)[None])[0])


def _mean(losses: Float[np.ndarray, " input"]) -> float:
    return float(losses.mean()) if len(losses) else float("nan")


def measures(output: ProgressMeasures) -> dict[str, np.ndarray]:
    """Losses of the logits with the key frequencies alone, without them, and without the costliest one."""
    names = ("excluded_loss", "single_loss", "trig_loss", "key_share")
    return {"restricted_loss": output.restricted_loss[0], **{name: getattr(output, name) for name in names}}


def nulls(output: ProgressMeasures, context: Context) -> Iterator[Null]:
    """Guessing, logits of noise, and frequencies that are no keys; without a key there is nothing to filter by."""
    n, split = len(output.key_frequency), 0 if context.probe.is_train.all() else 2
    if not n:
        none = Null("number of key frequencies", 0, 0, "logits of noise", level=None)
        yield from (none.of(view) for view in ("overview", "frequencies", "losses", "shares"))
        return
    yield _of_loss(output, context, 0).of("overview")
    worst, others = float(output.key_excluded_loss[:, -1].max()), float(output.other_loss[-1])
    statistic, of = "train loss without the worst key", "the worst of the other frequencies"
    yield with_margin(statistic, worst, others, of).of("frequencies")
    yield _of_loss(output, context, split).of("losses")
    yield of_noise("share of the keys at the end", output.key_share[-1], context.basis.size, n).of("shares")


def _of_loss(output: ProgressMeasures, context: Context, split: int) -> Null:
    """The final loss with the keys alone (`split`: all, train, test); filtered noise has about that of guessing."""
    train = context.probe.is_train
    chosen = (np.ones_like(train), train, ~train)[split]
    guessed = guessing.entropy(context.probe, chosen) if chosen.any() else np.nan
    statistic = f"restricted {'test ' if split == 2 else ''}loss at the end"
    return with_margin(statistic, float(output.restricted_loss[split, -1]), guessed, "guessing", is_lower=True)


needs = (logit_spectra_instrument, losses_instrument)
instrument = OverTraining(
    progress_measures, needs=needs, hooks=("logits",), inputs="train", measures=measures, nulls=nulls
)
