"""Arrays as a broken file would give them: an error that names the place, never a crash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plait.kernels import _native
from tests.kernels.cases import Case, make_case, make_lists

SCORERS = ("maxsim_codes", "approximate", "maxsim")


@pytest.fixture(scope="module", params=[1, 2, 4, 8])
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(1, nq=20, nbits=request.param, doclens=(3, 0, 1, 30, 12), repeats=1)


def changed(array: np.ndarray, at: int, value: int) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


def score(native: _native.Kernels, kernel: str, case: Case, **changes: Any) -> np.ndarray:
    return getattr(native, kernel)(**getattr(case, kernel)(**changes))


@pytest.mark.parametrize("kernel", SCORERS)
@pytest.mark.parametrize("doc", [5, 6, 2**31, 2**32 - 1])
def test_documents(native: _native.Kernels, case: Case, kernel: str, doc: int) -> None:
    for at in range(len(case.docs)):
        with pytest.raises(ValueError, match=rf"docs\[{at}\] is out of range: the segment has 5 documents"):
            score(native, kernel, case, docs=changed(case.docs, at, doc))


@pytest.mark.parametrize("kernel", SCORERS)
@pytest.mark.parametrize("value", [-1, 47, 2**40, -(2**63), 2**63 - 1])
def test_offsets(native: _native.Kernels, case: Case, kernel: str, value: int) -> None:
    for at in range(len(case.offsets)):
        with pytest.raises(ValueError, match=r"offsets\[\d\] is out of range"):
            score(native, kernel, case, offsets=changed(case.offsets, at, value))


@pytest.mark.parametrize("kernel", SCORERS)
def test_descending_offsets(native: _native.Kernels, case: Case, kernel: str) -> None:
    with pytest.raises(ValueError, match=r"offsets\[2\] is out of range"):
        score(native, kernel, case, offsets=changed(case.offsets, 1, 40))


@pytest.mark.parametrize("kernel", ["maxsim_codes", "approximate", "decompress", "inverse_norms", "compress"])
def test_codes(native: _native.Kernels, case: Case, kernel: str) -> None:
    arguments = "decompress" if kernel == "inverse_norms" else kernel
    for at in (0, 3, 20, 45):
        for code in (50, 2**31, 2**32 - 1):
            with pytest.raises(ValueError, match=rf"codes\[{at}\] is out of range: there are 50 centroids"):
                getattr(native, kernel)(**getattr(case, arguments)(codes=changed(case.codes, at, code)))


def test_codes_to_sum(native: _native.Kernels, case: Case) -> None:
    with pytest.raises(ValueError, match=r"codes\[7\] is out of range: there are 50 centroids"):
        native.sum_by_centroid(case.vectors, changed(case.codes, 7, 50), 50)


def test_tokens_of_documents_not_asked_for_may_be_broken(native: _native.Kernels, case: Case) -> None:
    docs = np.array([0, 2], dtype=np.uint32)
    broken = changed(case.codes, 20, 2**32 - 1)
    expected = score(native, "maxsim_codes", case, docs=docs)
    np.testing.assert_array_equal(score(native, "maxsim_codes", case, docs=docs, codes=broken), expected)


@pytest.mark.parametrize("some", [False, True])
def test_lists(native: _native.Kernels, some: bool) -> None:
    lists = make_lists(2, ndocs=100, nq=3, nprobe=40, some=some)
    assert lists.ivf_pids[0] < lists.ivf_pids[1]

    def gather(message: str, **changes: Any) -> None:
        with pytest.raises(ValueError, match=message):
            native.gather(**lists.arguments(**changes))

    gather(r"ivf_pids\[5\] is out of range: the segment has 100", ivf_pids=changed(lists.ivf_pids, 5, 100))
    gather(r"ivf_pids\[5\] is out of range", ivf_pids=changed(lists.ivf_pids, 5, 2**32 - 1))
    gather(r"ivf_offsets\[3\] is out of range", ivf_offsets=changed(lists.ivf_offsets, 3, -1))
    gather(r"ivf_offsets\[\d\] is out of range", ivf_offsets=changed(lists.ivf_offsets, 3, 2**62))
    gather(
        r"ivf_offsets\[40\] is out of range",
        ivf_offsets=changed(lists.ivf_offsets, 40, len(lists.ivf_pids) + 1),
    )
    probes = lists.probes.copy()
    probes[1, 2] = 40
    gather(r"probes\[42\] .* is out of range: there are 40 centroids", probes=probes)
    probes = lists.probes.copy()
    probes[2, 39] = 2**32 - 1
    gather(r"probes\[119\] .* is out of range", probes=probes)


def test_lists_that_do_not_ascend(native: _native.Kernels) -> None:
    pids = np.array([150_000, 3], dtype=np.uint32)
    lists = make_lists(2, ndocs=200_000, nq=1, nprobe=1, ncentroids=1, longest=0)
    arguments = lists.arguments(ivf_pids=np.repeat(pids, 40_000), ivf_offsets=np.array([0, 80_000]))
    with pytest.raises(ValueError, match=r"ivf_pids\[40000\] is out of range: a list must ascend"):
        native.gather(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": 16}, "shift must be between 0 and 15, got 16"),
        ({"shift": -1}, "shift must be between 0 and 15, got -1"),
        ({"nbits": 3}, "nbits must be 1, 2, 4 or 8, got 3"),
        ({"nbits": 4}, "residuals has 32 bytes in a row, expected 64"),
        ({"levels": np.zeros(3, np.uint8)}, "levels has 3 entries, expected 4"),
        ({"levels": np.full(4, 128, np.uint8)}, "levels must be below 128"),
        ({"scales": np.zeros(45, np.float16)}, "scales has 45 entries, expected 46"),
        ({"codes": np.zeros(45, np.uint32)}, "residuals has 46 rows, expected 45"),
        ({"table": np.zeros((50, 24), np.int16)}, "multiple of 16"),
        ({"table": np.zeros((50, 16), np.int16)}, "too few for 20 query tokens"),
        ({"lane_weights": np.zeros(20, np.float32)}, "lane_weights has 20 entries, expected 32"),
        ({"offsets": np.zeros(0, np.int64)}, "offsets must have one entry more"),
        ({"query8": np.zeros((20, 0), np.int8)}, "dim must be between 1 and 65535"),
    ],
)
def test_sizes_that_do_not_fit(native: _native.Kernels, changes: dict[str, Any], message: str) -> None:
    case = make_case(1, nq=20, doclens=(3, 0, 1, 30, 12))
    with pytest.raises(ValueError, match=message):
        native.maxsim_codes(**case.maxsim_codes(**changes))


def test_wrong_kinds_of_arrays(native: _native.Kernels) -> None:
    case = make_case(1)
    with pytest.raises(TypeError, match="docs must be uint32 with 1 dimension"):
        native.maxsim(**case.maxsim(docs=case.docs.astype(np.int64)))
    with pytest.raises(TypeError, match=r"query must be float32 with 2 dimension.* got float32 with 1"):
        native.maxsim(**case.maxsim(query=case.query[0]))
    with pytest.raises(ValueError, match="vectors must be contiguous"):
        native.maxsim(**case.maxsim(vectors=np.asfortranarray(case.vectors)))
    with pytest.raises(ValueError, match="docs must be contiguous"):
        native.maxsim(**case.maxsim(docs=case.docs[::2]))
    with pytest.raises(TypeError, match="scales must be float16"):
        native.maxsim_codes(**case.maxsim_codes(scales=case.scales.view(np.uint16)))
    with pytest.raises(TypeError):
        native.maxsim(**case.maxsim(docs=[1, 2]))


def test_other_sizes(native: _native.Kernels) -> None:
    table = np.zeros((5, 16), dtype=np.int16)
    floats = np.zeros((2, 8), dtype=np.float32)
    with pytest.raises(ValueError, match="nprobe must be between 0 and 5"):
        native.top_centroids(table, 3, 6)
    with pytest.raises(ValueError, match="too few for 17"):
        native.top_centroids(table, 17, 2)
    with pytest.raises(ValueError, match="nq must not be negative"):
        native.top_centroids(table, -1, 2)
    with pytest.raises(ValueError, match="k must not be negative"):
        native.top_k(np.zeros(3, dtype=np.float32), -1)
    with pytest.raises(ValueError, match="between 1 and"):
        native.assign(floats, np.zeros((0, 8), dtype=np.uint8), np.zeros(0, dtype=np.float32))
    with pytest.raises(ValueError, match="centroids8 has 7 columns, expected 8"):
        native.assign(floats, np.zeros((1, 7), dtype=np.uint8), np.zeros(1, dtype=np.float32))
    with pytest.raises(ValueError, match="cutoffs has 4 entries, expected 3"):
        native.compress(floats, floats, np.zeros(2, np.uint32), np.zeros(4, np.float32), 2)
    with pytest.raises(ValueError, match="ncentroids must be between"):
        native.sum_by_centroid(floats, np.zeros(2, np.uint32), -1)
    lists = make_lists(0, ndocs=10, nq=2, nprobe=2, some=True)
    with pytest.raises(ValueError, match="allowed has 9 entries, expected 10"):
        native.gather(**lists.arguments(allowed=np.zeros(9, dtype=np.uint8)))
