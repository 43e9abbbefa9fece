"""Names of heads."""


def head_names(layers: int, heads: int) -> list[str]:
    """`head 2`, in a network of several layers `layer 1, head 2`, in the order layer by layer."""
    return [f"layer {i}, head {j}" if layers > 1 else f"head {j}" for i in range(layers) for j in range(heads)]
