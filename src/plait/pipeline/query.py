"""A query that is encoded once, for all stages of a run."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeAlias

import numpy.typing as npt

from plait.encoder import Encoder
from plait.errors import InvalidParameter
from plait.index import Index
from plait.types import TokenEmbeddings

#: Seconds, from some moment on.
Clock: TypeAlias = Callable[[], float]


class Query(str):
    """A text that remembers its embeddings. To whoever does not know, it is the text.

    Attributes:
        encoding_seconds: what encoding has taken so far.
        threads: how many threads a stage may use; None for all cores. Results do not depend on it.
        texts: whether hits should come with their texts and metadata, or a stage behind reads those it needs.
    """

    encoding_seconds: float
    threads: int | None
    texts: bool

    def __new__(cls, text: str, threads: int | None = None, clock: Clock = perf_counter) -> Query:
        """Wrap a text, which is encoded when a stage wants it."""
        query = super().__new__(cls, text)
        query.encoding_seconds = 0.0
        query.threads = threads
        query.texts = True
        query._clock = clock
        query._embeddings = {}
        return query

    _clock: Clock
    _embeddings: dict[int, tuple[Encoder, TokenEmbeddings]]

    def embeddings(self, encoder: Encoder) -> TokenEmbeddings:
        """The token embeddings of this one text by an encoder; the network runs at the first call only."""
        known = self._embeddings.get(id(encoder))
        if known is None:
            start = self._clock()
            known = (
                encoder,
                encoder.encode_queries([str(self)], threads=1),
            )  # held, so that its id stays its
            self.encoding_seconds += self._clock() - start
            self._embeddings[id(encoder)] = known
        return known[1]


def tokens_for(query: str | npt.ArrayLike, index: Index) -> str | npt.ArrayLike:
    """What ``Index.search`` is to be given: the token vectors ``[nq, dim]`` of a Query, encoded once."""
    if not isinstance(query, Query):
        return query
    encoder = index.encoder
    return query if encoder is None else query.embeddings(encoder)[0]


def single_vector_for(query: Any, index: Index) -> Any:
    """What ``Index.search_bi_encoder`` is to be given: a Query's one vector, of the same encoding."""
    encoder = index.encoder if isinstance(query, Query) else None
    return query if encoder is None else query.embeddings(encoder).single_vectors()[0]


def require_text(query: object, name: str) -> str:
    """The query, if it is a text; InvalidParameter says which stage needs one."""
    if not isinstance(query, str):
        raise InvalidParameter(
            f"{name} needs the text of the query, but was given {type(query).__name__}: only ColBERT takes "
            f"token vectors"
        )
    return query


def threads_for(query: object) -> int | None:
    """How many threads a stage may use for a query."""
    return query.threads if isinstance(query, Query) else None


def texts_for(query: object) -> bool:
    """Whether hits of a query should come with their texts and metadata."""
    return query.texts if isinstance(query, Query) else True
