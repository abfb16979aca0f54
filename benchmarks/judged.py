"""Judged collections in BEIR's form: their texts, their token vectors, and rankings of them as runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import numpy as np

import plait
from plait.evaluate import judged_queries, read_qrels
from plait.sources import read_documents, read_queries

CHUNK = 1024


@dataclass(frozen=True)
class Judged:
    """A collection.

    Attributes:
        ids, texts: of the documents.
        queries: text by id, of those with judgements.
        qrels: grade by document, by query.
    """

    ids: list[str]
    texts: list[str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]

    @classmethod
    def read(cls, folder: Path) -> Judged:
        """All of a folder but for broken records: Cranfield has two empty documents."""
        corpus = list(read_documents(folder, skip_bad_lines=True))
        qrels = read_qrels(folder)
        return cls(
            [document.id for document in corpus],
            [document.text or "" for document in corpus],
            judged_queries(read_queries(folder), qrels),
            qrels,
        )

    def encoded(
        self, encoder: Any, cache: Path | None, threads: int | None = None
    ) -> tuple[plait.TokenEmbeddings, plait.TokenEmbeddings, float | None]:
        """Token vectors of the documents and of the queries, and the CPU seconds that the documents took."""
        documents, seconds = encoded(encoder, self.texts, "documents", cache, threads)
        queries, _ = encoded(encoder, list(self.queries.values()), "queries", cache, threads)
        return documents, queries, seconds

    def run(self, orders: Iterable[Sequence[int]]) -> dict[str, dict[str, float]]:
        """Numbers of documents, best first, for each query: as a run to be evaluated."""
        return {
            query: {self.ids[place]: float(-rank) for rank, place in enumerate(order)}
            for query, order in zip(self.queries, orders, strict=True)
        }


def encoded(
    encoder: Any, texts: Sequence[str], kind: str, cache: Path | None, threads: int | None
) -> tuple[plait.TokenEmbeddings, float | None]:
    """Embeddings of texts and the CPU seconds they took; from the cache by content, then without seconds."""
    digest = hashlib.blake2b("\0".join([encoder.fingerprint, kind, *texts]).encode(), digest_size=12)
    path = (cache / f"{digest.hexdigest()}.npz") if cache else None
    if path and path.exists():
        stored = np.load(path)
        return plait.TokenEmbeddings(stored["vectors"], stored["doclens"]), None
    encode = encoder.encode_queries if kind == "queries" else encoder.encode_documents
    with measure.Stopwatch() as watch:
        parts = [
            encode(texts[start : start + CHUNK], threads=threads) for start in range(0, len(texts), CHUNK)
        ]
    found = plait.TokenEmbeddings(
        np.concatenate([part.vectors for part in parts]), np.concatenate([part.doclens for part in parts])
    )
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, vectors=found.vectors.astype(np.float16), doclens=found.doclens)
    # Every run sees the same f16 values, cached or not.
    return plait.TokenEmbeddings(found.vectors.astype(np.float16), found.doclens), watch.cpu
