"""The scaled codec: what it keeps of vectors, at any width, and what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plait import errors
from plait.codec import ScaledCodec
from plait.codec.scaled import LEVELS, allocate, centroid_count
from tests.conftest import clustered

VECTORS = clustered(400, dim=64).vectors


def rebuilt(codec: ScaledCodec, vectors: np.ndarray) -> np.ndarray:
    tokens = codec.compress(vectors)
    return codec.decompress(tokens.codes, tokens.residuals, tokens.gains)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def test_higher_levels_keep_more():
    kept = [cosines(VECTORS, rebuilt(ScaledCodec.fit(VECTORS, level=level), VECTORS)) for level in LEVELS]
    means = [values.mean() for values in kept]
    assert means == sorted(means)
    assert means[0] > 0.85
    assert means[1] > 0.95
    assert means[2] > 0.99


@pytest.mark.parametrize("level", LEVELS)
def test_vectors_keep_their_length(level: str):
    lengths = np.linalg.norm(rebuilt(ScaledCodec.fit(VECTORS, level=level), VECTORS), axis=1)
    assert np.abs(lengths - 1).max() < 0.15
    assert abs(lengths.mean() - 1) < 0.01


def test_turning_keeps_dot_products():
    codec = ScaledCodec.fit(VECTORS)
    turned = codec.rotate(VECTORS[:50])
    assert np.allclose(turned @ turned.T, VECTORS[:50] @ VECTORS[:50].T, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    dim=st.integers(1, 200),
    ntokens=st.integers(1, 60),
    level=st.sampled_from(list(LEVELS)),
    seed=st.integers(0, 9),
)
@example(dim=1, ntokens=5, level="balanced", seed=0)
@example(dim=1, ntokens=2, level="compact", seed=0)
def test_any_width_and_any_number_of_tokens(dim: int, ntokens: int, level: str, seed: int):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(ntokens, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codec = ScaledCodec.fit(vectors, level=level, seed=seed).checked()
    tokens = codec.compress(vectors)
    assert tokens.codes.shape == tokens.gains.shape == (ntokens,)
    assert tokens.residuals.shape == (ntokens, codec.row_bytes)
    assert tokens.codes.max() < codec.ncentroids
    again = codec.decompress(tokens.codes, tokens.residuals, tokens.gains)
    assert again.shape == (ntokens, dim)
    assert np.isfinite(again).all()
    assert cosines(vectors, again).mean() > 0.3


@pytest.mark.parametrize("dim", [1, 2, 16, 33])
@pytest.mark.parametrize("signs", [[1, -1], [1, 1, 1, 1, -1], [-1, 1, -1, -1, -1, 1]])
def test_opposite_vectors_keep_their_signs(dim: int, signs: list[int]):
    """Their one centroid is zero, or points against some of them, and nothing else is left of those."""
    vector = np.random.default_rng(dim).normal(size=dim)
    vectors = np.outer(signs, vector / np.linalg.norm(vector)).astype(np.float32)
    assert np.abs(rebuilt(ScaledCodec.fit(vectors), vectors) - vectors).max() < 0.1


@pytest.mark.parametrize("vectors", [np.zeros((5, 16)), np.ones((5, 16)), np.eye(16)[:1]])
def test_vectors_without_detail(vectors: np.ndarray):
    vectors = vectors.astype(np.float32)
    again = rebuilt(ScaledCodec.fit(vectors), vectors)
    assert np.isfinite(again).all()
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    assert np.abs(again - unit).max() < 0.1


def test_same_vectors_same_codec_on_any_number_of_threads():
    one, two = (ScaledCodec.fit(VECTORS, seed=3, threads=threads) for threads in (1, 2))
    for field in dataclasses.fields(one):
        assert np.array_equal(getattr(one, field.name), getattr(two, field.name)), field.name
    first, second = one.compress(VECTORS, 1), two.compress(VECTORS, 2)
    assert np.array_equal(first.residuals, second.residuals)
    assert np.array_equal(first.gains, second.gains)


def test_an_unknown_level_is_named():
    with pytest.raises(errors.InvalidParameter, match="compact, balanced, precise, not 'huge'"):
        ScaledCodec.fit(VECTORS, level="huge")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"bits": [4, 0, 0]}, r"bits\.npy"),
        ({"bits": [0, 8, 0]}, r"bits\.npy"),
        ({"bits": [64, 16, 0]}, r"bits\.npy"),
        ({"heads": np.zeros((0, 64))}, "heads.npy"),
        ({"head_scales": [1.0, 2.0]}, "head_scales.npy"),
        ({"group_lengths": [0]}, "group_lengths.npy"),
        ({"group_lengths": [1]}, "group_lengths.npy"),
    ],
)
def test_arrays_that_do_not_fit_are_named(changes: dict, named: str):
    codec = ScaledCodec.fit(VECTORS)
    arrays = {name: np.asarray(value, dtype=getattr(codec, name).dtype) for name, value in changes.items()}
    with pytest.raises(ValueError, match=named):
        dataclasses.replace(codec, **arrays).checked()


@settings(deadline=None)
@given(
    variances=st.lists(st.floats(0, 1, width=32), min_size=8, max_size=256),
    row_bytes=st.integers(1, 32).map(lambda units: 4 * units),
)
def test_bits_fit_and_go_where_the_variance_is(variances: list[float], row_bytes: int):
    width = len(variances) // 8 * 8
    four, two, one = allocate(np.sort(np.array(variances[:width], np.float32))[::-1], row_bytes)
    assert (four % 8, two % 16, one % 32) == (0, 0, 0)
    assert four + two + one <= width
    assert four // 2 + two // 4 + one // 8 <= row_bytes


def test_bits_by_hand():
    assert allocate(np.r_[np.ones(8), np.zeros(120)].astype(np.float32), 4) == (8, 0, 0)
    assert allocate(np.ones(128, np.float32), 16) == (0, 0, 128)
    assert allocate(np.ones(128, np.float32), 64) == (128, 0, 0)


def test_centroids_grow_with_tokens_and_little_detail():
    assert centroid_count(1, 2.0) == 1
    assert centroid_count(96 * 1024, 1.75) == 1024
    assert centroid_count(96 * 1024, 0.75) == 2048
    assert centroid_count(10**12, 2.0) == 65_536
