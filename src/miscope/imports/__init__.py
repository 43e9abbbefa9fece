"""Models that were trained elsewhere, as variants that every instrument can analyse. Such a variant is never trained.

    variants:
      published:
        family: modulo_addition      # the task: its settings decide the probe
        modulus: 113
        imported: weights/grokked.safetensors    # or a folder of files with a step each for a name
      tiny_qwen:
        _target_: miscope.imports.ImportedText
        folder: ../checkpoints_of_tiny_qwen      # step0, step1000, ..., each in Hugging Face's layout
        path: corpus.txt

`declare` writes an entry of the first kind to params.yaml, for `python -m miscope import`. The stage that trains calls
`bring_in` where a variant `is_imported`: it checks every name and shape, and writes checkpoints, curve and record.
`weight_files` reads TransformerLens' names and layouts of published models, `tasks` are what models are examined on.
"""

from miscope.imports.checkpoints import bring_in, declare, is_imported
from miscope.imports.tasks import ImportedText, PairAddition, ShuffledAddition
from miscope.imports.weight_files import Weights, read

__all__ = [
    "ImportedText", "PairAddition", "ShuffledAddition", "Weights", "bring_in", "declare", "is_imported", "read",
]  # fmt: skip
