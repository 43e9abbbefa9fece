"""The nouns of the product as frozen dataclasses: what is trained, and what an instrument sees of it.

Nothing here imports torch, so that configuration, views and the app open fast. Instruments and views: `instrument`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from miscope.maths.spectra import Basis


class MiscopeError(Exception):
    """A mistake that the user can correct: one line that says what was asked, what was found and what to do."""


class NotApplicable(MiscopeError):
    """An instrument has nothing to measure on this model or task; the text is the reason, a sentence."""


# ---------------------------------------------------------------- what is trained


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the product's transformer; fields are named as in TransformerLens where it has them."""

    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    d_mlp: int  # 0: attention only
    n_ctx: int
    d_vocab: int
    d_vocab_out: int
    act_fn: Literal["relu", "gelu", "silu"] = "relu"
    normalization: Literal["none", "LN", "RMS"] = "none"
    is_causal: bool = True
    has_biases: bool = False
    initialisation: str = "scaled_normal"
    positions: Literal["learned", "rotary"] = "learned"
    rotary_base: float = 10_000.0  # of the angles' wavelengths, in positions
    n_key_value_heads: int = 0  # the number of groups of heads that share keys and values; 0: no sharing
    gated_mlp: bool = False  # neurons are act_fn(x W_gate) * (x W_in)
    use_qk_norm: bool = False  # an RMS norm on each query and key
    has_qkv_biases: bool = False  # on queries, keys and values, even without `has_biases`
    has_tied_embeddings: bool = False  # the unembedding is the embedding's transpose
    eps: float = 1e-5  # of the norms

    # fields added later: `declaration` leaves them out at their defaults, so that older trainings keep their keys
    LATER: ClassVar[tuple[str, ...]] = (
        *("positions", "rotary_base", "n_key_value_heads", "gated_mlp"),
        *("use_qk_norm", "has_qkv_biases", "has_tied_embeddings", "eps"),
    )

    def __post_init__(self) -> None:
        groups = self.n_key_value_heads
        if not 0 <= groups <= self.n_heads or (groups and self.n_heads % groups):
            raise MiscopeError(f"`n_key_value_heads` = {groups}; allowed: 0, or a divisor of {self.n_heads} heads.")
        if self.positions == "rotary" and self.d_head % 2:
            raise MiscopeError(f"`positions` = rotary turns pairs of numbers; `d_head` = {self.d_head}; allowed: even.")
        if self.has_tied_embeddings and self.d_vocab != self.d_vocab_out:
            raise MiscopeError(
                f"`has_tied_embeddings` needs answers that are tokens; the task has {self.d_vocab} tokens and "
                f"{self.d_vocab_out} answers."
            )
        if not (0 < self.eps <= 1 and self.rotary_base > 1):
            raise MiscopeError(
                f"`eps` = {self.eps:g}, `rotary_base` = {self.rotary_base:g}; allowed: 0 to 1, and above 1."
            )

    def declaration(self) -> dict[str, Any]:
        """As plain data, without fields of `LATER` that are at their defaults."""
        return _without_defaults(self, self.LATER)


def _without_defaults(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """A dataclass as plain data, without those of the named fields that are at their defaults."""
    defaults = {f.name: f.default for f in fields(value)}
    return {name: v for name, v in asdict(value).items() if name not in names or v != defaults[name]}


@dataclass(frozen=True)
class Recipe:
    """How a variant is trained. With `batch_size` 0 every step uses the whole training set: one step is one epoch."""

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    # adamw, adam, sgd, the dotted path of a torch optimizer, or a mapping of `_target_` and its own settings
    optimizer: str | Mapping[str, Any] = "adamw"
    schedule: Literal["constant", "cosine"] = "constant"  # of the learning rate; cosine falls to 0 at the last step
    warmup_steps: int = 0  # the learning rate rises linearly over these
    batch_size: int = 0
    accumulate: int = 1  # micro-batches per update: the same gradient in less memory
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16: autocast of the matmuls
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    eval_every: int = 10
    ensemble: str = ""  # variants of one ensemble, which differ in seeds and rates alone, train side by side on a GPU
    resume_points: int = -1  # the number of states kept to resume from; -1: a quarter of the checkpoints, at most 8
    threads: int = 0  # of the CPU, of which the last bits of the weights depend; 0: as many as there are cores

    LATER: ClassVar[tuple[str, ...]] = ("threads",)  # as in ModelConfig

    def declaration(self) -> dict[str, Any]:
        """As plain data, without fields of `LATER` that are at their defaults."""
        return _without_defaults(self, self.LATER)


def weights_only(recipe: Recipe) -> Recipe:
    """The recipe without the settings that change no weight: two recipes that train the same weights are equal.

    The number of steps changes weights only through a cosine schedule.
    """
    steps = recipe.steps if recipe.schedule == "cosine" else 1
    return replace(recipe, steps=steps, eval_every=1, resume_points=-1, ensemble="")


@dataclass(frozen=True)
class Adaptive:
    """Checkpoints where a metric changes: at equal parts of its total path, measured in a first pass and replayed."""

    checkpoints: int
    metric: Literal["train_loss", "test_loss", "train_accuracy", "test_accuracy"] = "test_loss"


@dataclass(frozen=True)
class Branch:
    """Where a variant leaves its parent: the same training up to step `at`, then other settings."""

    parent: str
    at: int
    family: "Family"
    data_seed: int
    recipe: Recipe


@dataclass(frozen=True)
class Imported:
    """Weights that were trained elsewhere, in place of a training here."""

    path: str  # a safetensors file, or a folder of such files, each named by its step; relative to params.yaml
    step: int | None = None  # of a single file; None: its name says it
    attention_rate: float = 1.0  # 1: attention as it is; 0: every head takes the sum over all positions


@dataclass(frozen=True)
class Examples:
    """Token sequences, and the right answers at the positions that the loss reads; -1: no answer is asked there."""

    tokens: Int[np.ndarray, "batch pos"]
    targets: Int[np.ndarray, "batch query"]
    allowed: Bool[np.ndarray, "batch query vocab"] | None = None  # all answers that count as right; None: the target

    def take(self, chosen: Any) -> "Examples":
        """The examples at an index, a slice or a mask."""
        allowed = None if self.allowed is None else self.allowed[chosen]
        return Examples(self.tokens[chosen], self.targets[chosen], allowed)

    @property
    def n_answers(self) -> int:
        return int((self.targets >= 0).sum())

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Split:
    """Disjoint train and test examples."""

    train: Examples
    test: Examples


@dataclass(frozen=True)
class Family:
    """A task: its data, model shape, recipe, probe, and the context that instruments read.

    The fields of a subclass are the task's settings; its `__post_init__` raises MiscopeError for values out of range.
    """

    solved_accuracy: ClassVar[float] = 0.99  # test accuracy from which the task counts as learned
    solved_loss: ClassVar[float] = 1e-6  # test loss in nats from which it counts as grokked
    # control runs: what fails, in a sentence -> the settings of params.yaml that make it fail
    controls: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})

    def model(self) -> ModelConfig:
        """The shape of the model that learns this task."""
        raise NotImplementedError

    def recipe(self) -> Recipe:
        """The training recipe; a variant may override any field."""
        raise NotImplementedError

    def positions(self) -> tuple[int, ...]:
        """Positions at which the loss reads the logits."""
        raise NotImplementedError

    def split(self, data_seed: int) -> Split:
        """Train and test examples; the same seed gives the same split, on every machine.

        Where the task streams fresh examples, `train` is a fixed sample of the stream on which the loss is measured.
        """
        raise NotImplementedError

    def context(self, data_seed: int) -> "Context":
        """The fixed probe, and everything that instruments may know about it."""
        raise NotImplementedError

    def loss(self, logits: Any, batch: Mapping[str, Any]) -> Any:
        """The mean loss that training minimises, in place of the cross-entropy, from torch tensors.

        `logits` is [answer vocab], for all positions that ask for an answer; `batch` has `tokens` [batch pos],
        `targets` [answer], and where several answers are right, `allowed` [answer vocab].
        """
        raise NotImplementedError

    def metrics(self, logits: Float[np.ndarray, "batch query vocab"], examples: Examples) -> Mapping[str, float]:
        """The task's own numbers by name, stored in the curve and the record beside the losses; none by default."""
        return {}

    def stream(self, data_seed: int, step: int, batch_size: int) -> Examples | None:
        """Fresh examples for one update, decided by seed and step alone; None: the task has a fixed training set."""
        return None

    def label(self, seed: int, data_seed: int) -> str:
        """A short name made from the settings, such as `modadd_p113_s999`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Variant:
    """One model to train: a family with its settings, and seeds."""

    name: str
    family_name: str
    family: Family
    seed: int
    data_seed: int
    model: ModelConfig
    recipe: Recipe
    checkpoint_steps: tuple[int, ...]  # without the adaptive ones, which training decides
    adaptive: Adaptive | None = None
    branch: Branch | None = None
    family_code: str = ""  # the digest of the file of a family from outside
    imported: Imported | None = None
    control: str = ""  # the name of its control run, whose curves are drawn behind

    @property
    def label(self) -> str:
        return self.family.label(self.seed, self.data_seed)

    def declaration(self) -> dict[str, Any]:
        """All settings in params.yaml that decide the weights at every step, as plain data."""
        branch = self.branch and replace(self.branch, recipe=weights_only(self.branch.recipe))
        code = {"code": self.family_code} if self.family_code else {}
        weights = {"imported": asdict(self.imported)} if self.imported else {}
        return (
            code
            | weights
            | {
                "family": self.family_name,
                "settings": asdict(self.family),
                "seeds": {"seed": self.seed, "data_seed": self.data_seed},
                "model": self.model.declaration(),
                "recipe": weights_only(self.recipe).declaration(),
                "branch": asdict(branch) | {"recipe": branch.recipe.declaration()} if branch else {},
            }
        )


# ---------------------------------------------------------------- what an instrument sees


@dataclass(frozen=True)
class Probe:
    """The fixed inputs on which every checkpoint of a variant is examined."""

    tokens: Int[np.ndarray, "batch pos"]
    targets: Int[np.ndarray, " batch"]  # the right answer at the answer position
    is_train: Bool[np.ndarray, " batch"]  # whether the model trains on this input
    allowed: Bool[np.ndarray, "batch vocab"] | None = None  # all answers that count as right; None: the target alone
    distractors: Int[np.ndarray, " batch"] | None = None  # the wrong answer that a logit difference subtracts
    corrupted: Int[np.ndarray, "batch pos"] | None = None  # for each input a counterpart with another right answer
    following: Int[np.ndarray, "batch pos"] | None = None  # the right answer at every position; -1: none is asked there


@dataclass(frozen=True)
class Context:
    """Everything that a family tells the instruments about its probe, as data: instruments never import a family."""

    probe: Probe
    answer_position: int
    basis: Basis  # over the input tokens 0 .. basis.size - 1
    grid: tuple[int, ...] | None = None  # the shape, if the probe inputs are a full product grid, in C order
    grid_axes: tuple[str, ...] = ()  # one name per grid axis, such as ("a", "b")
    position_names: tuple[str, ...] = ()  # one per position, such as ("a", "b", "=")
    relevant_axes: tuple[int, ...] | None = None  # the grid axes that the answer depends on; None: all
    # what a linear probe may decode from the residual stream at the answer position: a class number per probe input
    latents: Mapping[str, Int[np.ndarray, " batch"]] = field(default_factory=lambda: MappingProxyType({}))
    solved_accuracy: float = Family.solved_accuracy
    solved_loss: float = Family.solved_loss


@runtime_checkable
class Network(Protocol):
    """A checkpoint's network as a function of its weights, for an instrument that needs gradients.

    Arguments and results are numpy arrays, so that instruments never import torch.

    A vector holds every parameter, float32, in an order that `named` and `vector` translate. `inputs` are indices of
    probe inputs. The loss is the mean cross-entropy in nats over all answers that the probe asks for: at every position
    of `following` where the probe has it, otherwise at the answer position; without weight decay. The forward pass runs
    in float32, the loss in float64.
    """

    @property
    def weights(self) -> Float32[np.ndarray, " parameter"]:
        """The vector of the checkpoint's own weights."""

    def vector(self, weights: Mapping[str, np.ndarray]) -> Float32[np.ndarray, " parameter"]:
        """Weights by TransformerLens' names as a vector."""

    def named(self, vector: Float[np.ndarray, " parameter"]) -> dict[str, Float32[np.ndarray, "..."]]:
        """A vector as weights, or their gradients, by TransformerLens' names and in its shapes."""

    def train_inputs(self, n_answers: int = 0, seed: int = 0) -> Int[np.ndarray, " inputs"]:
        """The probe inputs that the network trains on, in order; all if it trains on none.

        With `n_answers`, a sample of them that asks for about this many answers, drawn by the seed.
        """

    def losses(
        self, vectors: Float32[np.ndarray, "n parameter"], inputs: Int[np.ndarray, " inputs"]
    ) -> Float[np.ndarray, " n"]:
        """The loss with each of the vectors as the weights."""

    def gradients(
        self,
        vectors: Float32[np.ndarray, "n parameter"],
        inputs: Int[np.ndarray, " inputs"],
        answers_of: Int[np.ndarray, " inputs"] | None = None,
    ) -> tuple[Float[np.ndarray, " n"], Float32[np.ndarray, "n parameter"]]:
        """Loss and gradient with each of the vectors; `answers_of` gives each input the answers of another one."""

    def hessian(
        self, inputs: Int[np.ndarray, " inputs"]
    ) -> Callable[[Float[np.ndarray, "n parameter"]], Float[np.ndarray, "n parameter"]]:
        """The function from vectors to their products with the Hessian of the loss at the checkpoint's weights."""

    def embedding_gradients(
        self, inputs: Int[np.ndarray, " inputs"], answers: Int[np.ndarray, " inputs"]
    ) -> Float32[np.ndarray, "inputs pos d_model"]:
        """The gradient of each input's logit of one answer, with respect to the input's token embeddings."""

    def logits(
        self, vector: Float32[np.ndarray, " parameter"], inputs: Int[np.ndarray, " inputs"]
    ) -> Float32[np.ndarray, "inputs vocab"]:
        """The logits at the answer position, with the vector as the weights."""


@dataclass(frozen=True)
class Checkpoint:
    """A variant's weights at one step, with the activations on the probe that the instrument needs.

    `weights`: TransformerLens names (`blocks.0.attn.W_Q` is [head d_model d_head]), float32.
    `activations`: TransformerLens hook names. At `positions="answer"` the position axis of the query is dropped:
    `blocks.0.mlp.hook_post` is [batch neuron], `blocks.0.attn.hook_pattern` [batch head key]; `logits` [batch vocab].
    """

    step: int
    model: ModelConfig
    weights: Mapping[str, np.ndarray]
    activations: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))
    differentiable: Network | None = None  # for an instrument that needs gradients

    @property
    def network(self) -> Network:
        """The network as a function of its weights.

        Raises:
            MiscopeError: the instrument does not declare that it needs gradients.
        """
        if self.differentiable is None:
            raise MiscopeError('This checkpoint has no network to differentiate; needs=("gradients",) asks for one.')
        return self.differentiable

    def layers(self, hook: str) -> np.ndarray:
        """The activation `hook`, such as `mlp.hook_post`, of every layer, stacked on a first axis `layer`."""
        return np.stack([self.activations[f"blocks.{i}.{hook}"] for i in range(self.model.n_layers)])


def weight_order(name: str) -> tuple[int, int, str]:
    """The sort key of a weight's name: embeddings first, then the blocks by number, then the rest."""
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    layer = int(number) if number.isdigit() else 0
    return {"embed": 0, "pos_embed": 1, "blocks": 2}.get(first, 3), layer, name


def field_names(cls: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))
