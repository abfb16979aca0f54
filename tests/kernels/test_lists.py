"""Candidates of the scaled codec equal their twins bit for bit, at any size, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.kernels import NO_ROW, _native, reference_scaled

ISAS = _native.available_isas()
WIDTHS = st.integers(1, 25).map(lambda eighths: 8 * eighths)


def every(name: str, *arguments: object) -> list[object]:
    """What each instruction set answers."""
    return [getattr(_native.kernels(isa), name)(*arguments) for isa in ISAS]


def same(found: object, expected: object) -> None:
    for mine, twin in (
        zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    ):
        np.testing.assert_array_equal(mine, twin)
        assert mine.dtype == twin.dtype
        assert mine.shape == twin.shape


@given(st.integers(0, 2**32), st.integers(0, 40), WIDTHS, st.sampled_from([0.0, 0.5, 0.9, 1.0, 2.0]))
@settings(max_examples=60, deadline=None)
def test_merge_tokens(seed: int, nq: int, width: int, similarity: float):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(max(1, nq // 3), width))
    query = base[rng.integers(len(base), size=nq)] + 0.2 * rng.normal(size=(nq, width))
    query = (query * (rng.random((nq, 1)) > 0.1)).astype(np.float32)
    twin = reference_scaled.merge_tokens(query, similarity)
    for found in every("merge_tokens", query, similarity):
        same(found, twin)


@given(st.integers(0, 2**32), st.integers(0, 20), WIDTHS, st.integers(0, 12), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_top_rows(seed: int, nq: int, width: int, ngroups: int, count: int):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 40, size=ngroups))]).astype(np.int64)
    # Few distinct rows, so that there are ties.
    rows = rng.integers(0, 256, size=(max(1, offsets[-1] // 3), width), dtype=np.uint8)
    rows = rows[rng.integers(len(rows), size=offsets[-1])]
    scales = rng.choice(np.array([0.0, 0.01, 0.02], dtype=np.float32), size=offsets[-1])
    query = (rng.normal(size=(nq, width)) * rng.integers(0, 2, size=(nq, 1))).astype(np.float32)
    probes = np.full((nq, ngroups), NO_ROW, dtype=np.uint32)
    for token in range(nq):
        chosen = rng.permutation(ngroups)[: rng.integers(0, ngroups + 1)]
        probes[token, : len(chosen)] = chosen
    arguments = (query, probes, offsets, rows, scales, count)
    twin = reference_scaled.top_rows(*arguments)
    for found in every("top_rows", *arguments):
        same(found, twin)


def listed(docs: np.ndarray, nbytes: int) -> np.ndarray:
    if nbytes == 3:
        return docs.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].copy()
    return docs.astype({2: np.uint16, 4: np.uint32}[nbytes])


@given(
    st.integers(0, 2**32),
    st.integers(0, 12),
    st.integers(1, 9),
    st.sampled_from([1, 7, 300, 60_000, 140_000, 300_000]),
    st.sampled_from([2, 3, 4]),
    st.sampled_from([0, 1, 5, 100, 10_000]),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_gather_top(seed: int, nq: int, nprobe: int, ndocs: int, nbytes: int, count: int, filtered: bool):
    rng = np.random.default_rng(seed)
    ndocs = min(ndocs, 1 << (8 * nbytes))
    lists = [np.unique(rng.integers(ndocs, size=rng.integers(0, 60))) for _ in range(15)]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    docs = listed(np.concatenate(lists), nbytes)
    chosen = np.full((nq, nprobe), NO_ROW, dtype=np.uint32)
    for token in range(nq):
        own = rng.permutation(15)[: rng.integers(0, nprobe + 1)]
        chosen[token, : len(own)] = own
    # Few distinct scores, so that there are ties.
    steps = -np.sort(-rng.integers(0, 4, size=(nq, nprobe)), axis=1)
    scores = (steps * rng.integers(1, 65_536 // (3 * max(1, nq)))).astype(np.uint16)
    allowed = rng.integers(0, 2, size=ndocs, dtype=np.uint8) if filtered else None
    arguments = (chosen, scores, offsets, docs, allowed, ndocs, count)
    twin = reference_scaled.gather_top(*arguments)
    for found in every("gather_top", *arguments):
        same(found, twin)


def test_gather_top_of_very_many_lists():
    rng = np.random.default_rng(0)
    ndocs, nq, nprobe = 200_000, 300, 300
    lists = [np.unique(rng.integers(ndocs, size=20)) for _ in range(500)]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    chosen = rng.integers(len(lists), size=(nq, nprobe)).astype(np.uint32)
    gains = -np.sort(-rng.integers(0, 200, size=chosen.shape), axis=1).astype(np.int64)
    arguments = (chosen, gains.astype(np.uint16), offsets, listed(np.concatenate(lists), 4), None, ndocs, 500)
    twin = reference_scaled.gather_top(*arguments)
    for found in every("gather_top", *arguments):
        same(found, twin)


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(0, 30), max_size=60),
    st.integers(1, 500),
    st.sampled_from([2, 3, 4]),
    st.sampled_from([np.uint16, np.uint32]),
)
@settings(max_examples=60, deadline=None)
def test_invert(seed: int, doclens: list[int], nlists: int, nbytes: int, dtype: type):
    offsets = np.concatenate([[0], np.cumsum(doclens)]).astype(np.int64)
    codes = np.random.default_rng(seed).integers(nlists, size=offsets[-1]).astype(dtype)
    twin = reference_scaled.invert(codes, offsets, nlists, nbytes)
    for found in every("invert", codes, offsets, nlists, nbytes):
        same(found, twin)


@pytest.mark.parametrize("isa", ISAS)
def test_broken_values_are_refused(isa: str):
    kernels = _native.kernels(isa)
    query, rows = np.ones((1, 8), dtype=np.float32), np.ones((4, 8), dtype=np.uint8)
    scales, one = np.ones(4, dtype=np.float32), np.zeros((1, 1), dtype=np.uint32)
    offsets = np.array([0, 4], dtype=np.int64)
    with pytest.raises(ValueError, match="probes"):
        kernels.top_rows(query, one + 1, offsets, rows, scales, 2)
    for broken in ([0, 5], [3, 2], [-1, 2]):
        with pytest.raises(ValueError, match="offsets"):
            kernels.top_rows(query, one, np.array(broken), rows, scales, 2)
    value = np.ones((1, 1), dtype=np.uint16)
    docs = np.array([0, 1, 2, 9], dtype=np.uint16)
    with pytest.raises(ValueError, match="probes"):
        kernels.gather_top(one + 1, value, offsets, docs, None, 10, 5)
    with pytest.raises(ValueError, match="pids"):
        kernels.gather_top(one, value, offsets, docs, None, 9, 5)
    for broken in ([0, 5], [3, 2], [-1, 2]):
        with pytest.raises(ValueError, match="offsets"):
            kernels.gather_top(one, value, np.array(broken), docs, None, 10, 5)
    both = np.zeros((2, 1), dtype=np.uint32)
    with pytest.raises(ValueError, match="sum to at most 65535"):
        kernels.gather_top(both, np.array([[65_000], [536]], np.uint16), offsets, docs, None, 10, 5)
    with pytest.raises(ValueError, match="codes"):
        kernels.invert(docs, offsets, 9, 2)
    for broken in ([0, 5], [0, 3, 2], [-1, 2]):
        with pytest.raises(ValueError, match="offsets"):
            kernels.invert(docs, np.array(broken), 10, 2)
    with pytest.raises(ValueError, match="can't be written in 2 bytes"):
        kernels.invert(np.zeros(0, dtype=np.uint16), np.zeros(70_000, dtype=np.int64), 1, 2)
