"""The model that ships inside plait, as a base to train: its 8-bit weights, made floats again.

The package holds no other weights of it. What is lost against the floats that it was made of is at most half
a level of 8 bits in each weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizerFast

from plait.encoder import read_checkpoint
from plait.encoder.checkpoint import BUILTIN
from plait.encoder.graph.onnx_constants import read_constants
from plait.errors import CheckpointError
from plait.types import FloatArray

#: Components of an attention head of MiniLM; no weight tells.
HEAD = 32


def write_builtin(folder: Path) -> None:
    """Write the built-in model as a ``MultiVectorEncoder``: what ``train`` takes as ``model``.

    Raises:
        CheckpointError: the graph in the package is not built as expected.
    """
    weights = builtin_weights(BUILTIN / "model.onnx")
    projection = weights.pop("projection.weight"), weights.pop("projection.bias")
    network = folder / "network"
    _write_network(network, weights)
    settings = read_checkpoint(BUILTIN).settings
    transformer = Transformer(
        str(network), query_length=settings.query_length, document_length=settings.document_length
    )
    dim, width = projection[0].shape
    dense = Dense(width, dim, activation_function=nn.Identity(), module_input_name="token_embeddings")
    with torch.no_grad():
        dense.linear.weight.copy_(projection[0])
        dense.linear.bias.copy_(projection[1])
    model = MultiVectorEncoder(
        modules=[
            transformer,
            dense,
            MultiVectorMask(skiplist_words=list(settings.skiplist_words)),
            Normalize(module_input_name="token_embeddings"),
        ],
        device="cpu",
    )
    model.save_pretrained(str(folder), create_model_card=False)


def _write_network(folder: Path, weights: dict[str, Tensor]) -> None:
    words, width = weights["embeddings.word_embeddings.weight"].shape
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder")),
        num_attention_heads=width // HEAD,
        intermediate_size=len(weights["encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(weights["embeddings.position_embeddings.weight"]),
    )
    body = BertModel(config, add_pooling_layer=False)
    body.load_state_dict(weights)
    body.save_pretrained(folder)
    BertTokenizerFast(
        tokenizer_file=str(BUILTIN / "tokenizer.json"), model_max_length=config.max_position_embeddings
    ).save_pretrained(folder)


def builtin_weights(path: Path) -> dict[str, Tensor]:
    """The weights of the graph under BERT's usual names, and ``projection.weight`` and ``.bias``: all f32."""
    values = _Values(path)
    width = values.width
    found: dict[str, FloatArray] = {}
    found["embeddings.word_embeddings.weight"] = values.take_rows()
    for name in ("position_embeddings.weight", "token_type_embeddings.weight"):
        found[f"embeddings.{name}"] = values.take(2)
    found.update(values.norm("embeddings.LayerNorm"))
    while values.next_kind() == "int8":
        layer = f"encoder.layer.{sum(name.endswith('query.weight') for name in found)}"
        weight, bias = values.linear()
        for place, name in enumerate(("query", "key", "value")):
            rows = slice(place * width, (place + 1) * width)
            found[f"{layer}.attention.self.{name}.weight"] = weight[rows]
            found[f"{layer}.attention.self.{name}.bias"] = bias[rows]
        found.update(values.named_linear(f"{layer}.attention.output.dense"))
        found.update(values.norm(f"{layer}.attention.output.LayerNorm"))
        found.update(values.named_linear(f"{layer}.intermediate.dense"))
        found.update(values.named_linear(f"{layer}.output.dense"))
        found.update(values.norm(f"{layer}.output.LayerNorm"))
    found["projection.weight"] = values.take(2).T
    found["projection.bias"] = values.take(1)
    return {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in found.items()}


class _Values:
    """The constants of the graph that are weights, one after the other, in the builder's order.

    ``encoder/graph/bert.py`` adds them in the order of the network. Shapes and sizes, which are whole numbers
    of 64 bits, and single values are passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        constants = read_constants(path).values()
        self._left = [value for value in constants if value.size > 1 and value.dtype != np.int64]
        self.width = self._left[0].shape[-1] if self._left else 0

    def next_kind(self) -> str:
        """The type of the next one; "" at the end."""
        return self._left[0].dtype.name if self._left else ""

    def take(self, axes: int, kind: str = "float32") -> np.ndarray[Any, Any]:
        """The next one, which must be of this kind."""
        if not self._left or self._left[0].ndim != axes or self.next_kind() != kind:
            raise CheckpointError(f"{self._path}: is not built as the model that ships inside plait is")
        return self._left.pop(0)

    def take_rows(self) -> FloatArray:
        """8-bit rows, each with a scale."""
        rows: FloatArray = self.take(2, "int8").astype(np.float32) * self.take(2)
        return rows

    def linear(self) -> tuple[FloatArray, FloatArray]:
        """Weight ``[outputs, inputs]`` and bias; 8-bit columns in the file, each with a scale."""
        levels = self.take(2, "int8")
        return (levels.astype(np.float32) * self.take(1)).T, self.take(1)

    def named_linear(self, name: str) -> Iterator[tuple[str, FloatArray]]:
        """The same under its names."""
        return zip((f"{name}.weight", f"{name}.bias"), self.linear(), strict=True)

    def norm(self, name: str) -> Iterator[tuple[str, FloatArray]]:
        """A norm's scale and shift, under their names."""
        return zip((f"{name}.weight", f"{name}.bias"), (self.take(1), self.take(1)), strict=True)
