"""The kernels of the scaled codec on every instruction set against their twins in NumPy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.kernels import _native
from plait.kernels import reference_scaled as scaled
from tests.kernels.scaled_cases import make_scaled
from tests.kernels.test_twins import assert_same, check, doclens, seeds

ALL_BITS = [
    (0, 0, 0),
    (8, 0, 0),
    (0, 16, 0),
    (0, 0, 32),
    (8, 16, 32),
    (64, 0, 0),
    (0, 96, 32),
    (0, 16, 64),
    (0, 0, 128),
    (128, 0, 0),
    (0, 128, 0),
    (40, 48, 32),
]
cases = st.builds(
    make_scaled,
    seed=seeds,
    width=st.integers(1, 25).map(lambda units: 8 * units),
    nq=st.integers(1, 70),
    doclens=doclens.map(tuple),
    ncentroids=st.integers(1, 40),
    zeros=st.booleans(),
)


@check
@given(case=cases)
def test_encode_scaled(native: _native.Kernels, case: Any) -> None:
    for ours, theirs in zip(
        native.encode_scaled(**case.encode()), scaled.encode_scaled(**case.encode()), strict=True
    ):
        assert_same(ours, theirs)


@check
@given(case=cases)
def test_decode_scaled(native: _native.Kernels, case: Any) -> None:
    assert_same(native.decode_scaled(**case.decode()), scaled.decode_scaled(**case.decode()))


@check
@given(case=cases)
def test_maxsim_scaled(native: _native.Kernels, case: Any) -> None:
    assert_same(native.maxsim_scaled(**case.maxsim()), scaled.maxsim_scaled(**case.maxsim()))


@check
@given(case=cases)
def test_maxsim_decoded(native: _native.Kernels, case: Any) -> None:
    ours = native.maxsim_decoded(**case.maxsim())
    assert_same(ours, _native.kernels("scalar").maxsim_decoded(**case.maxsim()))
    np.testing.assert_allclose(ours, scaled.maxsim_decoded(**case.maxsim()), rtol=1e-5, atol=1e-4)


@check
@given(case=cases, cuts=st.sets(st.integers(1, 69)))
def test_queries_in_a_batch_score_as_alone(native: _native.Kernels, case: Any, cuts: set[int]) -> None:
    nq = len(case.query)
    ends = [0, *sorted(cut for cut in cuts if cut < nq), nq]
    alone = [
        [kernel(**case.maxsim(query=case.query[begin:end])) for begin, end in pairwise(ends)]
        for kernel in (native.maxsim_scaled, native.maxsim_decoded)
    ]
    assert_same(native.maxsim_scaled_all(**case.maxsim_all(ends)), np.stack(alone[0]))
    assert_same(native.maxsim_decoded_all(**case.maxsim_all(ends)), np.stack(alone[1]))
    assert_same(scaled.maxsim_scaled_all(**case.maxsim_all(ends)), np.stack(alone[0]))


@pytest.mark.parametrize("ends", [[], [0], [20], [0, 19], [0, 21], [1, 20], [0, 8, 8, 20], [0, 12, 4, 20]])
def test_offsets_of_queries_that_do_not_fit_are_refused(native: _native.Kernels, ends: list[int]) -> None:
    case = make_scaled(1)
    for kernel in (native.maxsim_scaled_all, native.maxsim_decoded_all):
        with pytest.raises(ValueError, match="query_offsets must ascend from 0 to the 20 rows of queries"):
            kernel(**case.maxsim_all(ends))


@pytest.mark.parametrize("bits", ALL_BITS)
def test_every_shape_of_bits(native: _native.Kernels, bits: scaled.Bits) -> None:
    for width in (128, 136, 200):
        case = make_scaled(width, width=width, bits=bits)
        assert_same(native.decode_scaled(**case.decode()), scaled.decode_scaled(**case.decode()))
        assert_same(native.maxsim_scaled(**case.maxsim()), scaled.maxsim_scaled(**case.maxsim()))
        ours, theirs = native.encode_scaled(**case.encode()), scaled.encode_scaled(**case.encode())
        assert_same(ours[0], theirs[0])
        assert_same(ours[1], theirs[1])


@pytest.mark.parametrize("bits", [(512, 0, 0), (304, 272, 416), (0, 0, 1024), (8, 16, 992)])
def test_wide_rows(native: _native.Kernels, bits: scaled.Bits) -> None:
    case = make_scaled(3, width=1032, bits=bits, doclens=(30, 1))
    assert_same(native.decode_scaled(**case.decode()), scaled.decode_scaled(**case.decode()))
    assert_same(native.maxsim_scaled(**case.maxsim()), scaled.maxsim_scaled(**case.maxsim()))


def test_every_code_of_sixteen_bits(native: _native.Kernels) -> None:
    case = make_scaled(5, width=8, nq=3, bits=(8, 0, 0), doclens=(65536,), ncentroids=65536)
    codes = np.random.default_rng(5).permutation(65536).astype(np.uint16)
    given_ = case.maxsim(
        codes=codes, offsets=np.arange(0, 65537, 32, dtype=np.int64), docs=np.arange(2048, dtype=np.uint32)
    )
    assert_same(native.maxsim_scaled(**given_), scaled.maxsim_scaled(**given_))


def test_a_token_comes_back(native: _native.Kernels) -> None:
    case = make_scaled(1, bits=(128, 0, 0))
    rows, gains = native.encode_scaled(
        **case.encode(sigma=np.full(128, 0.09 * scaled.LEVEL_STEP, np.float32))
    )
    near = (case.centroids8[case.codes] - np.float32(128)) * case.centroid_scales[case.codes][:, None]
    levels = scaled.levels_of(rows, 128, (128, 0, 0))
    back = gains[:, :1] * near + gains[:, 1:] * (np.float32(0.09 * scaled.LEVEL_STEP) * levels)
    cosine = (back * case.vectors).sum(axis=1) / np.linalg.norm(case.vectors, axis=1)
    assert cosine.min() > 0.998
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, rtol=1e-5)


def test_extreme_values_do_not_saturate(native: _native.Kernels) -> None:
    case = make_scaled(2, nq=17, bits=(128, 0, 0))
    extremes = case.maxsim(
        query=np.sign(case.query),
        rows=np.full_like(case.rows, 255),
        centroids8=np.full_like(case.centroids8, 255),
        sigma=np.ones_like(case.sigma),
    )
    assert_same(native.maxsim_scaled(**extremes), scaled.maxsim_scaled(**extremes))


def test_nothing_to_score(native: _native.Kernels) -> None:
    case = make_scaled(0, doclens=(4, 0))
    for kernel in (native.maxsim_scaled, native.maxsim_decoded):
        assert len(kernel(**case.maxsim(docs=np.zeros(0, np.uint32)))) == 0
        assert kernel(**case.maxsim(docs=np.ones(2, np.uint32))).tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("kernel", ["maxsim_scaled", "maxsim_decoded"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"docs": np.array([0, 7], np.uint32)}, r"docs\[1\] is out of range.* 7 documents"),
        ({"docs": np.array([2**32 - 1], np.uint32)}, r"docs\[0\] is out of range"),
        ({"offsets": np.array([0, 3, 3, 4, 84, 95, 107, 121], np.int64)}, r"offsets\[7\] is out of range"),
        ({"offsets": np.array([-1, 3, 3, 4, 84, 95, 107, 120], np.int64)}, r"offsets\[0\] is out of range"),
        ({"offsets": np.array([0, 3, 2, 4, 84, 95, 107, 120], np.int64)}, r"offsets\[2\] is out of range"),
        ({"codes": np.full(120, 50, np.uint16)}, r"codes\[\d+\] is out of range: there are 50 centroids"),
        ({"codes": np.full(120, 65535, np.uint16)}, r"codes\[\d+\] is out of range"),
    ],
)
def test_broken_segments(native: _native.Kernels, kernel: str, change: dict[str, Any], message: str) -> None:
    case = make_scaled(1)
    with pytest.raises(ValueError, match=message):
        getattr(native, kernel)(**case.maxsim(**change))


def test_broken_codes(native: _native.Kernels) -> None:
    case = make_scaled(1)
    codes = case.codes.copy()
    codes[77] = 50
    for kernel, arguments in ((native.encode_scaled, case.encode()), (native.decode_scaled, case.decode())):
        with pytest.raises(ValueError, match=r"codes\[77\] is out of range: there are 50 centroids"):
            kernel(**arguments | {"codes": codes})
        with pytest.raises(ValueError, match=r"codes\[0\] is out of range: there are 0 centroids"):
            kernel(**arguments | {"centroids8": case.centroids8[:0], "centroid_scales": case.sigma[:0]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": (4, 0, 0)}, "bits must be multiples of 8, 16 and 32"),
        ({"bits": (0, 8, 0)}, "bits must be multiples"),
        ({"bits": (0, 0, 16)}, "bits must be multiples"),
        ({"bits": (-8, 0, 0)}, "bits must be multiples"),
        ({"bits": (128, 16, 0)}, "together at most the width, 128"),
        ({"bits": (2**62, 2**62, 2**62)}, "together at most the width, 128"),
        ({"bits": (64, 0, 0)}, "rows has 64 bytes in a row, expected 32"),
        ({"rows": np.zeros((119, 64), np.uint8)}, "rows has 119 rows, expected 120"),
        ({"gains": np.zeros(3, np.uint8)}, "gains has 3 entries, expected 120"),
        ({"gain_values": np.zeros((255, 2), np.float32)}, "gain_values has 255 rows, expected 256"),
        ({"gain_values": np.zeros((256, 3), np.float32)}, "gain_values has 3 columns, expected 2"),
        ({"sigma": np.zeros(12, np.float32)}, "sigma must have a multiple of 8 entries"),
        ({"sigma": np.zeros(136, np.float32)}, "centroids8 has 128 columns, expected 136"),
        ({"sigma": np.zeros(65536, np.float32)}, "dim must be between 1 and 65535"),
        ({"centroid_scales": np.zeros(49, np.float32)}, "centroid_scales has 49 entries, expected 50"),
        ({"query": np.zeros((2, 120), np.float32)}, "query has 120 columns, expected 128"),
        ({"offsets": np.zeros(0, np.int64)}, "offsets must have one entry more"),
    ],
)
def test_sizes_that_do_not_fit(native: _native.Kernels, changes: dict[str, Any], message: str) -> None:
    case = make_scaled(1, bits=(128, 0, 0))
    for kernel in (native.maxsim_scaled, native.maxsim_decoded):
        with pytest.raises(ValueError, match=message):
            kernel(**case.maxsim(**changes))


def test_wrong_kinds(native: _native.Kernels) -> None:
    case = make_scaled(1)
    with pytest.raises(TypeError, match="codes must be uint16"):
        native.decode_scaled(**case.decode(codes=case.codes.astype(np.uint32)))
    with pytest.raises(ValueError, match="vectors has 120 columns, expected 128"):
        native.encode_scaled(**case.encode(vectors=np.zeros((120, 120), np.float32)))
    with pytest.raises(TypeError):
        native.decode_scaled(**case.decode(bits=(8, 0)))
