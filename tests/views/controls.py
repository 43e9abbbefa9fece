"""Variants whose verdicts are known, analysed like any other: some learned nothing, some were solved by hand.

Of what learned nothing no view may claim that it is beyond its null; of a solution views must.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
import workspace

from miscope import catalog
from miscope.calibration.models import Addition, Induction
from miscope.core import Variant
from miscope.model.transformer import Transformer
from miscope.model.weights import load_weights
from miscope.training import imported
from miscope.workspace import analysis, configuration, files

STEPS = (0, 50, 100, 150, 200, 300, 400, 600)
TOY = "d_model: 32, n_heads: 2, d_head: 16, d_mlp: 96"
ADDITION, INDUCTION = Addition(), Induction()


def _shape(solution: Addition | Induction) -> str:
    model = solution.model
    names = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp")
    return "{" + ", ".join(f"{name}: {getattr(model, name)}" for name in names) + "}"


VARIANTS = f"""\
variants:
  redrawn: {{family: modulo_addition, modulus: 23, steps: 600, model: {{{TOY}}}}}
  walk: {{family: modulo_addition, modulus: 23, steps: 600, model: {{{TOY}}}}}
  redrawn_parity: {{family: parity, n_bits: 7, steps: 600, model: {{{TOY}}}}}
  redrawn_induction: {{family: induction_heads, n_tokens: 16, length: 23, max_period: 8, test_periods: [5, 7], \
steps: 600, model: {{d_model: 32, n_heads: 4, d_head: 8}}}}
  solved: {{family: modulo_addition, modulus: {ADDITION.p}, train_fraction: 0.4, steps: 600, model: {_shape(ADDITION)}}}
  solved_induction: {{family: induction_heads, n_tokens: 16, length: 23, max_period: 8, test_periods: [5, 7], \
steps: 600, model: {_shape(INDUCTION)}}}
"""
NOTHING = ("redrawn", "walk", "redrawn_parity", "redrawn_induction")
SOLVED = {"solved": ADDITION, "solved_induction": INDUCTION}


def written(root: Path) -> Path:
    """A workspace of untrained networks, drawn anew at each step or on a walk, and of ways to a solution."""
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(f"{VARIANTS}\n{workspace.instruments()}", encoding="utf-8")
    for variant in configuration.load(root).variants.values():
        imported.written(variant, files.folder_of(root, variant.name), _networks(variant), {"files": {}})
        analysis.write_probe(root, variant.name)
        analysis.bring_all_up_to_date(root, variant.name, catalog.instruments())
    return root


def _networks(variant: Variant) -> Iterator[tuple[int, Transformer]]:
    if variant.name in SOLVED:
        return _solved(variant, SOLVED[variant.name])
    return _walk(variant) if variant.name.startswith("walk") else _redrawn(variant)


def _redrawn(variant: Variant) -> Iterator[tuple[int, Transformer]]:
    for seed, step in enumerate(STEPS):
        yield step, Transformer(variant.model, 1000 + seed)


def _walk(variant: Variant) -> Iterator[tuple[int, Transformer]]:
    """Steps of independent Gaussian numbers, each of a twentieth of the weights' own size."""
    network, generator = Transformer(variant.model, 1), torch.Generator().manual_seed(0)
    for step in STEPS:
        yield step, network
        with torch.no_grad():
            for weights in network.parameters():
                weights += 0.05 * weights.std() * torch.randn(weights.shape, generator=generator)


def _solved(variant: Variant, solution: Addition | Induction) -> Iterator[tuple[int, Transformer]]:
    """In a straight line from an untrained network to the solution."""
    start = Transformer(variant.model, 1).state_dict()
    end = load_weights(Transformer(variant.model), solution.checkpoint().weights).state_dict()
    for step in STEPS:
        network = Transformer(variant.model)
        network.load_state_dict({name: torch.lerp(start[name], end[name], step / STEPS[-1]) for name in start})
        yield step, network
