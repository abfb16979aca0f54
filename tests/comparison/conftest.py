"""A small corpus of real abstracts, and an encoder without a network: a vector for every word."""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from plait.evaluate import read_qrels
from plait.sources import read_documents, read_queries
from plait.types import Document, TokenEmbeddings

CRANFIELD = Path(__file__).parents[2] / "examples" / "cranfield"


class WordEncoder:
    """Equal words have equal vectors; a text's one vector is the mean."""

    dim = 16
    name = "words"
    fingerprint = "0" * 64

    def encode_queries(self, texts, *, threads=None, progress=None) -> TokenEmbeddings:
        return TokenEmbeddings.from_list([self._vectors(text) for text in texts], dim=self.dim)

    def encode_documents(self, texts, *, threads=None, progress=None) -> TokenEmbeddings:
        return self.encode_queries(texts)

    def _vectors(self, text: str) -> np.ndarray:
        return np.array([vector_of(word) for word in text.lower().split()], dtype=np.float32)


@lru_cache(None)
def vector_of(word: str) -> np.ndarray:
    row = np.random.default_rng(zlib.crc32(word.encode())).normal(size=WordEncoder.dim)
    return row / np.linalg.norm(row)


class LengthScorer:
    """A cross-encoder that likes the words of the query in short texts."""

    name = "lengths"
    fingerprint = "1" * 64

    def score(self, query, texts):
        words = set(query.lower().split())
        shared = [len(words & set(text.lower().split())) - len(text) / 1e4 for text in texts]
        return np.array(shared, dtype=np.float32)


@pytest.fixture(scope="session")
def abstracts() -> list[Document]:
    """120 abstracts of Cranfield, 60 words of each."""
    found = [one for one in read_documents(CRANFIELD, skip_bad_lines=True) if len(one.text.split()) > 60]
    return [Document(one.id, " ".join(one.text.split(" ")[:60]), one.metadata) for one in found[:120]]


@pytest.fixture(scope="session")
def judged(abstracts) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Queries for which one of the abstracts is relevant, and their judgements."""
    held = {document.id for document in abstracts}
    queries, qrels = read_queries(CRANFIELD), read_qrels(CRANFIELD)
    asked = [query for query, grades in qrels.items() if any(grades[d] > 0 for d in grades.keys() & held)]
    return {query: queries[query] for query in asked[:20]}, {query: qrels[query] for query in asked[:20]}
