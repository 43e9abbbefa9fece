"""The loop repeats a published run of modular addition: TransformerLens' grokking demo, p = 113, split 598, model 999.

The numbers are of that recipe run in float32 in its own code; ours differ by the order of float32 sums, which training
then amplifies. The demo measures the train loss before an update and the test loss after it.

Source: Nanda et al. 2023, arXiv:2301.05217; TransformerLens, demos/Grokking_Demo.ipynb.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from miscope.core import Variant
from miscope.families.modulo_addition import ModuloAddition
from miscope.model.memory import keep_freed_memory
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.device import device_for
from miscope.training.trainer import Evaluation, lone
from miscope.workspace import store

# update -> (train loss before it, test loss after it, relative tolerance)
PUBLISHED = {
    0: (4.7358858, 4.7321729, 1e-6),
    1: (4.7274707, 4.7339996, 1e-6),
    2: (4.7225084, 4.7369604, 1e-6),
    5: (4.7143042, 4.7456504, 1e-6),
    10: (4.7023139, 4.7535817, 1e-6),
    50: (4.2683902, 5.495914, 1e-3),
    100: (2.8869599, 7.7196866, 2e-2),
}
FAMILY = ModuloAddition(modulus=113, train_fraction=0.3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, Evaluation], dict[str, np.ndarray]]:
    """The evaluations by step, and the weights after one update."""
    keep_freed_memory()
    steps = tuple(sorted({update + after for update in PUBLISHED for after in (0, 1)}))
    recipe = replace(FAMILY.recipe(), steps=steps[-1], eval_every=steps[-1])
    variant = Variant("published", "modulo_addition", FAMILY, 999, 598, FAMILY.model(), recipe, steps)
    evaluations, trainer = {}, lone(variant, device_for(recipe))
    model, after_one = trainer.models[0], tmp_path_factory.mktemp("run") / "000001.safetensors"
    for step in range(steps[-1] + 1):
        if step in steps:
            evaluations[step] = model.evaluate(step)
        if step == 1:
            model.save(after_one, step, "")
        trainer.advance()
    return evaluations, dict(store.load_checkpoint(after_one).weights)


def participation_ratio(matrix: np.ndarray) -> float:
    """(sum s)^2 / sum s^2 of the singular values s."""
    s = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    return s.sum() ** 2 / (s**2).sum()


@pytest.mark.parametrize("update", PUBLISHED)
def test_losses_are_the_published_ones(run: tuple, update: int) -> None:
    train_loss, test_loss, tolerance = PUBLISHED[update]
    assert run[0][update].train_loss == pytest.approx(train_loss, rel=tolerance)
    assert run[0][update + 1].test_loss == pytest.approx(test_loss, rel=tolerance)


def test_participation_ratios_after_one_update_are_the_published_ones(run: tuple) -> None:
    w = run[1]
    ratios = {
        "W_E": participation_ratio(w["embed.W_E"]),  # all 114 rows, `=` among them
        "W_in": participation_ratio(w["blocks.0.mlp.W_in"]),
        "W_out": participation_ratio(w["blocks.0.mlp.W_out"]),
        "W_O": np.mean([participation_ratio(head) for head in w["blocks.0.attn.W_O"]]),
    }
    published = {"W_E": 86.036438, "W_in": 119.73085, "W_out": 119.913147, "W_O": 29.851951}
    assert ratios == pytest.approx(published, rel=1e-6)


def test_the_split_is_the_published_one() -> None:
    split = FAMILY.split(598)
    assert (len(split.train), len(split.test)) == (3830, 8939)
    assert split.train.tokens[:5, :2].tolist() == [[21, 31], [30, 98], [47, 10], [86, 21], [99, 83]]
    assert (split.train.tokens[:, 2] == 113).all()
    assert split.train.targets[:5].flatten().tolist() == [52, 15, 57, 107, 69]
    pairs = np.concatenate([split.train.tokens, split.test.tokens])
    assert len(np.unique(pairs, axis=0)) == 113**2


def test_the_first_weights_are_drawn_as_published() -> None:
    """One seed, then every matrix in this order: the global generator in the demo, a generator of its own here."""
    shapes = {
        "embed.W_E": (114, 128), "pos_embed.W_pos": (3, 128), "blocks.0.attn.W_Q": (4, 128, 32),
        "blocks.0.attn.W_O": (4, 32, 128), "blocks.0.attn.W_K": (4, 128, 32), "blocks.0.attn.W_V": (4, 128, 32),
        "blocks.0.mlp.W_in": (128, 512), "blocks.0.mlp.W_out": (512, 128), "unembed.W_U": (128, 113),
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(999)
        drawn = {name: torch.randn(shape) * (0.8 / np.sqrt(128)) for name, shape in shapes.items()}
    stored = weights(Transformer(FAMILY.model(), seed=999))
    assert stored.keys() == drawn.keys()
    for name, values in drawn.items():
        np.testing.assert_array_equal(stored[name], values.numpy(), err_msg=name)
    assert sum(w.size for w in stored.values()) == 226_048
