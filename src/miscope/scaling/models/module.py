"""Any `nn.Module` as a model to scale: its forward gets what it asks for by name, and its logits are the output."""

import inspect
from typing import Any

from torch import nn

from miscope.core import MiscopeError
from miscope.scaling.models.base import ScalableModule
from miscope.scaling.protocols import Batch


class Module(ScalableModule):
    """Of `model`, a module that Hydra makes from a `_target_` of its own: `forward(input_ids, attention_mask)`, say.

    Every argument of its forward that the batch has is passed; an output with `logits` counts as its logits.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise MiscopeError(f"`model` is {type(model).__name__}, no torch.nn.Module; give it a `_target_`.")
        self.model = model
        self._takes = frozenset(inspect.signature(model.forward).parameters)

    def forward(self, batch: Batch) -> Any:
        """What the module gives, its logits if it names them."""
        output = self.model(**{name: value for name, value in batch.items() if name in self._takes - {"labels"}})
        return getattr(output, "logits", output)
