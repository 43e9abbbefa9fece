"""Integer arithmetic for the model's Linears: INT8 and INT4, after training or within it.

`grid` says which numbers a quantized weight can be, without torch; an instrument that asks what a weight would become
asks it. `kernels` says the same of activations, and how both are multiplied, `linear` what stands in a Linear's place.
`model` holds the functions above.
"""

from typing import TYPE_CHECKING

from miscope.doors import door

if TYPE_CHECKING:  # the grid is imported without torch
    from miscope.quantization.grid import Grid, Scheme, nearest_grid
    from miscope.quantization.model import (
        Quantization,
        dequantize_model,
        is_model_quantized,
        load_quantized,
        prepare_model_for_quantization,
        quantization_of,
        quantize,
        save_quantized,
        stored_bytes,
    )

__all__ = [
    "Grid", "Quantization", "Scheme", "dequantize_model", "is_model_quantized", "load_quantized", "nearest_grid",
    "prepare_model_for_quantization", "quantization_of", "quantize", "save_quantized", "stored_bytes",
]  # fmt: skip
__getattr__ = door(__name__, ("grid", "model"), __all__)
