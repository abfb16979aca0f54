"""Exact MaxSim over given texts or vectors, without an index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.encoder import Encoder, load_encoder
from plait.errors import DimensionMismatch, InvalidParameter
from plait.types import Hit, TokenEmbeddings


def maxsim(query_embeddings: npt.ArrayLike, doc_embeddings: npt.ArrayLike) -> float:
    """MaxSim of one query with one document (Khattab & Zaharia 2020, eq. 3), in f32.

    ``(q @ d.T).max(axis=1).sum()``: for every query token the best document token, summed. Vectors
    are used as they are; give unit vectors for cosine similarity.

    Args:
        query_embeddings: ``[nq, dim]``.
        doc_embeddings: ``[ntokens, dim]``, at least one token.

    Raises:
        InvalidVectors, DimensionMismatch, NonFiniteVectors, InvalidParameter.

    >>> maxsim([[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [1.0, 0.0]])
    1.7999999523162842
    """
    query = TokenEmbeddings.from_list([query_embeddings])
    document = TokenEmbeddings.from_list([doc_embeddings])
    if document.dim != query.dim:
        raise DimensionMismatch(expected=query.dim, given=document.dim, what="doc_embeddings")
    if not query.ntokens or not document.ntokens:
        raise InvalidParameter("MaxSim needs at least one query token and one document token")
    query.require_finite("query_embeddings")
    document.require_finite("doc_embeddings")
    first = np.zeros(1, dtype=np.uint32)
    return float(kernels.maxsim(query.vectors, document.vectors, document.offsets, first)[0])


def rerank(
    query: str,
    texts: Sequence[str],
    k: int | None = None,
    *,
    ids: Sequence[str] | None = None,
    model: str | Path | Encoder | None = None,
    threads: int | None = None,
) -> list[Hit]:
    """Order texts by exact MaxSim with a query.

    Args:
        query: the question.
        texts: candidates, for instance another engine's hits.
        k: hits wanted; None for all.
        ids: keys of the texts; by default their positions, "0", "1", ...
        model: an encoder or the folder of one; the built-in model by default.
        threads: None for all cores.

    Returns:
        ``min(k, len(texts))`` hits, best first, ties in the order given.

    Raises:
        InvalidParameter, EmptyText, CheckpointError.
    """
    if k is not None and k < 1:
        raise InvalidParameter(f"k must be at least 1, not {k}")
    if isinstance(texts, str):
        raise InvalidParameter("texts must be a list of strings, not one string")
    if ids is not None and len(ids) != len(texts):
        raise InvalidParameter(f"ids has {len(ids)} entries, but there are {len(texts)} texts")
    if not texts:
        return []
    encoder = _encoder(model) if model is None or isinstance(model, str | Path) else model
    vectors = encoder.encode_queries([query], threads=threads)[0]
    documents = encoder.encode_documents(list(texts), threads=threads)
    everything = np.arange(len(documents), dtype=np.uint32)
    scores = kernels.maxsim(vectors, documents.vectors, documents.offsets, everything)
    best = kernels.top_k(scores, len(texts) if k is None else k)
    return [
        Hit(rank, ids[place] if ids is not None else str(place), float(scores[place]), texts[place])
        for rank, place in enumerate(best.tolist(), start=1)
    ]


@lru_cache(maxsize=2)
def _encoder(model: str | Path | None) -> Encoder:
    return load_encoder(model)
