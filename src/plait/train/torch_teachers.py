"""Teachers that torch runs. The only part of mining and scoring that imports it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from plait.errors import MissingExtra
from plait.types import FloatArray

Score = Callable[[Sequence[tuple[str, str]]], FloatArray]


def load_torch_teacher(kind: str, path: str, batch_size: int) -> Score:
    """What scores pairs: a ``CrossEncoder`` or a ``SentenceTransformer`` of sentence-transformers.

    Args:
        kind: "cross_encoder" or "bi_encoder".
        path: a folder, or a name on the hub.
        batch_size: texts, or pairs, that go through the network at once.

    Raises:
        MissingExtra: sentence-transformers is not installed.
    """
    try:
        package = importlib.import_module("sentence_transformers")
    except ImportError:
        raise MissingExtra("sentence-transformers", "train") from None
    if kind == "cross_encoder":
        return _cross_encoder(package.CrossEncoder(path), batch_size)
    return _bi_encoder(package.SentenceTransformer(path), batch_size)


def _cross_encoder(model: Any, batch_size: int) -> Score:
    identity = importlib.import_module("torch").nn.Identity()

    def score(pairs: Sequence[tuple[str, str]]) -> FloatArray:
        found = model.predict(
            list(pairs), batch_size=batch_size, activation_fn=identity, show_progress_bar=False
        )
        return np.asarray(found, dtype=np.float32).reshape(len(pairs))

    return score


def _bi_encoder(model: Any, batch_size: int) -> Score:
    def encode(texts: Sequence[str], method: Any) -> dict[str, FloatArray]:
        distinct = list(dict.fromkeys(texts))
        vectors = method(distinct, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
        return dict(zip(distinct, np.asarray(vectors, dtype=np.float32), strict=True))

    def score(pairs: Sequence[tuple[str, str]]) -> FloatArray:
        queries = encode([query for query, _ in pairs], model.encode_query)
        documents = encode([text for _, text in pairs], model.encode_document)
        return np.array([queries[query] @ documents[text] for query, text in pairs], dtype=np.float32)

    return score
