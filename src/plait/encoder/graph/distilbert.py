"""DistilBERT (Sanh et al., 2019): BERT with half the layers, and without token types."""

from __future__ import annotations

from plait.encoder.graph.network import Network
from plait.encoder.graph.settings import activation_name, head_width
from plait.encoder.json_file import JsonFile

MARK = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
EPSILON = 1e-12


def distilbert(network: Network) -> tuple[str, int]:
    """Add the network; gives its last hidden state ``[texts, tokens, width]`` and its width."""
    config, graph = network.config, network.graph
    inputs = network.inputs()
    width = config.count("dim")
    words = network.lookup(network.take(MARK, network.rows(MARK), width), inputs.ids)
    table = network.take(POSITIONS, longest(config), width)
    places = network.first_rows(table, inputs.ids)
    value = network.norm(graph.add("Add", words, places), "embeddings.LayerNorm", width, EPSILON)
    mask = network.mask(inputs.attended)
    for layer in range(config.count("n_layers")):
        value = _layer(network, value, mask, f"transformer.layer.{layer}", width)
    return value, width


def longest(config: JsonFile) -> int:
    """How many tokens there are positions for."""
    return config.count("max_position_embeddings", 512)


def _layer(network: Network, value: str, mask: str, name: str, width: int) -> str:
    config, graph = network.config, network.graph
    heads, head = head_width(config, "n_heads", width)
    names = [f"{name}.attention.{part}_lin" for part in "qkv"]
    query, key, own = (
        network.split_heads(part, heads, head) for part in network.dense_together(value, names, width)
    )
    seen = network.attention(query, key, own, mask, head, width)
    seen = network.dense(seen, f"{name}.attention.out_lin", width, width)
    value = network.norm(graph.add("Add", seen, value), f"{name}.sa_layer_norm", width, EPSILON)
    wide = config.count("hidden_dim")
    inner = network.dense(value, f"{name}.ffn.lin1", width, wide)
    inner = network.dense(
        network.activation(inner, activation_name(config, "activation")), f"{name}.ffn.lin2", wide, width
    )
    return network.norm(graph.add("Add", inner, value), f"{name}.output_layer_norm", width, EPSILON)
