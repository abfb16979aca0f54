"""What several families read from ``config.json`` in the same way."""

from __future__ import annotations

from plait.encoder.graph.network import ACTIVATIONS
from plait.encoder.json_file import JsonFile


def head_width(config: JsonFile, key: str, width: int) -> tuple[int, int]:
    """The number of attention heads and the width of each."""
    heads = config.count(key)
    if width % heads:
        raise config.error(key, f"is {heads}, which does not divide the width {width}")
    return heads, width // heads


def activation_name(config: JsonFile, key: str) -> str:
    """The name of an activation that can be built."""
    name = config.text(key, "gelu")
    if name not in ACTIVATIONS:
        raise config.error(key, f"is {name!r}; known are {', '.join(ACTIVATIONS)}")
    return name
