"""The residual codec: the field's packing, its quality, and that it is the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait import errors, kernels
from plait.codec import ResidualCodec
from plait.codec.kmeans import Assigner, fit_centroids
from plait.codec.residual import centroid_count, fit_buckets
from tests.conftest import clustered


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(600, dim=64).vectors


@pytest.mark.parametrize(("nbits", "least"), [(1, 0.8), (2, 0.9), (4, 0.98), (8, 0.999)])
def test_reconstruction_improves_with_bits(vectors, nbits, least):
    codec = ResidualCodec.fit(vectors, nbits=nbits)
    tokens = codec.compress(vectors)
    assert tokens.residuals.shape == (len(vectors), 64 * nbits // 8)
    rebuilt = codec.decompress(tokens.codes, tokens.residuals)
    assert np.linalg.norm(rebuilt, axis=1) == pytest.approx(1, abs=1e-5)
    assert (rebuilt * vectors).sum(axis=1).mean() > least


def test_packing_is_that_of_colbert():
    """Bit j of dimension d's bucket is bit 7 - (p & 7) of byte p >> 3, p = d * nbits + j."""
    buckets = np.array([[1, 2, 3, 0, 2, 1, 0, 3]], dtype=np.uint8)
    packed = kernels.pack(buckets, 2)
    bits = [buckets[0, place // 2] >> (place % 2) & 1 for place in range(16)]
    expected = [sum(bits[8 * byte + bit] << (7 - bit) for bit in range(8)) for byte in range(2)]
    assert packed.tolist() == [expected]
    assert packed.tolist() == [[0b10_01_11_00, 0b01_10_00_11]]


@settings(deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 70), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_pack_and_unpack_are_inverse(nbits, dim, rows, seed):
    buckets = np.random.default_rng(seed).integers(0, 1 << nbits, size=(rows, dim), dtype=np.uint8)
    packed = kernels.pack(buckets, nbits)
    assert packed.shape == (rows, -(-dim * nbits // 8))
    assert (kernels.unpack(packed, dim, nbits) == buckets).all()


def test_buckets_are_quantiles_of_the_residuals(vectors):
    centroids = fit_centroids(vectors, 64)
    cutoffs, weights = fit_buckets(vectors, centroids, 2)
    residuals = (vectors - centroids[Assigner.of(centroids)(vectors)]).ravel()
    assert np.searchsorted(np.sort(residuals), cutoffs) / residuals.size == pytest.approx(
        [0.25, 0.5, 0.75], abs=0.01
    )
    assert (np.diff(weights) > 0).all()
    assert weights[0] < cutoffs[0] < weights[1] < cutoffs[1] < weights[2] < cutoffs[2] < weights[3]


def test_a_value_on_a_border_falls_into_the_lower_bucket():
    cutoffs = np.array([-0.5, 0.0, 0.5], dtype=np.float32)
    vectors = np.array([[-0.5, 0.0, 0.5, 0.6]], dtype=np.float32)
    packed = kernels.compress(vectors, np.zeros((1, 4), np.float32), np.zeros(1, np.uint32), cutoffs, 2)
    assert kernels.unpack(packed, 4, 2).tolist() == [[0, 1, 2, 3]]


def test_int8_assignment_is_nearly_the_f32_one(vectors):
    centroids = fit_centroids(vectors, 256)
    exact = (vectors @ centroids.T).argmax(axis=1)
    found = Assigner.of(centroids)(vectors)
    similarity = (vectors * centroids[found]).sum(axis=1)
    assert (found == exact).mean() > 0.97
    assert ((vectors * centroids[exact]).sum(axis=1) - similarity).max() < 0.02


def test_same_seed_same_codec(vectors):
    first = ResidualCodec.fit(vectors, nbits=2, seed=3, threads=1)
    again = ResidualCodec.fit(vectors, nbits=2, seed=3, threads=3)
    other = ResidualCodec.fit(vectors, nbits=2, seed=4)
    assert (first.centroids == again.centroids).all()
    assert (first.cutoffs == again.cutoffs).all()
    assert (first.weights == again.weights).all()
    assert (first.centroids != other.centroids).any()


def test_few_vectors_and_equal_vectors():
    one = np.zeros((1, 8), dtype=np.float32)
    one[0, 0] = 1
    for vectors in (one, np.repeat(one, 50, axis=0)):
        codec = ResidualCodec.fit(vectors, nbits=4)
        tokens = codec.compress(vectors)
        assert codec.decompress(tokens.codes, tokens.residuals) == pytest.approx(vectors, abs=1e-3)


def test_no_vectors_compress_to_nothing(vectors):
    tokens = ResidualCodec.fit(vectors, nbits=4).compress(vectors[:0])
    assert tokens.codes.shape == (0,)
    assert tokens.residuals.shape == (0, 32)


@pytest.mark.parametrize("nbits", [0, 3, 16, None])
def test_nbits_is_checked(vectors, nbits):
    with pytest.raises(errors.InvalidParameter, match="nbits must be one of"):
        ResidualCodec.fit(vectors, nbits=nbits)


def test_centroid_count_grows_as_a_power_of_two():
    assert [centroid_count(tokens) for tokens in (1, 64, 32_768, 800_000, 80_000_000)] == [
        1,
        1,
        512,
        8192,
        131_072,
    ]
