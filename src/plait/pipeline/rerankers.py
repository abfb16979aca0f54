"""Later stages: hits of any origin, scored again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from plait import kernels
from plait.encoder import CrossEncoder, Encoder, load_encoder
from plait.errors import InvalidParameter
from plait.index import Index
from plait.inputs import as_k
from plait.pipeline.query import Query, require_text, single_vector_for, threads_for, tokens_for
from plait.threads import map_threads
from plait.types import FloatArray, Hit, Hits, TokenEmbeddings, offsets_of

#: Texts that are not in the index whose token vectors are kept: about 50 kB each.
TEXTS_KEPT = 1024


class PairScorer(Protocol):
    """What scores a query and texts together, such as ``plait.CrossEncoder``."""

    def score(self, query: str, texts: Sequence[str]) -> FloatArray:
        """f32 ``[n]``: how well each text answers the query; higher is better."""
        ...


class ColBERTReranker:
    """MaxSim. Documents that the index holds, by their ids, are scored on their vectors as stored.

    Other hits are encoded from their texts; the vectors of the last ``TEXTS_KEPT`` texts are kept.

    Args:
        index: whose documents need no encoding; None to encode all texts.
        model: without an index, an encoder or the folder of one; the built-in model by default.
    """

    name = "colbert"
    batch_size = 256
    reads_texts = False

    def __init__(self, index: Index | None = None, model: str | Path | Encoder | None = None) -> None:
        if index is not None and model is not None:
            raise InvalidParameter("give an index, whose encoder is used, or model=, not both")
        self._index = index
        self._model = model
        self._document = lru_cache(TEXTS_KEPT)(self._encoded)

    def rerank(self, query: Any, hits: Sequence[Hit], k: int) -> Hits:
        """The best ``k``; InvalidParameter names a hit that is neither in the index nor has a text."""
        k = as_k(k)
        held = self._stored_scores(query, hits, k)
        foreign = self._foreign_scores(query, [hit for hit in hits if hit.id not in held])
        best = {key: score for key, score in held.items() if score is not None}
        return reranked(hits, best | foreign, self.name, k)

    def _stored_scores(self, query: Any, hits: Sequence[Hit], k: int) -> dict[str, float | None]:
        if self._index is None or not hits:
            return {}
        return self._index.score(tokens_for(query, self._index), [hit.id for hit in hits], k)

    def _foreign_scores(self, query: Any, hits: Sequence[Hit]) -> dict[str, float]:
        if not hits:
            return {}
        texts = [
            _text_of(hit, self.name, " and is not in the index" if self._index is not None else "")
            for hit in hits
        ]
        vectors = self._query_vectors(query)
        documents = map_threads(self._document, texts, threads_for(query))
        offsets = offsets_of([len(document) for document in documents])
        everything = np.arange(len(documents), dtype=np.uint32)
        found = kernels.maxsim(vectors, np.concatenate(documents), offsets, everything)
        return dict(zip((hit.id for hit in hits), found.tolist(), strict=True))

    def _query_vectors(self, query: Any) -> FloatArray:
        if isinstance(query, Query):
            return query.embeddings(self._encoder())[0]
        if isinstance(query, str):
            return self._encoder().encode_queries([query])[0]
        return TokenEmbeddings.from_list([query])[0]

    def _encoded(self, text: str) -> FloatArray:
        return self._encoder().encode_documents([text], threads=1)[0]

    def _encoder(self) -> Encoder:
        if self._index is not None:
            encoder = self._index.encoder
            if encoder is None:
                raise InvalidParameter(
                    f"{self._index.path} has no encoder: {self.name} can rerank only documents of the index"
                )
            return encoder
        if self._model is None or isinstance(self._model, str | Path):
            self._model = load_encoder(self._model)
        return self._model


class BiEncoderReranker:
    """The cosine of one vector each, for documents of an index; they are not encoded again."""

    name = "bi_encoder"
    batch_size = 1024
    reads_texts = False

    def __init__(self, index: Index) -> None:
        self._index = index

    def rerank(self, query: Any, hits: Sequence[Hit], k: int) -> Hits:
        """The best ``k``; InvalidParameter names a hit that is not in the index."""
        k = as_k(k)
        ids = [hit.id for hit in hits]
        if not ids:
            return Hits()
        asked = single_vector_for(query, self._index)
        found = self._index.search_bi_encoder(asked, len(ids), ids=ids, texts=False)
        scores = {hit.id: hit.score for hit in found}
        missing = next((key for key in ids if key not in scores), None)
        if missing is not None:
            raise InvalidParameter(
                f"{self.name} reranks documents of {self._index.path}, which has no {missing!r}"
            )
        return reranked(hits, scores, self.name, k)


class CrossEncoderReranker:
    """A network that reads query and text together (``plait.CrossEncoder``).

    Args:
        model: a ``plait.CrossEncoder``, of which scores are the logits; anything with such a ``score``; or
            what ``plait.CrossEncoder`` takes: a folder, a name, or None for the one that is installed.
    """

    name = "cross_encoder"
    batch_size = 8

    def __init__(self, model: str | Path | PairScorer | None = None) -> None:
        self._model: PairScorer = (
            CrossEncoder(model) if model is None or isinstance(model, str | Path) else model
        )

    def rerank(self, query: str, hits: Sequence[Hit], k: int) -> Hits:
        """The best ``k``; InvalidParameter names a hit without a text."""
        k = as_k(k)
        text = str(require_text(query, self.name))
        if not hits:
            return Hits()
        scores = self._scores(text, [_text_of(hit, self.name) for hit in hits], threads_for(query))
        named = zip((hit.id for hit in hits), map(float, scores), strict=True)
        return reranked(hits, dict(named), self.name, k)

    def _scores(self, query: str, texts: list[str], threads: int | None) -> FloatArray:
        if isinstance(self._model, CrossEncoder):
            # A sigmoid gives the best texts the same score; the numbers before it still differ.
            return self._model.score(query, texts, logits=True, threads=threads)
        return self._model.score(query, texts)


def _text_of(hit: Hit, stage: str, and_: str = "") -> str:
    if not hit.text or hit.text.isspace():
        raise InvalidParameter(
            f"{stage} reads texts, but the document {hit.id!r} has none{and_}: leave the stage out, or add "
            f"documents with their texts"
        )
    return hit.text


def reranked(hits: Sequence[Hit], scores: dict[str, float], name: str, k: int) -> Hits:
    """The best ``k`` of those hits that have a score, unique, best first, ties in the order of the hits."""
    unique: dict[str, Hit] = {}
    for hit in hits:
        unique.setdefault(hit.id, hit)
    order = sorted((key for key in unique if key in scores), key=lambda key: -scores[key])
    return Hits(
        Hit(
            rank,
            key,
            scores[key],
            unique[key].text,
            unique[key].metadata,
            {**unique[key].scores, name: scores[key]},
        )
        for rank, key in enumerate(order[:k], start=1)
    )
