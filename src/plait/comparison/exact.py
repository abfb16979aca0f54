"""Exact MaxSim on the original vectors of a whole corpus: what an index is measured against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from plait import kernels
from plait.encoder import Encoder
from plait.errors import InvalidParameter
from plait.pipeline import Hits
from plait.pipeline.query import Query
from plait.types import Hit, TokenEmbeddings


class ExactRetriever:
    """Scores every document in f32, on one thread.

    Args:
        encoder: of the queries.
        ids: of the documents.
        documents: their vectors as they were encoded.
        texts: for stages that read them.
    """

    name = "exact"

    def __init__(
        self, encoder: Encoder, ids: Sequence[str], documents: TokenEmbeddings, texts: Sequence[str | None]
    ) -> None:
        self._encoder = encoder
        self._ids = ids
        self._documents = documents
        self._texts = texts
        self._everything = np.arange(len(documents), dtype=np.uint32)

    def search(
        self,
        query: str,
        k: int,
        *,
        filter: Mapping[str, Any] | None = None,
        ids: Iterable[str] | None = None,
    ) -> Hits:
        """The best ``k`` of all documents, ties in the order given. Filters are not known here."""
        if filter is not None or ids is not None:
            raise InvalidParameter("exact MaxSim searches the whole corpus, without a filter")
        asked = query if isinstance(query, Query) else Query(query, 1)
        vectors = asked.embeddings(self._encoder)[0]
        documents = self._documents
        scores = kernels.maxsim(vectors, documents.vectors, documents.offsets, self._everything)
        best = kernels.top_k(scores, k).tolist()
        return Hits(
            Hit(rank, self._ids[place], float(scores[place]), self._texts[place])
            for rank, place in enumerate(best, start=1)
        )
