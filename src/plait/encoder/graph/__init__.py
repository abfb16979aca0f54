"""Weights and settings of a network to an ONNX graph, without torch: families and projections.

A new family is a function that adds its layers to a ``Network`` and an entry in ``FAMILIES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plait.encoder.graph import bert, distilbert, modernbert
from plait.encoder.graph.classifier import HEADS
from plait.encoder.graph.network import ACTIVATIONS, Network, Precision
from plait.encoder.json_file import JsonFile
from plait.encoder.weights import Weights
from plait.errors import CheckpointError

__all__ = [
    "ACTIVATIONS",
    "BUILDER_VERSION",
    "FAMILIES",
    "Family",
    "Precision",
    "Projection",
    "longest_text",
    "write_classifier",
    "write_graph",
]

BUILDER_VERSION = 1
"""Raised when the graphs change, so that cached ones are made again."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of network.

    Attributes:
        mark: a weight that each of them has; what its name begins with is the prefix of all.
        add: adds the layers; gives the last hidden state and its width.
        longest: how many tokens a text can have.
    """

    mark: str
    add: Callable[[Network], tuple[str, int]]
    longest: Callable[[JsonFile], int]


_BERT = Family(bert.MARK, bert.bert, bert.longest)
FAMILIES = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": Family(distilbert.MARK, distilbert.distilbert, distilbert.longest),
    "modernbert": Family(modernbert.MARK, modernbert.modernbert, modernbert.longest),
}
"""By ``model_type`` in ``config.json``."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A linear layer on each token's vector, behind the network.

    Attributes:
        weights: the files of its weights.
        activation: one of ``ACTIVATIONS``, or "" for none.
        bias: whether there is one.
        residual: whether what comes in is added to what goes out, through a layer of its own if the widths
            differ.
    """

    weights: tuple[Path, ...]
    activation: str = ""
    bias: bool = False
    residual: bool = False


def write_graph(
    path: Path,
    config: JsonFile,
    files: tuple[Path, ...],
    projections: tuple[Projection, ...],
    precision: Precision = "f32",
) -> int:
    """Write the ONNX graph of a network and its projections.

    Inputs: ``input_ids``, ``attention_mask`` and ``token_type_ids``, i64 ``[texts, tokens]``. Output:
    ``output``, f32 ``[texts, tokens, dim]``, not normalised.

    Args:
        path: the file to write.
        config: the network's ``config.json``.
        files: the files of its weights.
        projections: what comes behind it, in order.
        precision: "int8" stores weights in 8 bits; projections stay in f32.

    Returns:
        ``dim``.

    Raises:
        CheckpointError: the family is unknown, or weights are missing or do not fit the settings.
    """
    network = _open(config, files, precision)
    value, width = FAMILIES[config.text("model_type")].add(network)
    for projection in projections:
        value, width = _project(network, value, width, projection)
    network.graph.output(value, "output", "float32", ("texts", "tokens", width))
    network.graph.save(path)
    return width


def write_classifier(
    path: Path, config: JsonFile, files: tuple[Path, ...], precision: Precision = "f32"
) -> None:
    """Write the ONNX graph of a network that gives one score for each pair of texts (a cross-encoder).

    Inputs as for ``write_graph``. Output: ``output``, f32 ``[texts, 1]``, before any activation.

    Args:
        path, config, files: as for ``write_graph``.
        precision: "int8" stores weights in 8 bits, but for the layers behind the last hidden state.

    Raises:
        CheckpointError: the family is unknown, or weights are missing or do not fit the settings.
    """
    network = _open(config, files, precision)
    kind = config.text("model_type")
    value, width = FAMILIES[kind].add(network)
    network.graph.output(
        HEADS[kind](network, value, "attention_mask", width), "output", "float32", ("texts", 1)
    )
    network.graph.save(path)


def longest_text(config: JsonFile) -> int:
    """How many tokens a text may have in this network."""
    return FAMILIES[config.text("model_type")].longest(config)


def _open(config: JsonFile, files: tuple[Path, ...], precision: Precision = "f32") -> Network:
    family = FAMILIES[config.text("model_type")]
    weights = Weights(files)
    prefixes = [name.removesuffix(family.mark) for name in weights if name.endswith(family.mark)]
    if len(prefixes) != 1:
        names = ", ".join(str(path) for path in files)
        raise CheckpointError(
            f"{names}: {config.path} says model_type {config.text('model_type')!r}, so one weight should "
            f"be named "
            f"{family.mark}, but {len(prefixes)} are"
        )
    return Network(config, weights, precision, prefixes[0])


def _project(network: Network, value: str, width: int, projection: Projection) -> tuple[str, int]:
    weights = Weights(projection.weights)
    dim = weights.shape("linear.weight")[0]
    bias = weights.take("linear.bias", dim) if projection.bias else None
    result = network.linear(value, weights.take("linear.weight", dim, width), bias, exact=True)
    if projection.activation:
        result = network.activation(result, projection.activation)
    if projection.residual:
        if dim != width:
            value = network.linear(value, weights.take("residual.weight", dim, width), None, exact=True)
        result = network.graph.add("Add", result, value)
    return result, dim
