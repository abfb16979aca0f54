"""Every native kernel on every instruction set against its twin in NumPy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.kernels import _native, reference
from tests.kernels.cases import DIMS, make_case, make_lists

seeds = st.integers(0, 2**32 - 1)
doclens = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 20, 25]), min_size=0, max_size=6)
nbits_ = st.sampled_from([1, 2, 4, 8])
cases = st.builds(
    make_case,
    seed=seeds,
    dim=st.sampled_from(DIMS),
    nq=st.integers(1, 70),
    nbits=nbits_,
    doclens=doclens.map(tuple),
    ncentroids=st.integers(1, 40),
)
check = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def assert_same(ours: Any, theirs: Any) -> None:
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs, strict=True)


@check
@given(case=cases)
def test_maxsim_codes(native: _native.Kernels, case: Any) -> None:
    assert_same(native.maxsim_codes(**case.maxsim_codes()), reference.maxsim_codes(**case.maxsim_codes()))


@check
@given(case=cases)
def test_approximate(native: _native.Kernels, case: Any) -> None:
    assert_same(native.approximate(**case.approximate()), reference.approximate(**case.approximate()))


@check
@given(case=cases)
def test_maxsim(native: _native.Kernels, case: Any) -> None:
    ours = native.maxsim(**case.maxsim())
    assert_same(ours, _native.kernels("scalar").maxsim(**case.maxsim()))
    np.testing.assert_allclose(ours, reference.maxsim(**case.maxsim()), rtol=1e-5, atol=1e-5)


@check
@given(case=cases)
def test_compress_and_decompress(native: _native.Kernels, case: Any) -> None:
    assert_same(native.compress(**case.compress()), reference.compress(**case.compress()))
    assert_same(native.decompress(**case.decompress()), reference.decompress(**case.decompress()))
    assert_same(native.inverse_norms(**case.decompress()), reference.inverse_norms(**case.decompress()))


@check
@given(case=cases)
def test_centroid_scores(native: _native.Kernels, case: Any) -> None:
    assert_same(
        native.centroid_scores(**case.centroid_scores()), reference.centroid_scores(**case.centroid_scores())
    )
    clipped = case.centroid_scores(row_scale=case.centroid_scales * 1e6)
    assert_same(native.centroid_scores(**clipped), reference.centroid_scores(**clipped))


@check
@given(case=cases)
def test_assign(native: _native.Kernels, case: Any) -> None:
    assert_same(native.assign(**case.assign()), reference.assign(**case.assign()))


@check
@given(case=cases)
def test_assign_grouped(native: _native.Kernels, case: Any) -> None:
    assert_same(
        native.assign_grouped(**case.assign_grouped()), reference.assign_grouped(**case.assign_grouped())
    )
    everything = case.assign_grouped(nprobe=len(case.assign_grouped()["heads8"]), margin=np.inf)
    assert_same(native.assign_grouped(**everything), reference.assign(**case.assign()))


@check
@given(case=cases)
def test_sum_by_centroid(native: _native.Kernels, case: Any) -> None:
    ours = native.sum_by_centroid(case.vectors, case.codes, len(case.centroids))
    for mine, theirs in zip(
        ours, reference.sum_by_centroid(case.vectors, case.codes, len(case.centroids)), strict=True
    ):
        assert_same(mine, theirs)


@check
@given(
    seed=seeds, ncentroids=st.integers(1, 300), nq=st.integers(1, 70), spread=st.sampled_from([2, 300, 32767])
)
def test_top_centroids(native: _native.Kernels, seed: int, ncentroids: int, nq: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(-spread - 1, spread + 1, (ncentroids, reference.lanes_of(nq))).astype(np.int16)
    for nprobe in {0, 1, min(7, ncentroids), ncentroids}:
        assert_same(native.top_centroids(table, nq, nprobe), reference.top_centroids(table, nq, nprobe))


@pytest.mark.parametrize("spread", [1, 40, 32767])
def test_top_centroids_of_many(native: _native.Kernels, spread: int) -> None:
    rng = np.random.default_rng(7)
    table = rng.integers(-spread - 1, spread + 1, (3001, 48)).astype(np.int16)
    table[:, 3] = -32768  # nothing lies below
    table[:, 20] = 32767
    table[:, 35] = np.sort(table[:, 35])
    for nprobe in (1, 5, 32, 90, 100):
        assert_same(native.top_centroids(table, 40, nprobe), reference.top_centroids(table, 40, nprobe))
        columns = np.ascontiguousarray(table[:, 4:20])
        assert_same(native.top_centroids(columns, 13, nprobe), reference.top_centroids(columns, 13, nprobe))


@check
@given(
    seed=seeds,
    ndocs=st.integers(1, 300),
    nq=st.integers(1, 40),
    nprobe=st.integers(1, 50),
    some=st.booleans(),
)
def test_gather(native: _native.Kernels, seed: int, ndocs: int, nq: int, nprobe: int, some: bool) -> None:
    lists = make_lists(seed, ndocs, nq, nprobe, some=some).arguments()
    for ours, theirs in zip(native.gather(**lists), reference.gather(**lists), strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("longest", [20, 20_000])
def test_gather_takes_large_segments_in_blocks(native: _native.Kernels, longest: int) -> None:
    lists = make_lists(5, 200_001, nq=9, nprobe=11, longest=longest).arguments()
    for ours, theirs in zip(native.gather(**lists), reference.gather(**lists), strict=True):
        assert_same(ours, theirs)


@check
@given(
    scores=st.lists(
        st.one_of(
            st.sampled_from([0.0, -0.0, 1.0, -1.0, float("-inf"), float("inf"), 1e-45]),
            st.floats(width=32, allow_nan=False, allow_subnormal=False),
        ),
        max_size=200,
    ),
    k=st.integers(0, 220),
)
def test_top_k(native: _native.Kernels, scores: list[float], k: int) -> None:
    values = np.array(scores, dtype=np.float32)
    assert_same(native.top_k(values, k), reference.top_k(values, k))


def test_top_k_of_many(native: _native.Kernels) -> None:
    values = np.random.default_rng(0).integers(0, 3000, 20_011).astype(np.float32)
    for k in (1, 10, 1000, 20_011):
        assert_same(native.top_k(values, k), reference.top_k(values, k))


@pytest.mark.parametrize("nbits", [1, 2, 4, 8])
@pytest.mark.parametrize("dim", [*DIMS, 48, 200, 513, 1030])
def test_every_level_and_dimension_is_decoded(native: _native.Kernels, dim: int, nbits: int) -> None:
    case = make_case(dim, dim=dim, nq=17, nbits=nbits, doclens=(40, 3, 30))
    assert_same(native.maxsim_codes(**case.maxsim_codes()), reference.maxsim_codes(**case.maxsim_codes()))


def test_extreme_values_do_not_saturate(native: _native.Kernels) -> None:
    for nbits in (1, 2, 4, 8):
        case = make_case(1, nbits=nbits)
        query = np.where(case.query8 > 0, 127, -128).astype(np.int8)
        levels = np.full(1 << nbits, 255 if nbits == 8 else 127, dtype=np.uint8)
        for shift in (0, 15):
            given_ = case.maxsim_codes(query8=query, levels=levels, shift=shift)
            assert_same(native.maxsim_codes(**given_), reference.maxsim_codes(**given_))
        scored = case.centroid_scores(query8=query, centroids8=np.full_like(case.centroids8, 255))
        assert_same(native.centroid_scores(**scored), reference.centroid_scores(**scored))


def test_every_half_precision_scale_is_read(native: _native.Kernels) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16)  # every finite value that is not negative
    n = len(halves)
    case = make_case(2, dim=8, nq=16, doclens=(n,), ncentroids=3)
    given_ = case.maxsim_codes(
        scales=halves, offsets=np.arange(n + 1, dtype=np.int64), docs=np.arange(n, dtype=np.uint32)
    )
    assert_same(native.maxsim_codes(**given_), reference.maxsim_codes(**given_))


def test_inverse_norms_round_to_nearest_even(native: _native.Kernels) -> None:
    rng = np.random.default_rng(3)
    n = 50_000
    centroids = (2.0 ** rng.uniform(-30, 30, (n, 1))).astype(np.float32)
    arguments = (
        np.arange(n, dtype=np.uint32),
        np.zeros((n, 1), dtype=np.uint8),
        centroids,
        np.zeros(2, dtype=np.float32),
        1,
    )
    with np.errstate(over="ignore"):
        assert_same(native.inverse_norms(*arguments), reference.inverse_norms(*arguments))


def test_zero_vectors(native: _native.Kernels) -> None:
    codes, rows = np.zeros(3, dtype=np.uint32), np.zeros((3, 4), dtype=np.uint8)
    arguments = (codes, rows, np.zeros((1, 16), dtype=np.float32), np.zeros(4, dtype=np.float32), 2)
    assert not native.decompress(*arguments).any()
    assert not native.inverse_norms(*arguments).any()
    assert_same(
        native.assign(np.zeros((3, 16), np.float32), np.full((2, 16), 9, np.uint8), np.ones(2, np.float32)),
        codes,
    )


def test_nothing_to_do(native: _native.Kernels) -> None:
    case = make_case(4, doclens=())
    assert native.maxsim(**case.maxsim()).shape == (0,)
    assert native.maxsim_codes(**case.maxsim_codes()).shape == (0,)
    assert native.approximate(**case.approximate()).shape == (0,)
    assert native.decompress(**case.decompress()).shape == (0, 128)
    assert native.compress(**case.compress()).shape == (0, 32)
    assert native.assign(**case.assign()).shape == (0,)
    assert native.top_k(np.zeros(0, dtype=np.float32), 5).shape == (0,)


def test_threads_do_not_disturb_each_other(native: _native.Kernels) -> None:
    case = make_case(8, doclens=(80, 3, 12, 31) * 20)
    expected = reference.maxsim_codes(**case.maxsim_codes())
    with ThreadPoolExecutor(4) as pool:
        parts = np.array_split(case.docs, 16)
        scored = list(pool.map(lambda docs: native.maxsim_codes(**case.maxsim_codes(docs=docs)), parts))
    assert_same(np.concatenate(scored), expected)


def test_read_only_memory_is_read(native: _native.Kernels, tmp_path: Any) -> None:
    case = make_case(6)
    np.save(tmp_path / "residuals.npy", case.residuals)
    mapped = np.load(tmp_path / "residuals.npy", mmap_mode="r")
    assert_same(
        native.maxsim_codes(**case.maxsim_codes(residuals=mapped)),
        reference.maxsim_codes(**case.maxsim_codes()),
    )
