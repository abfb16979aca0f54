"""compact(retrain=True): an index that grew becomes what a fresh build of its documents is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import plait
from plait.errors import EmptyText, InvalidParameter
from plait.store import choice, open_snapshot

WORDS = [
    "river",
    "bread",
    "flour",
    "Paris",
    "Berlin",
    "capital",
    "harbour",
    "engine",
    "wing",
    "lift",
    "cell",
    "blood",
    "nurse",
    "tower",
]
QUESTIONS = ["the capital river", "bread and flour", "blood of a cell"]


def texts(count: int) -> list[str]:
    rng = np.random.default_rng(7)
    return [" ".join(rng.choice(WORDS, size=int(rng.integers(4, 12)))) for _ in range(count)]


TEXTS = texts(60)


@pytest.fixture(autouse=True)
def few_tokens_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MIN_CODEC_TOKENS", 100)
    monkeypatch.setattr(choice, "RETRAIN_FACTOR", 2)


@pytest.fixture
def grown(tmp_path: Path) -> plait.Index:
    index = plait.Index.create(tmp_path / "grown", bm25=True)
    for begin in range(0, 60, 4):
        few = range(begin, begin + 4)
        index.add(TEXTS[begin : begin + 4], ids=[f"d{n}" for n in few], metadata=[{"n": n} for n in few])
    index.delete(filter={"n": {"$gte": 50}})
    return index


def found(index: plait.Index) -> list[tuple[str, int, float]]:
    return [tuple(hit) for question in QUESTIONS for hit in index.search(question, 60)]


def test_it_becomes_what_a_fresh_build_is(grown: plait.Index, tmp_path: Path):
    words = grown.search_bm25(QUESTIONS[0], 60)
    deleted = grown.stats().deleted
    assert deleted
    with plait.Index.open(grown.path, auto_refresh=False) as reader:
        before = found(reader)
        report = grown.compact(retrain=True)
        assert found(reader) == before
    assert (report.retrained, report.merges, report.deleted) == (50, 0, deleted)
    with plait.Index.create(tmp_path / "fresh", bm25=True) as fresh:
        fresh.add(TEXTS[:50], ids=[f"d{n}" for n in range(50)], metadata=[{"n": n} for n in range(50)])
        assert found(grown) == found(fresh)
        single = [index.search_bi_encoder(QUESTIONS[0], 60) for index in (grown, fresh)]
        assert single[0] == single[1]
        sizes = [index.stats().bytes_vectors for index in (grown, fresh)]
        assert sizes[0] == sizes[1]
    assert grown.search_bm25(QUESTIONS[0], 60) == words
    assert [document.metadata for document in grown.documents()] == [{"n": n} for n in range(50)]
    assert (grown.stats().segments, grown.stats().deleted) == (1, 0)
    assert grown.verify() == []
    grown.add(["one more"])
    assert len(grown) == 51


def test_a_large_index_is_trained_on_a_sample(grown: plait.Index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plait.store.retraining.MAX_TRAINING_TOKENS", 150)
    monkeypatch.setattr("plait.store.retraining.TEXTS_PER_CHUNK", 8)
    told = []
    grown.compact(retrain=True, progress=lambda *what: told.append(what))
    assert told[-1] == ("compress", 50, 50)
    assert [hit.id for hit in grown.search(TEXTS[7], 1)] == ["d7"]
    assert grown.verify() == []


def test_few_documents_are_kept_exact_again(grown: plait.Index):
    grown.delete(filter={"n": {"$gte": 3}})
    grown.compact(retrain=True)
    assert [segment.codec for segment in open_snapshot(grown.path).segments] == [None]
    grown.delete(grown.ids())
    assert grown.compact(retrain=True).retrained == 0
    assert grown.search("anything") == []


def test_an_interruption_changes_nothing(grown: plait.Index):
    before = found(grown)

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "compress":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grown.compact(retrain=True, progress=interrupt)
    assert found(grown) == before
    assert grown.verify() == []


def test_it_needs_an_encoder_and_texts(grown: plait.Index, tmp_path: Path):
    with plait.Index.create(tmp_path / "vectors", dim=16) as index:
        index.add(vectors=[np.eye(16)[:3]])
        with pytest.raises(InvalidParameter, match="no encoder"):
            index.compact(retrain=True)
    grown.add(vectors=[np.eye(grown.stats().dim)[:3]], ids=["without"])
    with pytest.raises(EmptyText, match="'without'"):
        grown.compact(retrain=True)
    assert len(grown) == 51
