"""Layers that the families of networks share, as operators of ONNX, in f32 or with 8-bit weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from plait.encoder.graph.onnx_file import Graph
from plait.encoder.json_file import JsonFile
from plait.encoder.weights import Weights
from plait.types import FloatArray

Precision: TypeAlias = Literal["f32", "int8"]
LARGEST_LEVEL = 127
LARGEST_PAIR = 128
"""Without VNNI, AVX2 adds u8 x s8 products of neighbours in 16 bits: 255 x 128 does not saturate."""
UNSEEN = float(np.finfo(np.float32).min)

_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu": ("Gelu", {}),
    "gelu_python": ("Gelu", {}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu_fast": ("Gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "mish": ("Mish", {}),
}
ACTIVATIONS = (*_ACTIVATIONS, "silu", "swish")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The graph's inputs, i64 ``[texts, tokens]``."""

    ids: str
    attended: str
    types: str


class Network:
    """Layers on top of a graph. Values are named by strings, as in ``Graph``."""

    def __init__(
        self, config: JsonFile, weights: Weights, precision: Precision = "f32", prefix: str = ""
    ) -> None:
        """Begin a network.

        Args:
            config: its ``config.json``.
            weights: its weights.
            precision: "int8" stores weights in 8 bits and multiplies in integers.
            prefix: what the weights' names begin with in these files.
        """
        self.graph = Graph()
        self.config = config
        self.weights = weights
        self.precision = precision
        self.prefix = prefix
        self._quantised: dict[str, list[str]] = {}

    def inputs(self) -> Inputs:
        """Declare the graph's inputs."""
        shape = ("texts", "tokens")
        names = [
            self.graph.input(name, "int64", shape)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        return Inputs(*names)

    def has(self, name: str) -> bool:
        """Whether a weight is there."""
        return self.prefix + name in self.weights

    def take(self, name: str, *shape: int) -> FloatArray:
        """A weight; CheckpointError if it is not there or has another shape."""
        return self.weights.take(self.prefix + name, *shape)

    def rows(self, name: str) -> int:
        """The first size of a weight: its settings may be larger or smaller than what was saved."""
        return self.weights.shape(self.prefix + name)[0] if self.has(name) else 0

    def lookup(self, table: FloatArray, ids: str) -> str:
        """Rows of f32 ``[n, width]`` by their numbers."""
        graph = self.graph
        if self.precision == "f32":
            return graph.add("Gather", graph.constant(table), ids, axis=0)
        levels, scales = quantise(table, pairs=False)
        found = graph.add("Cast", graph.add("Gather", graph.constant(levels, "int8"), ids, axis=0), to=1)
        return graph.add("Mul", found, graph.add("Gather", graph.constant(scales), ids, axis=0))

    def linear(self, value: str, weight: FloatArray, bias: FloatArray | None, exact: bool = False) -> str:
        """``value @ weight.T + bias``; weight is f32 ``[outputs, inputs]``; ``exact`` keeps it in f32."""
        graph = self.graph
        if self.precision == "f32" or exact:
            result = graph.add("MatMul", value, graph.constant(weight.T))
        else:
            result = self._integer_product(value, weight)
        return result if bias is None else graph.add("Add", result, graph.constant(bias))

    def dense(self, value: str, name: str, inputs: int, outputs: int, bias: bool = True) -> str:
        """The linear layer whose weights are ``name.weight`` and ``name.bias``."""
        weight = self.take(f"{name}.weight", outputs, inputs)
        return self.linear(value, weight, self.take(f"{name}.bias", outputs) if bias else None)

    def dense_together(self, value: str, names: list[str], width: int) -> list[str]:
        """Several square linear layers of one value, as one product."""
        weight = np.concatenate([self.take(f"{name}.weight", width, width) for name in names])
        bias = np.concatenate([self.take(f"{name}.bias", width) for name in names])
        whole = self.linear(value, weight, bias)
        sizes = self.graph.constant([width] * len(names), "int64")
        return self.graph.add_many("Split", len(names), whole, sizes, axis=2)

    def norm(self, value: str, name: str, width: int, epsilon: float, bias: bool = True) -> str:
        """Layer normalisation over the last axis."""
        graph = self.graph
        # Names from before 2019: gamma and beta.
        old = self.has(f"{name}.gamma")
        scale = self.take(f"{name}.{'gamma' if old else 'weight'}", width)
        inputs = [value, graph.constant(scale)]
        if bias:
            inputs.append(graph.constant(self.take(f"{name}.{'beta' if old else 'bias'}", width)))
        return graph.add("LayerNormalization", *inputs, axis=-1, epsilon=epsilon)

    def activation(self, value: str, name: str) -> str:
        """One of ``ACTIVATIONS``."""
        if name in ("silu", "swish"):
            return self.graph.add("Mul", value, self.graph.add("Sigmoid", value))
        operator, attributes = _ACTIVATIONS[name]
        return self.graph.add(operator, value, **attributes)

    def positions(self, ids: str) -> str:
        """0, 1, 2 ... for each token, i64 ``[tokens]``."""
        graph = self.graph
        zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
        return graph.add("Range", zero, graph.add("Squeeze", self._count(ids)), one)

    def first_rows(self, table: FloatArray, ids: str) -> str:
        """As many rows of f32 ``[n, width]`` as there are tokens: those of positions 0, 1, 2 ..."""
        graph = self.graph
        zero = graph.constant([0], "int64")
        return graph.add("Slice", graph.constant(table), zero, self._count(ids), zero)

    def _count(self, ids: str) -> str:
        """The number of tokens, i64 ``[1]``."""
        return self.graph.add("Shape", ids, start=1, end=2)

    def mask(self, attended: str) -> str:
        """What is added to attention scores ``[texts, heads, tokens, tokens]``: 0 where a token is seen."""
        graph = self.graph
        axes = graph.constant([1, 2], "int64")
        seen = graph.add("Cast", graph.add("Unsqueeze", attended, axes), to=9)
        return graph.add("Where", seen, graph.constant(0.0), graph.constant(UNSEEN))

    def split_heads(self, value: str, heads: int, head: int) -> str:
        """``[texts, tokens, width]`` to ``[texts, heads, tokens, head]``."""
        graph = self.graph
        apart = graph.add("Reshape", value, graph.constant([0, 0, heads, head], "int64"))
        return graph.add("Transpose", apart, perm=[0, 2, 1, 3])

    def attention(self, query: str, key: str, value: str, mask: str, head: int, width: int) -> str:
        """Scaled dot-product attention of ``[texts, heads, tokens, head]``; gives ``[texts, tokens, width]``.

        Vaswani et al., "Attention Is All You Need" (2017), section 3.2.1.
        """
        graph = self.graph
        scaled = graph.add("Mul", query, graph.constant(head**-0.5))
        scores = graph.add("MatMul", scaled, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
        shares = graph.add("Softmax", graph.add("Add", scores, mask), axis=-1)
        together = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        return graph.add("Reshape", together, graph.constant([0, 0, width], "int64"))

    def _integer_product(self, value: str, weight: FloatArray) -> str:
        """Activations are quantised per text as they come, weights per output."""
        graph = self.graph
        if value not in self._quantised:
            self._quantised[value] = graph.add_many("DynamicQuantizeLinear", 3, value)
        whole, scale, zero = self._quantised[value]
        levels, scales = quantise(weight, pairs=True)
        product = graph.add(
            "MatMulInteger", whole, graph.constant(levels.T, "int8"), zero, graph.constant(0, "int8")
        )
        factor = graph.add("Mul", scale, graph.constant(scales[:, 0]))
        return graph.add("Mul", graph.add("Cast", product, to=1), factor)


def quantise(values: FloatArray, pairs: bool) -> tuple[np.ndarray[Any, np.dtype[np.int8]], FloatArray]:
    """Whole numbers of 8 bits, and the f32 scale of each row that gives the values back.

    Args:
        values: f32 ``[rows, columns]``.
        pairs: whether columns 2n and 2n + 1 together may have ``LARGEST_PAIR`` at most.
    """
    sizes = np.abs(values)
    scales = sizes.max(axis=1, keepdims=True) / np.float32(LARGEST_LEVEL)
    if pairs:
        even = sizes[:, : sizes.shape[1] // 2 * 2]
        sums = (even[:, ::2] + even[:, 1::2]).max(axis=1, keepdims=True, initial=0)
        # Less one, for both may be rounded up.
        scales = np.maximum(scales, sums / np.float32(LARGEST_PAIR - 1))
    scales[scales == 0] = 1
    return np.rint(values / scales).astype(np.int8), scales.astype(np.float32)
