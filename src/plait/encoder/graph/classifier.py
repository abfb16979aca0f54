"""What turns a network into a cross-encoder: one score for each pair of texts, from the first token's vector.

The heads of the families' ``ForSequenceClassification`` (transformers), by ``model_type``. All stay in f32.
"""

from __future__ import annotations

from collections.abc import Callable

from plait.encoder.graph.network import Network
from plait.encoder.graph.settings import activation_name

Head = Callable[[Network, str, str, int], str]


def _bert(network: Network, hidden: str, attended: str, width: int) -> str:
    """The pooler of BERT's pre-training (Devlin et al., 2018), and a linear layer."""
    first = _dense(network, _first(network, hidden), f"{network.prefix}pooler.dense", width, width)
    return _dense(network, network.activation(first, "tanh"), "classifier", width, 1)


def _roberta(network: Network, hidden: str, attended: str, width: int) -> str:
    return _two_layers(network, hidden, width, "tanh")


def _electra(network: Network, hidden: str, attended: str, width: int) -> str:
    return _two_layers(network, hidden, width, "gelu")


def _two_layers(network: Network, hidden: str, width: int, activation: str) -> str:
    first = _dense(network, _first(network, hidden), "classifier.dense", width, width)
    return _dense(network, network.activation(first, activation), "classifier.out_proj", width, 1)


def _distilbert(network: Network, hidden: str, attended: str, width: int) -> str:
    first = _dense(network, _first(network, hidden), "pre_classifier", width, width)
    return _dense(network, network.activation(first, "relu"), "classifier", width, 1)


def _modernbert(network: Network, hidden: str, attended: str, width: int) -> str:
    config = network.config
    pooling = config.text("classifier_pooling", "cls")
    if pooling not in ("cls", "mean"):
        raise config.error("classifier_pooling", f"is {pooling!r}; 'cls' or 'mean' is expected")
    value = _first(network, hidden) if pooling == "cls" else _mean(network, hidden, attended)
    value = _dense(network, value, "head.dense", width, width, config.flag("classifier_bias", False))
    value = network.activation(value, activation_name(config, "classifier_activation"))
    epsilon, biased = config.number("norm_eps", 1e-5), config.flag("norm_bias", False)
    scale = network.graph.constant(network.weights.take("head.norm.weight", width))
    shift = [network.graph.constant(network.weights.take("head.norm.bias", width))] if biased else []
    value = network.graph.add("LayerNormalization", value, scale, *shift, axis=-1, epsilon=epsilon)
    return _dense(network, value, "classifier", width, 1)


HEADS: dict[str, Head] = {
    "bert": _bert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "electra": _electra,
    "distilbert": _distilbert,
    "modernbert": _modernbert,
}
"""Each takes the last hidden state ``[texts, tokens, width]`` and the attention mask; gives ``[texts, 1]``.
"""


def _first(network: Network, hidden: str) -> str:
    """``[texts, width]``: the vector of each text's first token."""
    graph = network.graph
    first = graph.add("Gather", hidden, graph.constant([0], "int64"), axis=1)
    return graph.add("Squeeze", first, graph.constant([1], "int64"))


def _mean(network: Network, hidden: str, attended: str) -> str:
    """``[texts, width]``: the mean of the tokens that are attended."""
    graph = network.graph
    seen = graph.add("Unsqueeze", graph.add("Cast", attended, to=1), graph.constant([2], "int64"))
    tokens = graph.constant([1], "int64")
    total = graph.add("ReduceSum", graph.add("Mul", hidden, seen), tokens, keepdims=0)
    return graph.add("Div", total, graph.add("ReduceSum", seen, tokens, keepdims=0))


def _dense(network: Network, value: str, name: str, inputs: int, outputs: int, bias: bool = True) -> str:
    """A linear layer by the whole name of its weights."""
    weight = network.weights.take(f"{name}.weight", outputs, inputs)
    shift = network.weights.take(f"{name}.bias", outputs) if bias else None
    return network.linear(value, weight, shift, exact=True)
