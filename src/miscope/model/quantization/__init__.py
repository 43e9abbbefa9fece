"""Integer arithmetic for the model's Linears: INT8 and INT4, after training or within it.

`model` is the door: prepare, quantize, ask, undo. `grid` says which numbers a quantized weight can be, `kernels` how
they are multiplied, `linear` and `prepared` are what stands in a Linear's place, `storage` the file, `speed` the
stopwatch. An instrument that asks what a weight would become asks `grid`.
"""
