"""Stages whose every score and every second is known."""

from __future__ import annotations

from pathlib import Path

import pytest

import plait
from plait.types import Hit

TEXTS = {
    "paris": "Paris is the capital of France.",
    "loire": "The Loire is the longest river in France.",
    "berlin": "Berlin is the capital of Germany.",
    "bread": "Bread rises because yeast makes carbon dioxide.",
    "tides": "Tides come and go because of the moon.",
}


class Clock:
    """Stands still until somebody works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Finder:
    """A retriever that finds the documents that it is given, one second each run unless told otherwise."""

    def __init__(self, ids, name="finder", *, clock=None, seconds=0.0, text="text of {}"):
        self.name = name
        self.found = [Hit(rank, key, 100.0 - rank, text.format(key)) for rank, key in enumerate(ids, start=1)]
        self.clock, self.seconds = clock, seconds
        self.asked = []

    def search(self, query, k, *, filter=None, ids=None):
        self.asked.append((query, k, filter, ids))
        if self.clock:
            self.clock.now += self.seconds
        return [hit for hit in self.found if ids is None or hit.id in ids][:k]


class Order:
    """A reranker whose score of a hit is given; the last id is the best by default."""

    def __init__(self, scores, name="order", *, clock=None, seconds=0.0, batch_size=8):
        self.name, self.scores, self.batch_size = name, scores, batch_size
        self.clock, self.seconds = clock, seconds
        self.batches = []

    def rerank(self, query, hits, k):
        self.batches.append([hit.id for hit in hits])
        if self.clock:
            self.clock.now += self.seconds * len(hits)
        best = sorted(hits, key=lambda hit: -self.scores[hit.id])[:k]
        return [Hit(rank, hit.id, self.scores[hit.id]) for rank, hit in enumerate(best, start=1)]


class SharedWords:
    """Stands for a cross-encoder: how many words a text shares with the query."""

    def __init__(self):
        self.asked = []

    def score(self, query, texts):
        self.asked.append((query, list(texts)))
        words = set(query.lower().strip("?.").split())
        return [float(len(words & set(text.lower().strip("?.").split()))) for text in texts]


class Counting:
    """An encoder that counts what it is asked."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.dim, self.name, self.fingerprint = encoder.dim, encoder.name, encoder.fingerprint
        self.queries, self.documents = [], []

    def encode_queries(self, texts, **options):
        self.queries += texts
        return self._encoder.encode_queries(texts, **options)

    def encode_documents(self, texts, **options):
        self.documents += texts
        return self._encoder.encode_documents(texts, **options)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def texts_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of TEXTS. Not to be written to."""
    path = tmp_path_factory.mktemp("texts") / "index"
    with plait.Index.create(path) as index:
        metadata = [{"n": number} for number in range(len(TEXTS))]
        index.add(list(TEXTS.values()), ids=list(TEXTS), metadata=metadata)
    return path


@pytest.fixture
def index(texts_index: Path):
    """TEXTS, with an encoder that counts."""
    with plait.Index.open(texts_index, model=Counting(plait.load_encoder())) as opened:
        yield opened
