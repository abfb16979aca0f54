"""BERT (Devlin et al., 2018) and the families that share its layers: RoBERTa, XLM-R, CamemBERT, ELECTRA."""

from __future__ import annotations

from plait.encoder.graph.network import Network
from plait.encoder.graph.settings import activation_name, head_width
from plait.encoder.json_file import JsonFile

MARK = "embeddings.word_embeddings.weight"


def bert(network: Network) -> tuple[str, int]:
    """Add the network; gives its last hidden state ``[texts, tokens, width]`` and its width."""
    config = network.config
    if config.flag("is_decoder", False):
        raise config.error("is_decoder", "is true; only networks that see the whole text are built")
    inputs = network.inputs()
    width = config.count("hidden_size")
    narrow = config.count("embedding_size", width) if network.has("embeddings_project.weight") else width
    value = _embeddings(network, inputs.ids, inputs.types, narrow)
    if narrow != width:
        value = network.dense(value, "embeddings_project", narrow, width)
    mask = network.mask(inputs.attended)
    for layer in range(config.count("num_hidden_layers")):
        value = _layer(network, value, mask, f"encoder.layer.{layer}", width)
    return value, width


def longest(config: JsonFile) -> int:
    """How many tokens there are positions for."""
    return config.count("max_position_embeddings", 512) - _first_position(config)


def _first_position(config: JsonFile) -> int:
    """RoBERTa counts positions from behind the padding token's number, BERT from 0."""
    if config.text("model_type") in ("bert", "electra"):
        return 0
    return config.count("pad_token_id", 1, least=0) + 1


def _embeddings(network: Network, ids: str, types: str, width: int) -> str:
    config, graph = network.config, network.graph
    kind = config.text("position_embedding_type", "absolute")
    if kind != "absolute":
        raise config.error("position_embedding_type", f"is {kind!r}; only 'absolute' is built")
    words = network.lookup(network.take(MARK, network.rows(MARK), width), ids)
    rows = config.count("max_position_embeddings", 512)
    table = network.take("embeddings.position_embeddings.weight", rows, width)
    if first := _first_position(config):
        # Tokens other than padding are numbered; a text without padding has 0, 1, 2 ...
        padding = graph.constant(first - 1, "int64")
        real = graph.add("Cast", graph.add("Not", graph.add("Equal", ids, padding)), to=7)
        counted = graph.add("CumSum", real, graph.constant(1, "int64"))
        numbers = graph.add("Add", graph.add("Mul", counted, real), padding)
        places = graph.add("Gather", graph.constant(table), numbers, axis=0)
    else:
        places = network.first_rows(table, ids)
    value = graph.add("Add", words, places)
    rows = config.count("type_vocab_size", 2)
    kinds = network.take("embeddings.token_type_embeddings.weight", rows, width)
    value = graph.add("Add", value, graph.add("Gather", graph.constant(kinds), types, axis=0))
    return network.norm(value, "embeddings.LayerNorm", width, config.number("layer_norm_eps", 1e-12))


def _layer(network: Network, value: str, mask: str, name: str, width: int) -> str:
    config, graph = network.config, network.graph
    heads, head = head_width(config, "num_attention_heads", width)
    epsilon = config.number("layer_norm_eps", 1e-12)
    names = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    query, key, own = (
        network.split_heads(part, heads, head) for part in network.dense_together(value, names, width)
    )
    seen = network.attention(query, key, own, mask, head, width)
    seen = network.dense(seen, f"{name}.attention.output.dense", width, width)
    value = network.norm(graph.add("Add", seen, value), f"{name}.attention.output.LayerNorm", width, epsilon)
    wide = config.count("intermediate_size")
    inner = network.dense(value, f"{name}.intermediate.dense", width, wide)
    inner = network.activation(inner, activation_name(config, "hidden_act"))
    inner = network.dense(inner, f"{name}.output.dense", wide, width)
    return network.norm(graph.add("Add", inner, value), f"{name}.output.LayerNorm", width, epsilon)
