"""What a search refuses, and what it says."""

from __future__ import annotations

import numpy as np
import pytest

from plait import SearchParams, errors
from tests.conftest import clustered

QUERY = clustered(1)[0]


@pytest.mark.parametrize("k", [0, -1, 1.5, None, "3"])
def test_k_must_be_positive(small, k):
    with pytest.raises(errors.InvalidParameter, match="k must be"):
        small.search(QUERY, k)


def test_wrong_dimension_names_both(small):
    with pytest.raises(errors.DimensionMismatch, match="32 components each, but has 33"):
        small.search(np.ones((4, 33)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(small, bad):
    query = QUERY.copy()
    query[2, 3] = bad
    with pytest.raises(errors.NonFiniteVectors, match="NaN or an infinity"):
        small.search(query)


def test_query_shapes(small):
    with pytest.raises(errors.InvalidVectors, match="matrix"):
        small.search(QUERY[0])
    with pytest.raises(errors.InvalidVectors, match="no vectors"):
        small.search(QUERY[:0])


def test_text_for_an_index_of_vectors(small):
    with pytest.raises(errors.NoEncoder, match="give vectors"):
        small.search("a question")


def test_one_string_is_not_a_list(small):
    with pytest.raises(errors.InvalidParameter, match="list of ids"):
        small.search(QUERY, ids="3")
    with pytest.raises(errors.InvalidParameter, match="use search"):
        small.search_all("a question")


def test_no_queries(small):
    assert small.search_all([]) == []


@pytest.mark.parametrize("name", ["nprobe", "ncandidates", "ndocs"])
@pytest.mark.parametrize("value", [0, -3, 2.5])
def test_search_params_are_checked(name, value):
    with pytest.raises(errors.InvalidParameter, match=name):
        SearchParams(**{name: value})


def test_threads_are_checked(small):
    with pytest.raises(errors.InvalidParameter, match="threads"):
        small.search_all([QUERY, QUERY], threads=0)


def test_larger_indexes_are_searched_further():
    small, large = SearchParams.for_k(10, 500), SearchParams.for_k(10, 100_000)
    assert small == SearchParams.for_k(10, 10_000)
    assert (large.nprobe, large.ncandidates, large.ndocs) == (35, 1286, 120)
    assert SearchParams.for_k(100, 100_000).ndocs > SearchParams.for_k(100).ndocs
