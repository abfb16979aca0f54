"""The parts of the benchmarks that decide what the figures mean."""

import numpy as np
import pytest


def test_passages_are_whole_sentences_of_enough_words(script):
    vectors = script("vectors")
    sentence = "one two three four five six seven eight nine ten. "
    assert [len(text.split()) for text in vectors.passages(sentence * 11)] == [60, 50]
    assert not list(vectors.passages(sentence * 3))
    assert not list(vectors.passages("word " * 111))


def test_padding_keeps_the_query_and_fills_with_its_own_tokens(script):
    vectors = script("vectors")
    rng = np.random.default_rng(0)
    query = rng.standard_normal((12, 128)).astype(np.float32)
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    filled = vectors.padded(query, rng)
    assert filled.shape == (32, 128)
    np.testing.assert_allclose(filled[:12], query, atol=1e-6)
    cosines = (filled * query[np.arange(32) % 12]).sum(axis=1)
    assert cosines.min() > 0.9


def test_exact_is_maxsim(script):
    exact = script("exact")
    rng = np.random.default_rng(0)
    doclens = rng.integers(1, 9, 2000)
    offsets = np.concatenate([[0], np.cumsum(doclens)])
    vectors = rng.standard_normal((offsets[-1], 16)).astype(np.float16)
    query = rng.standard_normal((4, 16)).astype(np.float32)
    best = exact.best(vectors, offsets, [query], 5)[0]
    dots = vectors.astype(np.float32) @ query.T
    scores = np.maximum.reduceat(dots, offsets[:-1], axis=0).sum(axis=1)
    assert best.tolist() == np.argsort(-scores)[:5].tolist()


@pytest.mark.parametrize(
    ("scans", "searches", "expected"),
    [
        ([1.0, 2.0, 4.0], [2.0, 2.0, 2.0], 200),
        ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], None),
        ([3.0, 3.0, 3.0], [2.0, 2.0, 2.0], 100),
    ],
)
def test_crossing(script, scans, searches, expected):
    assert script("scan_threshold").crossing([100, 200, 400], scans, searches) == expected
