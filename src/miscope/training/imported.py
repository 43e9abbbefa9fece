"""A training that took place elsewhere: its networks as a variant's checkpoints, curve, metrics and record.

Losses are measured here, at the imported steps alone, on the variant's own data. What only its training knew (tokens,
FLOPs, seconds) is absent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from miscope import keys
from miscope.core import Variant
from miscope.maths.statistics import lasting_from
from miscope.model.transformer import Transformer
from miscope.model.weights import weights
from miscope.training.batches import Batches
from miscope.training.device import device_for, versions
from miscope.training.run import evaluation
from miscope.workspace import files, store


def written(
    variant: Variant, folder: files.Folder, networks: Iterable[tuple[int, Transformer]], source: Mapping[str, Any]
) -> dict[str, Any]:
    """Write each network as it comes, in order of steps, then what is said of all; what comes back is the record.

    `source` stands in the record under `imported`. Checkpoints of other steps are removed.
    """
    device = device_for(variant.recipe)
    batches = Batches(variant.family, variant.data_seed, variant.recipe, variant.model, device)
    curve, n_parameters = [], 0
    for step, network in networks:
        save(folder, step, network)
        n_parameters = sum(parameter.numel() for parameter in network.parameters())
        curve.append(evaluation(step, batches, network.to(device.torch), variant))
    files.sweep(folder.checkpoints, keep={folder.checkpoint(e.step) for e in curve})
    last: dict[str, Any] = {name: value for name, value in asdict(curve[-1]).items() if name != "step"}
    solved = int(lasting_from(np.array([e.test_accuracy >= variant.family.solved_accuracy for e in curve])))
    last |= {"solved_step": curve[solved].step} if solved < len(curve) else {}
    record = {
        "variant": variant.name,
        "label": variant.label,
        "trained_as": variant.declaration(),
        "imported": dict(source),
        "family": variant.family_name,
        "settings": asdict(variant.family),
        "seeds": {"data_seed": variant.data_seed},
        "model": variant.model.declaration(),
        "device": device.describe(),
        "versions": versions(),
        "checkpoints": len(curve),
        "parameters": n_parameters,
        "metrics": last | {"steps": curve[-1].step},
    }
    files.write(folder.curves, pd.DataFrame(map(asdict, curve)).to_csv(index=False, lineterminator="\n"))
    files.write(folder.metrics, files.pretty_json(record["metrics"]))
    files.write(folder.record, files.pretty_json(record))
    return record


def save(folder: files.Folder, step: int, network: Transformer) -> None:
    """Write one network as the checkpoint of a step, under a key that says that it was not trained here."""
    named = weights(network)
    key = keys.digest("imported", keys.digest_of_arrays(named))
    store.save_checkpoint(folder.checkpoint(step), step, network.config, named, key)
