"""all-MiniLM-L6-v2 in two parts, so that what is frozen is run once."""

from __future__ import annotations

import string
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))
from build_builtin_model import Bert

Floats = npt.NDArray[np.float32]
MASK = 103


class Network(Bert):
    """BERT that can be run in two parts: ``lower`` up to a layer, ``upper`` from there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.punctuation = torch.tensor([self.tokenizer.token_to_id(mark) for mark in string.punctuation])

    def _linear(self, x: torch.Tensor, name: str, layer: int) -> torch.Tensor:
        return functional.linear(x, getattr(self, f"{name}_w{layer}").T, getattr(self, f"{name}_b{layer}"))

    def block(self, x: torch.Tensor, seen: torch.Tensor, layer: int) -> torch.Tensor:
        """One layer. ``seen``: bool [texts, 1, 1, tokens]."""
        texts, tokens, _ = x.shape
        qkv = self._linear(x, "qkv", layer).reshape(texts, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=seen, scale=1.0)
        x = self._norm(
            x + self._linear(mixed.transpose(1, 2).reshape(texts, tokens, self.width), "out", layer),
            "norm1",
            layer,
        )
        inner = functional.gelu(self._linear(x, "up", layer))
        return self._norm(x + self._linear(inner, "down", layer), "norm2", layer)

    def lower(self, ids: torch.Tensor, seen: torch.Tensor, stop: int) -> torch.Tensor:
        """Embeddings and the layers below ``stop``."""
        x = self._norm(self.words[ids] + self.positions[: ids.shape[1]], "norm")
        for layer in range(stop):
            x = self.block(x, seen[:, None, None, :], layer)
        return x

    def upper(self, x: torch.Tensor, seen: torch.Tensor, start: int) -> torch.Tensor:
        """The layers from ``start`` on."""
        for layer in range(start, self.layers):
            x = self.block(x, seen[:, None, None, :], layer)
        return x

    def trainable(self, start: int) -> list[torch.Tensor]:
        """The weights of the layers from ``start`` on."""
        return [
            getattr(self, f"{name}_{kind}{layer}")
            for layer in range(start, self.layers)
            for name in ("qkv", "out", "up", "down", "norm1", "norm2")
            for kind in "wb"
        ]


def encode_ids(network: Network, texts: list[str], length: int) -> list[list[int]]:
    """Token ids with [CLS] and [SEP], at most ``length``."""
    network.tokenizer.enable_truncation(length)
    return [encoding.ids for encoding in network.tokenizer.encode_batch(texts)]


def padded(rows: list[list[int]], fill: int = 0, minimum: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [texts, longest] and which of them are the texts' own."""
    width = max(minimum, max(map(len, rows)))
    ids = torch.full((len(rows), width), fill)
    own = torch.zeros((len(rows), width), dtype=torch.bool)
    for row, each in enumerate(rows):
        ids[row, : len(each)] = torch.tensor(each)
        own[row, : len(each)] = True
    return ids, own


def means(x: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The mean of each text's own outputs, unit length."""
    return functional.normalize((x * own[..., None]).sum(1) / own.sum(1, keepdim=True), dim=-1)


def topic_vectors(network: Network, texts: list[str], length: int = 32) -> Floats:
    """[texts, width], unit length: means of input embeddings weighted by rarity, to tell topics apart."""
    rows = encode_ids(network, texts, length)
    seen = np.bincount(np.concatenate([np.unique(row) for row in rows]), minlength=len(network.words))
    rarity = np.log((1 + len(texts)) / (1 + seen)).astype(np.float32) ** 2
    table = network.words.numpy()
    found = np.stack([rarity[row] @ table[row] for row in rows])
    found -= found.mean(axis=0)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
