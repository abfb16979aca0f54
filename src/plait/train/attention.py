"""Searching with a poly-encoder: its score is not MaxSim, but MaxSim bounds it. Loads no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import InvalidParameter
from plait.index import Index
from plait.inputs import as_k
from plait.types import FloatArray, Hit

FIRST = 4
"""Candidates per wanted hit that are looked at first."""


def attention_search(
    index: Index,
    query: str | npt.ArrayLike,
    k: int = 10,
    *,
    ids: Iterable[str] | None = None,
    filter: Mapping[str, Any] | None = None,
) -> list[Hit]:
    """The best ``k`` documents by the poly-encoder's score (Humeau et al., 2020, section 4.4).

    The score of the products ``s_j`` of one vector with m others is their mean under ``softmax(s)``. It is at
    most ``max_j s_j``, which the index searches by: MaxSim with the query's one vector, or with each of its m
    vectors where documents have one. So documents are fetched best first and scored on their vectors as
    stored, until none that was not fetched can be among the best ``k``. The result is complete where the
    index's own searches are.

    Args:
        index: documents of m vectors (``code_side="document"``) or of one (``code_side="context"``).
        query: a text, if the index was made with the poly-encoder; or its vectors, ``[1, dim]`` or
            ``[m, dim]``.
        k: how many hits.
        ids, filter: as for ``Index.search``.

    Returns:
        ``min(k, allowed documents)`` hits, best first, whose scores are the poly-encoder's.

    Raises:
        As ``Index.search``; InvalidParameter where query and documents have several vectors both.
    """
    k = as_k(k)
    allowed = None if ids is None or isinstance(ids, str) else list(ids)
    restricted: dict[str, Any] = {"ids": ids if allowed is None else allowed, "filter": filter}
    vectors = _vectors_of(index, query)
    wanted = FIRST * k
    scores: dict[str, float] = {}
    with index.snapshot():
        while True:
            found = [index.search(vector[None], wanted, **restricted) for vector in vectors]
            hits = {hit.id: hit for some in found for hit in some}
            new = [key for key in hits if key not in scores]
            for key, document in zip(new, index.vectors(new), strict=True):
                scores[key] = attention_score(vectors, document)
            best = sorted(hits, key=lambda key: -scores[key])[:k]
            unseen = max((some[-1].score for some in found if len(some) == wanted), default=-np.inf)
            if unseen == -np.inf or (len(best) == k and scores[best[-1]] >= unseen):
                break
            wanted *= FIRST
    return [
        dataclasses.replace(hits[key], rank=rank, score=scores[key]) for rank, key in enumerate(best, start=1)
    ]


def attention_score(query: FloatArray, document: FloatArray) -> float:
    """The poly-encoder's score of ``[a, dim]`` and ``[b, dim]``, one of which is a single vector.

    Raises:
        InvalidParameter: both have several vectors.
    """
    if len(query) > 1 and len(document) > 1:
        raise InvalidParameter(
            f"the query has {len(query)} vectors and a document {len(document)}; a poly-encoder has one on "
            f"one side"
        )
    products = (query.astype(np.float64) @ document.T.astype(np.float64)).ravel()
    weights = np.exp(products - products.max())
    return float(weights @ products / weights.sum())


def _vectors_of(index: Index, query: str | npt.ArrayLike) -> FloatArray:
    if not isinstance(query, str):
        return np.asarray(query, dtype=np.float32)
    if index.encoder is None:
        index.search(query, 1)  # tells what to give
        raise InvalidParameter("the index has no encoder: give the query's vectors")
    vectors: FloatArray = index.encoder.encode_queries([query])[0]
    return vectors
