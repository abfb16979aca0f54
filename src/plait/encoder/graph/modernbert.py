"""ModernBERT (Warner et al., 2024): rotary positions, windows, gated linear units, few biases."""

from __future__ import annotations

import numpy as np

from plait.encoder.graph.network import UNSEEN, Network
from plait.encoder.graph.settings import activation_name, head_width
from plait.encoder.json_file import JsonFile

MARK = "embeddings.tok_embeddings.weight"
GLOBAL, LOCAL = "full_attention", "sliding_attention"
_THETA = {GLOBAL: ("global_rope_theta", 160_000.0), LOCAL: ("local_rope_theta", 10_000.0)}


def modernbert(network: Network) -> tuple[str, int]:
    """Add the network; gives its last hidden state ``[texts, tokens, width]`` and its width."""
    config, graph = network.config, network.graph
    inputs = network.inputs()
    width = config.count("hidden_size")
    epsilon = config.number("norm_eps", 1e-5)
    _, head = head_width(config, "num_attention_heads", width)
    value = network.lookup(network.take(MARK, network.rows(MARK), width), inputs.ids)
    value = network.norm(value, "embeddings.norm", width, epsilon, _norm_bias(config))
    places = network.positions(inputs.ids)
    whole = network.mask(inputs.attended)
    masks = {GLOBAL: whole, LOCAL: graph.add("Add", whole, _window(network, places))}
    kinds = _layer_kinds(config)
    rotations = {kind: _rotation(network, places, head, kind) for kind in sorted(set(kinds))}
    for layer, kind in enumerate(kinds):
        value = _layer(network, value, masks[kind], rotations[kind], layer)
    return network.norm(value, "final_norm", width, epsilon, _norm_bias(config)), width


def longest(config: JsonFile) -> int:
    """How many tokens the network was made for."""
    return config.count("max_position_embeddings", 8192)


def _norm_bias(config: JsonFile) -> bool:
    return config.flag("norm_bias", False)


def _layer_kinds(config: JsonFile) -> tuple[str, ...]:
    """Which layers see the whole text and which a window: a list, or every n-th the whole."""
    count = config.count("num_hidden_layers")
    if config.has("layer_types"):
        kinds = config.texts("layer_types")
        if len(kinds) != count or not {GLOBAL, LOCAL}.issuperset(kinds):
            raise config.error("layer_types", f"must name {GLOBAL} or {LOCAL} for each of {count} layers")
        return kinds
    every = config.count("global_attn_every_n_layers", 3)
    return tuple(LOCAL if layer % every else GLOBAL for layer in range(count))


def _window(network: Network, places: str) -> str:
    """What is added to scores outside of the window: f32 ``[tokens, tokens]``."""
    graph = network.graph
    half = network.config.count("local_attention", 128, least=2) // 2
    down = graph.add("Unsqueeze", places, graph.constant([1], "int64"))
    distance = graph.add("Abs", graph.add("Sub", down, places))
    near = graph.add("LessOrEqual", distance, graph.constant(half, "int64"))
    # Half of it, so that a token neither attended nor near does not become minus infinity.
    return graph.add("Where", near, graph.constant(0.0), graph.constant(UNSEEN / 2))


def _theta(config: JsonFile, kind: str) -> float:
    """The base of the rotations: of one layer kind, in the place where transformers 5 or 4 keep it."""
    key, default = _THETA[kind]
    if config.has("rope_scaling"):
        raise config.error("rope_scaling", "is set; scaled rotary positions are not built")
    if config.has("rope_parameters") and config.part("rope_parameters").has(kind):
        part = config.part("rope_parameters").part(kind)
        if part.text("rope_type", "default") != "default":
            raise part.error("rope_type", f"is {part.text('rope_type')!r}; only 'default' is built")
        return part.number("rope_theta", config.number(key, default))
    if kind == LOCAL and config.values.get(key, default) is None:  # transformers 4: the same as globally
        return _theta(config, GLOBAL)
    return config.number(key, default)


def _rotation(network: Network, places: str, head: int, kind: str) -> tuple[str, str]:
    """Cosines and sines f32 ``[tokens, head]`` (Su et al., "RoFormer", 2021)."""
    graph = network.graph
    exponents = np.arange(0, head, 2, dtype=np.float32) / np.float32(head)
    speeds = (1.0 / np.power(np.float32(_theta(network.config, kind)), exponents)).astype(np.float32)
    column = graph.add("Unsqueeze", graph.add("Cast", places, to=1), graph.constant([1], "int64"))
    angles = graph.add("Mul", column, graph.constant(np.concatenate([speeds, speeds])))
    return graph.add("Cos", angles), graph.add("Sin", angles)


def _rotate(network: Network, value: str, rotation: tuple[str, str], head: int) -> str:
    graph = network.graph
    halves = graph.constant([head // 2, head // 2], "int64")
    first, second = graph.add_many("Split", 2, value, halves, axis=-1)
    turned = graph.add("Concat", graph.add("Neg", second), first, axis=-1)
    cosines, sines = rotation
    return graph.add("Add", graph.add("Mul", value, cosines), graph.add("Mul", turned, sines))


def _layer(network: Network, value: str, mask: str, rotation: tuple[str, str], number: int) -> str:
    config, graph = network.config, network.graph
    name = f"layers.{number}"
    width = config.count("hidden_size")
    heads, head = head_width(config, "num_attention_heads", width)
    epsilon, norm_bias = config.number("norm_eps", 1e-5), _norm_bias(config)
    biased = config.flag("attention_bias", False)
    start = network.norm(value, f"{name}.attn_norm", width, epsilon, norm_bias) if number else value
    joined = network.dense(start, f"{name}.attn.Wqkv", width, 3 * width, biased)
    sizes = graph.constant([width] * 3, "int64")
    query, key, own = (
        network.split_heads(part, heads, head) for part in graph.add_many("Split", 3, joined, sizes, axis=2)
    )
    query, key = (_rotate(network, part, rotation, head) for part in (query, key))
    seen = network.attention(query, key, own, mask, head, width)
    value = graph.add("Add", value, network.dense(seen, f"{name}.attn.Wo", width, width, biased))
    inner = network.norm(value, f"{name}.mlp_norm", width, epsilon, norm_bias)
    biased, wide = config.flag("mlp_bias", False), config.count("intermediate_size")
    inner = network.dense(inner, f"{name}.mlp.Wi", width, 2 * wide, biased)
    own, gate = graph.add_many("Split", 2, inner, graph.constant([wide, wide], "int64"), axis=2)
    inner = graph.add("Mul", network.activation(own, activation_name(config, "hidden_activation")), gate)
    return graph.add("Add", value, network.dense(inner, f"{name}.mlp.Wo", wide, width, biased))
