"""Rankings to mine from: the retrievers of an index, each by one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from plait.errors import InvalidParameter
from plait.index import Index
from plait.threads import map_threads
from plait.types import Hit

#: Of each query the best ``k`` hits.
Ranking: TypeAlias = Callable[[Index, Sequence[str], int, int | None], list[list[Hit]]]


def _rank_colbert(index: Index, queries: Sequence[str], k: int, threads: int | None) -> list[list[Hit]]:
    return index.search_all(queries, k, threads=threads)


def _rank_bm25(index: Index, queries: Sequence[str], k: int, threads: int | None) -> list[list[Hit]]:
    return map_threads(lambda query: index.search_bm25(query, k), queries, threads)


def _rank_bi_encoder(index: Index, queries: Sequence[str], k: int, threads: int | None) -> list[list[Hit]]:
    return map_threads(lambda query: index.search_bi_encoder(query, k), queries, threads)


RANKINGS: Mapping[str, Ranking] = {
    "colbert": _rank_colbert,
    "bm25": _rank_bm25,
    "bi_encoder": _rank_bi_encoder,
}

_SEARCHES = {"colbert": "search", "bm25": "search_bm25", "bi_encoder": "search_bi_encoder"}


def rank(
    index: Index, name: str, queries: Sequence[str], k: int, threads: int | None = None
) -> list[list[Hit]]:
    """The best ``k`` documents for each query, by one of the index's retrievers.

    Args:
        index: of texts.
        name: "colbert", "bm25" or "bi_encoder".
        queries: their texts.
        k: hits of each.
        threads: None for all cores.
    """
    return RANKINGS[name](index, queries, k, threads)


def scores_of(index: Index, name: str, query: str, ids: Sequence[str]) -> dict[str, float]:
    """What a retriever says of given documents: their scores by id; 0 where BM25 finds no common word."""
    search = getattr(index, _SEARCHES[name])
    found = {hit.id: float(hit.score) for hit in search(query, len(ids), ids=ids)} if ids else {}
    return {key: found.get(key, 0.0) for key in ids}


def require_retriever(index: Index, name: str) -> None:
    """Raise the index's own error if it has no such retriever, before the long work."""
    if name not in RANKINGS:
        raise InvalidParameter(f"a source must be one of {', '.join(RANKINGS)} or random, not {name!r}")
    rank(index, name, ["a query"], 1)
