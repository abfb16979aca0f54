"""First stages over an index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any

from plait.index import Index
from plait.pipeline.query import require_text, single_vector_for, texts_for, threads_for, tokens_for
from plait.search import SearchParams
from plait.types import Hit, Hits


class ColBERTRetriever:
    """Late interaction by the index's engine (``Index.search``).

    Args:
        index: where to search.
        params, recall_target: how far to look, as for ``Index.search``.
    """

    name = "colbert"

    def __init__(
        self, index: Index, *, params: SearchParams | None = None, recall_target: float | None = None
    ) -> None:
        self._index = index
        self._how: dict[str, Any] = {"params": params, "recall_target": recall_target}

    def search(
        self,
        query: Any,
        k: int,
        *,
        filter: Mapping[str, Any] | None = None,
        ids: Iterable[str] | None = None,
    ) -> Hits:
        """Exactly ``min(k, documents allowed)`` hits; the query may also be token vectors ``[nq, dim]``."""
        start = perf_counter()
        found = self._index.search(
            tokens_for(query, self._index),
            k,
            filter=filter,
            ids=ids,
            threads=threads_for(query),
            texts=texts_for(query),
            **self._how,
        )
        return _named(found, self.name, start)


class BM25Retriever:
    """The words that query and document share (``Index.search_bm25``)."""

    name = "bm25"

    def __init__(self, index: Index) -> None:
        self._index = index

    def search(
        self,
        query: str,
        k: int,
        *,
        filter: Mapping[str, Any] | None = None,
        ids: Iterable[str] | None = None,
    ) -> Hits:
        """The best ``k`` of the documents allowed that share a word with the query."""
        start = perf_counter()
        text = str(require_text(query, self.name))
        found = self._index.search_bm25(text, k, filter=filter, ids=ids, texts=texts_for(query))
        return _named(found, self.name, start)


class BiEncoderRetriever:
    """One vector for a document (``Index.search_bi_encoder``)."""

    name = "bi_encoder"

    def __init__(self, index: Index) -> None:
        self._index = index

    def search(
        self,
        query: str,
        k: int,
        *,
        filter: Mapping[str, Any] | None = None,
        ids: Iterable[str] | None = None,
    ) -> Hits:
        """Exactly ``min(k, documents allowed)`` hits."""
        start = perf_counter()
        asked = single_vector_for(query, self._index)
        found = self._index.search_bi_encoder(
            asked, k, filter=filter, ids=ids, threads=threads_for(query), texts=texts_for(query)
        )
        return _named(found, self.name, start)


def _named(hits: list[Hit], name: str, start: float) -> Hits:
    scored = (Hit(hit.rank, hit.id, hit.score, hit.text, hit.metadata, {name: hit.score}) for hit in hits)
    found = Hits(scored)
    found.timings[name] = 1e3 * (perf_counter() - start)
    return found
