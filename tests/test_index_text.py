"""The main job end to end: text in, hits out, with the built-in encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

import plait
from plait import errors

TEXTS = [
    "Paris is the capital of France.",
    "The Loire is the longest river in France.",
    "Berlin is the capital of Germany.",
    "Bread rises because yeast makes carbon dioxide.",
]


@pytest.fixture
def index(tmp_path: Path) -> plait.Index:
    index = plait.Index.create(tmp_path / "index")
    index.add(TEXTS, ids=["paris", "loire", "berlin", "bread"], metadata=[{"n": n} for n in range(4)])
    return index


def test_questions_find_their_passages(index):
    assert index.search("What is the capital of France?", 1)[0].id == "paris"
    assert index.search("longest French river", 1)[0].id == "loire"
    hit = index.search("why does dough grow?", 1)[0]
    assert (hit.id, hit.text, hit.metadata) == ("bread", TEXTS[3], {"n": 3})


def test_a_batch_gives_the_same_bits_as_one_by_one(index):
    queries = ["capital", "What is the capital of France?", "yeast " * 30]
    assert index.search_all(queries, 4, threads=3) == [index.search(query, 4) for query in queries]


def test_reopening_loads_the_same_encoder(index):
    before = index.search("capital of Germany", 4)
    index.close()
    with plait.Index.open(index.path) as again:
        assert again.encoder.name == "plait-colbert-minilm-128"
        assert again.search("capital of Germany", 4) == before
        again.add(["Madrid is the capital of Spain."], ids=["madrid"])
        assert again.search("capital of Spain", 1)[0].id == "madrid"


def test_another_encoder_is_refused(index):
    class Other:
        dim, name, fingerprint = 128, "other", "0" * 64

    with pytest.raises(errors.EncoderMismatch, match="'plait-colbert-minilm-128', but 'other'"):
        plait.Index.open(index.path, model=Other())


def test_empty_texts_are_named_before_anything_is_encoded(index):
    with pytest.raises(errors.EmptyText, match=r"texts\[1500\] is empty"):
        index.add(["a"] * 1500 + [" \n"])
    with pytest.raises(errors.EmptyText, match=r"queries\[0\] is empty"):
        index.search("")
    with pytest.raises(errors.InvalidParameter, match=r"texts\[1\] must be a string, not int"):
        index.add(["a", 5])
    assert len(index) == 4


def test_an_index_of_texts_takes_vectors_of_its_encoder(index):
    vectors = index.encoder.encode_documents(["Rome is the capital of Italy."])
    index.add(vectors=vectors, texts=["about Rome"], ids=["rome"])
    hit = index.search("capital of Italy", 1)[0]
    assert (hit.id, hit.text) == ("rome", "about Rome")
    with pytest.raises(errors.DimensionMismatch):
        index.add(vectors=[[[1.0] * 64]])


def test_rerank_orders_texts_without_an_index():
    hits = plait.rerank("What is the capital of France?", TEXTS, 2)
    assert hits[0].id == "0"
    assert hits[0].text == TEXTS[0]
    assert [hit.rank for hit in hits] == [1, 2]
    named = plait.rerank("river", TEXTS, ids=["a", "b", "c", "d"])
    assert named[0].id == "b"
    assert len(named) == 4
    assert plait.rerank("river", []) == []
    for bad in ({"k": 0}, {"ids": ["a"]}):
        with pytest.raises(errors.InvalidParameter):
            plait.rerank("river", TEXTS, **bad)


def test_maxsim_is_the_formula(index):
    query = index.encoder.encode_queries(["capital of France"])[0]
    document = index.encoder.encode_documents([TEXTS[0]])[0]
    assert plait.maxsim(query, document) == pytest.approx(
        float((query @ document.T).max(axis=1).sum()), rel=1e-5
    )
    assert plait.maxsim(query, document) == pytest.approx(
        index.search("capital of France", 1)[0].score, rel=1e-5
    )
    for wrong in (document[:, :64], document[:0], [[float("nan")] * 128], [1.0]):
        with pytest.raises(errors.InvalidInput):
            plait.maxsim(query, wrong)
