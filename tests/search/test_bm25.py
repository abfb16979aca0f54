"""BM25 beside the vectors: the scores of the textbook, whatever became of the index."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plait
from plait.analysis import Analyzer
from tests.conftest import clustered

WORDS = ["river", "rivers", "stone", "bridge", "paris", "the", "of", "running", "run", "größe", "東京", "42"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def oracle(texts: dict[str, str], query: str, how: plait.BM25, k: int) -> list[tuple[str, float]]:
    """BM25 as Lucene has it, from the definition; texts in order of insertion."""
    analyzer = Analyzer(how)
    counts = {key: Counter(analyzer.terms(text)) for key, text in texts.items()}
    average = sum(sum(count.values()) for count in counts.values()) / max(1, len(texts))
    scores = []
    for key, count in counts.items():
        score = 0.0
        for term in analyzer.terms(query):
            df = sum(term in other for other in counts.values())
            if term in count:
                idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
                norm = how.k1 * (1 - how.b + how.b * sum(count.values()) / average)
                score += idf * count[term] / (count[term] + norm)
        if score > 0:
            scores.append((key, score))
    return sorted(scores, key=lambda pair: -np.float32(pair[1]))[:k]


def make(path: Path, how: plait.BM25 | bool = True) -> plait.Index:
    return plait.Index.create(path, dim=8, bm25=how)


def add(index: plait.Index, texts: dict[str, str]) -> None:
    if texts:
        vectors = clustered(len(texts), dim=8, seed=len(texts), doclen=(1, 4))
        index.upsert(vectors=vectors, ids=list(texts), texts=list(texts.values()))


def check(index: plait.Index, texts: dict[str, str], query: str, how: plait.BM25) -> None:
    for k in (1, 3, 100):
        hits = index.search_bm25(query, k)
        wanted = oracle(texts, query, how, k)
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in wanted], rel=1e-6)
        assert [hit.rank for hit in hits] == list(range(1, len(wanted) + 1))
        if all(abs(a - b) > 1e-5 for (_, a), (_, b) in pairwise(wanted)):
            assert [hit.id for hit in hits] == [key for key, _ in wanted]
        assert all(hit.text == texts[hit.id] for hit in hits)


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.lists(TEXTS, max_size=6), min_size=1, max_size=4),
    deleted=st.sets(st.integers(0, 20)),
    query=TEXTS,
    k1=st.floats(0, 3),
    b=st.floats(0, 1),
)
def test_scores_are_those_of_a_fresh_index(batches, deleted, query, k1, b, tmp_path_factory):
    how = plait.BM25(k1=k1, b=b)
    texts: dict[str, str] = {}
    path = tmp_path_factory.mktemp("bm25")
    with make(path / "index", how) as index:
        for batch in batches:
            new = {str(len(texts) + place): text for place, text in enumerate(batch)}
            add(index, new)
            texts |= new
        gone = [key for key in texts if int(key) in deleted]
        index.delete(gone)
        texts = {key: text for key, text in texts.items() if key not in gone}
        check(index, texts, query, how)
        before = [tuple(hit) for hit in index.search_bm25(query, 100)]
        index.compact()
        assert [tuple(hit) for hit in index.search_bm25(query, 100)] == before
        assert not index.verify()
        with make(path / "fresh", how) as fresh:
            add(fresh, texts)
            assert [tuple(hit) for hit in fresh.search_bm25(query, 100)] == before


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4)])
def test_scores_are_those_of_bm25s(k1: float, b: float, tmp_path: Path):
    """The same words given to another implementation of Lucene's formula."""
    rng = random.Random(8)
    vocabulary = [f"word{number}" for number in range(200)]
    texts = {
        str(number): " ".join(rng.choices(vocabulary, weights=range(1, 201), k=rng.randrange(1, 80)))
        for number in range(300)
    }
    how = plait.BM25(stemming=False, stopwords=False, k1=k1, b=b)
    other = bm25s.BM25(method="lucene", k1=k1, b=b)
    other.index([text.split() for text in texts.values()], show_progress=False)
    with make(tmp_path / "index", how) as index:
        add(index, texts)
        for words in (["word7", "word150"], ["word199", "word3", "word3"], vocabulary[:40]):
            scores = other.get_scores(words)
            found = index.search_bm25(" ".join(words), 300)
            assert len(found) == np.count_nonzero(scores)
            assert [hit.score for hit in found] == pytest.approx(
                [scores[int(hit.id)] for hit in found], abs=1e-4
            )


def test_an_upsert_replaces_the_words_and_counts_as_added_now(tmp_path: Path):
    with make(tmp_path / "index") as index:
        add(index, {"a": "river stone", "b": "river stone", "c": "bridge"})
        assert [hit.id for hit in index.search_bm25("stone")] == ["a", "b"]
        add(index, {"a": "river stone"})
        assert [hit.id for hit in index.search_bm25("stone")] == ["b", "a"]
        add(index, {"b": "paris"})
        assert [hit.id for hit in index.search_bm25("stone paris")] == ["b", "a"]


def test_filters_and_ids_leak_nothing_and_change_no_score(tmp_path: Path):
    with make(tmp_path / "index") as index:
        texts = [f"river {'stone ' * (number % 5)}{number}" for number in range(50)]
        metadata = [{"n": number} for number in range(50)]
        index.add(vectors=clustered(50, dim=8), texts=texts, metadata=metadata)
        everything = {hit.id: hit.score for hit in index.search_bm25("stone", 50)}
        assert len(everything) == 40
        low = index.search_bm25("stone", 50, filter={"n": {"$lt": 10}})
        assert {hit.id: hit.score for hit in low} == {
            key: score for key, score in everything.items() if int(key) < 10
        }
        assert [hit.id for hit in index.search_bm25("stone", ids=["3", "5", "unknown"])] == ["3"]
        assert index.search_bm25("stone", filter={"n": 99}) == []
        assert index.search_bm25("stone", ids=[]) == []


def test_a_transaction_is_seen_as_a_whole(tmp_path: Path):
    with make(tmp_path / "index") as index:
        add(index, {"a": "river"})
        with index.transaction():
            add(index, {"b": "stone"})
            index.delete("a")
            assert [hit.id for hit in index.search_bm25("river stone")] == ["a"]
        assert [hit.id for hit in index.search_bm25("river stone")] == ["b"]


def test_what_an_index_without_bm25_says(tmp_path: Path):
    with plait.Index.create(tmp_path / "index", dim=8) as index:
        index.add(vectors=clustered(3, dim=8), texts=["river"] * 3)
        with pytest.raises(plait.errors.PartMissing, match="made without BM25"):
            index.search_bm25("river")


@pytest.mark.parametrize("query", [3, None, ["river"], np.zeros((2, 8), dtype=np.float32)])
def test_a_query_is_a_text(tmp_path: Path, query: object):
    with make(tmp_path / "index") as index, pytest.raises(plait.errors.InvalidParameter, match="be a text"):
        index.search_bm25(query)


def test_documents_without_a_text_have_no_words(tmp_path: Path):
    with make(tmp_path / "index") as index:
        index.add(vectors=clustered(3, dim=8))
        assert index.search_bm25("river") == []
        add(index, {"a": "river"})
        assert [tuple(hit)[:2] for hit in index.search_bm25("river")] == [("a", 1)]


def test_words_come_in_runs_and_large_counts_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plait.store.bm25.WORDS_PER_RUN", 100)
    monkeypatch.setattr("plait.store.postings.POSTINGS_PER_MERGE", 20)
    rng = random.Random(5)
    texts = {
        str(number): " ".join(rng.choices(WORDS, k=rng.randrange(40))) + " bridge" * (number % 3 * 200)
        for number in range(60)
    }
    texts["long"] = "bridge " * 70_000
    with make(tmp_path / "index") as index:
        add(index, texts)
        assert not index.verify()
        for query in ("river stone", "bridge 42 東京", "the of"):
            check(index, texts, query, plait.BM25())
