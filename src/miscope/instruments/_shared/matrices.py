"""Weight matrices by kind."""


def kinds(names: tuple[str, ...]) -> tuple[str, ...]:
    """The kind of each matrix: `W_E`, `W_Q`; in a network of several layers `layer 1 W_Q`. Heads share a kind."""
    n_layers = len({name.split(".")[1] for name in names if name.startswith("blocks.")})
    return tuple(_kind(name, n_layers) for name in names)


def _kind(name: str, n_layers: int) -> str:
    parts = name.split(".")
    leaf = next(part for part in reversed(parts) if not part.isdigit())
    return f"layer {parts[1]} {leaf}" if parts[0] == "blocks" and n_layers > 1 else leaf
