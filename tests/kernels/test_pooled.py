"""The scan over single vectors equals its twin bit for bit, at any size, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.kernels import _native, quantise_query, reference_pooled
from tests.kernels.test_lists import every, same


@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 3, 4, 15, 16, 17, 33, 400]),
    st.sampled_from([8, 16, 24, 32, 56, 64, 72, 192, 200]),
    st.sampled_from([0, 1, 10, 60, 1000]),
    st.sampled_from([None, 0.0, 0.05, 0.6, 1.0]),
)
@settings(max_examples=120, deadline=None)
def test_top_pooled(seed: int, count: int, nbytes: int, k: int, allowed: float | None):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, size=(max(1, count // 2), nbytes), dtype=np.uint8)
    rows = rows[rng.integers(len(rows), size=count)]  # some twice, so that there are ties
    scales = rng.choice(np.array([0.0, 0.01, 0.02], dtype=np.float32), size=count)
    query, scale = quantise_query(
        (rng.normal(size=2 * nbytes - 3) * rng.integers(0, 4)).astype(np.float32), 2 * nbytes
    )
    mask = None if allowed is None else (rng.random(count) < allowed).astype(np.uint8)
    arguments = (query, scale, rows, scales, mask, k)
    twin = reference_pooled.top_pooled(*arguments)
    assert len(twin[0]) == min(k, count if mask is None else int(mask.sum()))
    for found in every("top_pooled", *arguments):
        same(found, twin)


def test_the_largest_sums_fit():
    """All levels and all parts of the query at their ends, in the widest vector."""
    query = np.stack([np.full(8192, 127), np.full(8192, 63)]).astype(np.int8)
    rows = np.full((5, 4096), 255, dtype=np.uint8)
    arguments = (query, 1.0, rows, np.ones(5, dtype=np.float32), None, 5)
    twin = reference_pooled.top_pooled(*arguments)
    assert twin[1][0] == 15 * 8192 * (127 * 128 + 63)
    for found in every("top_pooled", *arguments):
        same(found, twin)
    lowest = (np.full_like(query, -127), *arguments[1:])
    for found in every("top_pooled", *lowest):
        same(found, reference_pooled.top_pooled(*lowest))


@pytest.mark.parametrize("dim", [1, 15, 16, 200])
def test_the_parts_of_a_query_give_it_back(dim: int):
    vector = np.random.default_rng(dim).normal(size=dim).astype(np.float32)
    parts, scale = quantise_query(vector, 208)
    whole = 128 * parts[0].astype(int) + parts[1]
    assert np.abs(whole).max() == 127 * 128
    np.testing.assert_allclose(whole[:dim] * scale, vector, atol=0.501 * scale)
    assert not whole[dim:].any()


def test_wrong_arrays(native: _native.Kernels):
    query, rows, scales = np.zeros((2, 32), np.int8), np.zeros((3, 16), np.uint8), np.ones(3, np.float32)
    for arguments, message in (
        ((query[:1], 1.0, rows, scales, None, 1), "query has 1 rows, expected 2"),
        ((query[:, :16].copy(), 1.0, rows, scales, None, 1), "query has 16 columns, expected 32"),
        ((query, 1.0, rows, scales[:2], None, 1), "scales has 2 entries, expected 3"),
        ((query, 1.0, rows, scales, np.ones(2, np.uint8), 1), "allowed has 2 entries, expected 3"),
        ((query, 1.0, rows, scales, None, -1), "count must not be negative"),
        ((query[:, :14].copy(), 1.0, rows[:, :7].copy(), scales, None, 1), "a multiple of 8 bytes"),
    ):
        with pytest.raises(ValueError, match=message):
            native.top_pooled(*arguments)
