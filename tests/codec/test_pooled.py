"""Compact codes of single vectors: what is kept of a direction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.codec.pooled import compress_pooled, decompress_pooled, pooled_bytes


def cosines(vectors: np.ndarray) -> np.ndarray:
    found = decompress_pooled(*compress_pooled(vectors), vectors.shape[1])
    return (found * vectors).sum(axis=1) / np.linalg.norm(vectors, axis=1)


@pytest.mark.parametrize(("dim", "least"), [(1, 0.999), (2, 0.98), (16, 0.97), (128, 0.985), (384, 0.985)])
def test_directions_are_kept(dim: int, least: float):
    vectors = np.random.default_rng(dim).normal(size=(500, dim)).astype(np.float32)
    assert cosines(vectors).min() > least


def test_vectors_with_few_large_components_get_wider_steps():
    vectors = np.random.default_rng(1).standard_t(3, size=(500, 384)).astype(np.float32)
    assert cosines(vectors).mean() > 0.96
    assert cosines(np.eye(16, dtype=np.float32)).min() > 0.96


@given(st.integers(1, 40), st.integers(0, 20), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_shapes_lengths_and_each_vector_on_its_own(dim: int, count: int, seed: int):
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(count, dim)) * (rng.random((count, 1)) > 0.2)).astype(np.float32)
    rows, scales = compress_pooled(vectors)
    assert rows.shape == (count, pooled_bytes(dim))
    assert pooled_bytes(dim) % 8 == 0
    assert 2 * pooled_bytes(dim) >= dim
    zero = ~vectors.any(axis=1)
    np.testing.assert_array_equal(scales == 0, zero)
    found = decompress_pooled(rows, scales, dim)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1 - zero, atol=1e-5)
    for place in range(count):
        alone, scale = compress_pooled(vectors[place : place + 1] * np.float32(4))  # no length is kept
        np.testing.assert_array_equal(alone[0], rows[place])
        assert scale[0] == scales[place]
