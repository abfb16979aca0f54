"""Rerankers on hits of any origin."""

from __future__ import annotations

import numpy as np
import pytest

import plait
from plait import Hit
from plait.errors import InvalidParameter
from plait.pipeline import ColBERTReranker, CrossEncoderReranker

from .conftest import TEXTS, Counting, SharedWords

QUESTION = "What is the capital of France?"
FOREIGN = [
    Hit(1, "x", 9.0, "Madrid is the capital of Spain."),
    Hit(2, "y", 8.0, "Lyon is a city of France.", {"lang": "en"}, {"web": 8.0}),
    Hit(3, "z", 7.0, "Sharks have no bones."),
]


def ids(hits):
    return [hit.id for hit in hits]


def test_stored_documents_are_not_encoded(index):
    hits = [Hit(1, "bread", 1.0), Hit(2, "paris", 0.5)]
    found = ColBERTReranker(index).rerank(QUESTION, hits, 9)
    assert ids(found) == ["paris", "bread"]
    assert found[0].score == index.search(QUESTION, 1)[0].score
    assert index.encoder.documents == []


def test_foreign_texts_are_encoded_once(index):
    reranker = ColBERTReranker(index)
    found = reranker.rerank(QUESTION, FOREIGN, 9)
    exact = plait.rerank(QUESTION, [hit.text for hit in FOREIGN], ids=["x", "y", "z"])
    assert [(hit.id, hit.score) for hit in found] == [(hit.id, hit.score) for hit in exact]
    assert sorted(index.encoder.documents) == sorted(hit.text for hit in FOREIGN)
    assert reranker.rerank(QUESTION, FOREIGN, 9) == found
    assert len(index.encoder.documents) == 3, "their vectors were kept"


def test_stored_and_foreign_together(index):
    hits = [*FOREIGN, Hit(4, "paris", 1.0, TEXTS["paris"]), Hit(5, "tides", 0.5)]
    whole = ColBERTReranker(index).rerank(QUESTION, hits, 5)
    assert ids(whole)[0] == "paris"
    assert len(whole) == 5
    for k in range(1, 5):
        assert ColBERTReranker(index).rerank(QUESTION, hits, k) == whole[:k]
    lyon = next(hit for hit in whole if hit.id == "y")
    assert (lyon.text, lyon.metadata) == (FOREIGN[1].text, {"lang": "en"})
    assert lyon.scores == {"web": 8.0, "colbert": lyon.score}


def test_without_an_index_all_texts_are_encoded():
    encoder = Counting(plait.load_encoder())
    found = ColBERTReranker(model=encoder).rerank(QUESTION, FOREIGN, 2)
    assert len(found) == 2
    assert len(encoder.documents) == 3
    assert ids(ColBERTReranker().rerank(QUESTION, FOREIGN, 2)) == ids(found)
    with pytest.raises(InvalidParameter, match="give an index, whose encoder is used, or model=, not both"):
        ColBERTReranker("index", model="model")


@pytest.mark.parametrize("text", [None, "", "  "])
def test_hits_that_can_not_be_read_are_named(index, text):
    hits = [Hit(1, "paris", 1.0, TEXTS["paris"]), Hit(2, "bare", 0.5, text)]
    with pytest.raises(
        InvalidParameter, match="colbert reads texts, but the document 'bare' has none and is"
    ):
        ColBERTReranker(index).rerank(QUESTION, hits, 2)
    with pytest.raises(
        InvalidParameter, match="cross_encoder reads texts, but the document 'bare' has none:"
    ):
        CrossEncoderReranker(SharedWords()).rerank(QUESTION, hits, 2)


def test_an_index_of_vectors_reranks_what_it_holds(small):
    query = np.eye(2, 32, dtype=np.float32)
    hits = [Hit(1, "3", 1.0), Hit(2, "11", 0.5), Hit(3, "0", 0.1)]
    by_search = {hit.id: hit.score for hit in small.search(query, 20)}
    found = ColBERTReranker(small).rerank(query, hits, 3)
    assert {hit.id: hit.score for hit in found} == {key: by_search[key] for key in ("3", "11", "0")}
    with pytest.raises(
        InvalidParameter, match="has no encoder: colbert can rerank only documents of the index"
    ):
        ColBERTReranker(small).rerank(query, FOREIGN, 3)


def test_cross_encoder_order_ties_and_k():
    hits = [Hit(1, "a", 3.0, "one two"), Hit(2, "b", 2.0, "one two three"), Hit(3, "c", 1.0, "two one")]
    reranker = CrossEncoderReranker(SharedWords())
    found = reranker.rerank("one two three", hits, 3)
    assert [(hit.rank, hit.id, hit.score) for hit in found] == [(1, "b", 3.0), (2, "a", 2.0), (3, "c", 2.0)]
    assert reranker.rerank("one two three", hits, 1) == found[:1]
    assert reranker.rerank("one", [], 1) == []
    assert ids(reranker.rerank("one", [hits[0], hits[0], hits[2]], 9)) == ["a", "c"]


def test_rerankers_alone_leave_nothing_out(index):
    assert ColBERTReranker(index).rerank(QUESTION, [], 3) == []
    with pytest.raises(InvalidParameter, match="k must be at least 1"):
        ColBERTReranker(index).rerank(QUESTION, FOREIGN, 0)
