"""Corpora of any size: the same for everyone, never twice the same document, made of real tokens."""

import numpy as np
import pytest

REAL = 300


@pytest.fixture
def source(script, tmp_path):
    """300 documents of random directions."""
    rng = np.random.default_rng(7)
    doclens = rng.integers(20, 60, REAL)
    vectors = rng.standard_normal((doclens.sum(), 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(tmp_path / "emb.npy", vectors.astype(np.float16))
    np.save(tmp_path / "doclens.npy", doclens)
    return script("vectors").VectorSet(tmp_path)


@pytest.fixture
def corpus(script, source, monkeypatch):
    """2,000 documents in chunks of 256."""
    module = script("corpus")
    monkeypatch.setattr(module, "CHUNK", 256)
    return module.Corpus(source, 2000)


def documents(corpus):
    return [document for chunk in corpus for document in chunk]


def test_the_first_documents_are_the_real_ones(corpus, source):
    made = documents(corpus)
    assert len(made) == 2000 == len(list(corpus.ids()))
    real = np.split(source.embeddings.astype(np.float32), source.offsets[1:-1])
    for document, expected in zip(made[:REAL], real, strict=True):
        np.testing.assert_array_equal(document, expected)


def test_a_chunk_is_the_same_when_made_again_alone(script, corpus, source):
    chunks = list(corpus)
    for number in (5, 1, 7):
        again = script("corpus").Corpus(source, 2000).chunk(number)
        np.testing.assert_array_equal(again.vectors, chunks[number].vectors)
        np.testing.assert_array_equal(again.doclens, chunks[number].doclens)


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one(script, corpus, source):
    smaller = documents(script("corpus").Corpus(source, 777))
    for one, other in zip(smaller, documents(corpus), strict=False):
        np.testing.assert_array_equal(one, other)
    assert len(smaller) == 777


def test_another_seed_grows_other_documents(script, corpus, source):
    other = script("corpus").Corpus(source, 2000, seed=1).chunk(3)
    assert other.vectors.tobytes() != corpus.chunk(3).vectors.tobytes()


def test_no_document_is_repeated(corpus):
    made = documents(corpus)
    assert len({document.tobytes() for document in made}) == len(made)


def test_vectors_are_of_length_one(corpus):
    for chunk in corpus:
        assert chunk.vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(chunk.vectors, axis=1), 1, atol=2e-3)


def test_grown_documents_are_runs_of_two_to_four_passages_near_their_tokens(corpus, source):
    real = source.embeddings.astype(np.float32)
    owner = np.repeat(np.arange(REAL), source.doclens)
    for document in list(corpus.chunk(4))[:50]:
        cosines = document @ real.T
        nearest = cosines.argmax(axis=1)
        np.testing.assert_allclose(cosines.max(axis=1), 0.97, atol=0.02)
        breaks = np.flatnonzero(np.diff(nearest) != 1)
        passages = owner[nearest]
        assert 2 <= len(set(passages)) <= 4
        assert len(breaks) == len(set(passages)) - 1


def test_facts_count_without_making_vectors(corpus):
    assert corpus.facts() == {
        "documents": 2000,
        "tokens": sum(chunk.ntokens for chunk in corpus),
        "dim": 64,
    }


def test_the_digest_names_size_seed_and_content(script, corpus, source, tmp_path):
    module = script("corpus")
    digests = {
        corpus.digest,
        module.Corpus(source, 1999).digest,
        module.Corpus(source, 2000, seed=1).digest,
        module.Corpus(source, REAL).digest,
    }
    assert len(digests) == 4
    assert module.Corpus(source, 2000).digest == corpus.digest


def test_the_reference_is_exact_and_kept(script, corpus, tmp_path, monkeypatch):
    reference = script("reference")
    monkeypatch.setattr(reference, "CHUNK", 256)
    rng = np.random.default_rng(0)
    queries = [rng.standard_normal((5, 64)).astype(np.float32) for _ in range(3)]
    found = reference.reference(corpus, queries, tmp_path / "cache")
    made = documents(corpus)
    for query, numbers in zip(queries, found, strict=True):
        scores = np.array([(query @ document.T).max(axis=1).sum() for document in made])
        np.testing.assert_allclose(scores[numbers], np.sort(scores)[::-1][:100], rtol=1e-4)
    monkeypatch.setattr(reference, "best", None)
    np.testing.assert_array_equal(reference.reference(corpus, queries, tmp_path / "cache"), found)


def test_ties_go_to_the_lower_number(script):
    best = script("reference").Best.none(1, 3)
    best.add(0, np.array([[1.0, 2.0]], dtype=np.float32))
    best.add(2, np.array([[2.0, 3.0, 2.0]], dtype=np.float32))
    assert best.documents.tolist() == [[3, 1, 2]]


def test_a_sweep_is_all_combinations(script):
    grid = script("scale").grid(["nprobe=8,16", "scan=false"])
    assert list(grid) == [{"nprobe": 8, "scan": False}, {"nprobe": 16, "scan": False}]
