"""The promises of a search that a user relies on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plait
from plait import SearchParams
from tests.conftest import clustered, exact_top

STAGES = SearchParams(scan=False)
SCAN = SearchParams(scan=True)


@pytest.mark.parametrize("params", [None, STAGES, SCAN])
@pytest.mark.parametrize("k", [1, 10, 300, 2999, 3000, 5000])
def test_search_returns_exactly_k_or_all_documents(shared_index, documents, params, k):
    with plait.Index.open(shared_index) as index:
        hits = index.search(documents[5], k, params=params)
    assert len(hits) == min(k, 3000)
    assert len({hit.id for hit in hits}) == len(hits)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_one_probe_still_fills_k(shared_index, documents):
    params = SearchParams(nprobe=1, ncandidates=1, ndocs=1, scan=False)
    with plait.Index.open(shared_index) as index:
        assert len(index.search(documents[5][:2], 2500, params=params)) == 2500


def test_a_small_index_is_exact(small):
    documents = clustered(20)
    query = documents[3][:7]
    hits = small.search(query, 20)
    expected = exact_top(query, documents, 20)
    assert [hit.id for hit in hits] == [key for key, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], rel=1e-5)


def test_candidates_find_what_a_full_scan_finds(shared_index):
    with plait.Index.open(shared_index) as index:
        report = index.recall(sample=60, params=SearchParams.for_k(10))
        stages = index.recall(sample=60, params=STAGES)
    assert report.nqueries == 60
    assert report.search_recall >= 0.98
    assert stages.search_recall >= 0.95


def test_scores_are_maxsim_on_the_stored_vectors(shared_index, documents):
    with plait.Index.open(shared_index) as index:
        hits = index.search(documents[5], 3)
    assert hits[0].id == "5"
    assert hits[0].score == pytest.approx(len(documents[5]), rel=0.05)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.integers(0, 3300), max_size=60), k=st.integers(1, 80))
def test_an_allow_list_is_scored_completely(shared_index, documents, chosen, k):
    """Ids beyond 2999 are unknown, and match nothing."""
    with plait.Index.open(shared_index) as index:
        hits = index.search(documents[0], k, ids=[str(number) for number in chosen], params=STAGES)
        everything = index.search(documents[0], 3000, params=SCAN)
    wanted = {str(number) for number in chosen if number < 3000}
    assert [hit.id for hit in hits] == [hit.id for hit in everything if hit.id in wanted][:k]


def test_a_filter_that_matches_nothing_returns_nothing(shared_index, documents):
    with plait.Index.open(shared_index) as index:
        assert index.search(documents[0], ids=[]) == []
        assert index.search(documents[0], ids=["unknown"]) == []


def test_results_do_not_depend_on_batch_threads_or_history(shared_index, documents):
    queries = [documents[place][:12] for place in range(40)]
    with plait.Index.open(shared_index) as index:
        alone = [index.search(query, 10, threads=1) for query in queries]
        index.search(queries[0], 3000, params=SearchParams(nprobe=1))
        assert index.search_all(queries, 10, threads=4) == alone
        assert index.search_all(queries[::-1], 10, threads=1) == alone[::-1]
        scanned = [index.search(query, 10, params=SCAN, threads=1) for query in queries]
        assert index.search_all(queries, 10, params=SCAN, threads=1) == scanned
        assert index.search_all(queries[::-1], 10, params=SCAN, threads=3) == scanned[::-1]
        assert index.search(queries[3], 10, params=SCAN, threads=4) == index.search(
            queries[3], 10, params=SCAN, threads=1
        )


def test_queries_of_any_length_share_a_scan(shared_index, documents):
    """With a filter, too; and progress counts queries, not batches."""
    queries = [
        np.concatenate([documents[place], documents[place + 1]])[: 1 + 9 * place] for place in range(21)
    ]
    ids = [str(number) for number in range(0, 3000, 7)]
    seen = []
    with plait.Index.open(shared_index) as index:
        alone = [index.search(query, 5, params=SCAN, ids=ids) for query in queries]
        together = index.search_all(
            queries, 5, params=SCAN, ids=ids, threads=1, progress=lambda *at: seen.append(at)
        )
    assert together == alone
    assert seen == [("search", 8, 21), ("search", 16, 21), ("search", 21, 21)]


def test_recall_is_that_of_single_queries(shared_index, documents):
    queries = [documents[place][:9] for place in range(20)]
    poor = SearchParams(nprobe=1, ndocs=1, scan=False)
    with plait.Index.open(shared_index) as index:
        single = [index.recall([query], params=poor, k=50).search_recall for query in queries]
        assert index.recall(queries, params=poor, k=50).search_recall == pytest.approx(np.mean(single))


def test_equal_documents_rank_in_order_of_insertion(tmp_path):
    one = clustered(1)
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        index.add(vectors=[one[0]] * 5, ids=list("edcba"))
        index.add(vectors=[one[0]], ids=["later"])
        assert [hit.id for hit in index.search(one[0], 6)] == [*"edcba", "later"]


def test_a_hit_unpacks_to_the_triple(small):
    hit = small.search(clustered(20)[0], 1)[0]
    key, rank, score = hit
    assert (key, rank, score) == (hit.id, 1, hit.score) == ("0", 1, hit.score)
    assert hit.metadata == {"number": 0}


def test_many_query_tokens_and_one(shared_index, documents):
    long_query = np.concatenate([documents[place] for place in range(12)])
    with plait.Index.open(shared_index) as index:
        best = [index.search(documents[place][:1], 1)[0].score for place in range(60)]
        assert np.mean(np.abs(np.array(best) - 1) < 0.05) > 0.85
        assert len(index.search(long_query, 5)) == 5


def test_a_zero_query_token_adds_nothing(shared_index, documents):
    query = documents[5][:6]
    padded = np.concatenate([query, np.zeros((3, 32), dtype=np.float32)])
    with plait.Index.open(shared_index) as index:
        found, expected = index.search(padded, 5), index.search(query, 5)
    assert [hit.id for hit in found] == [hit.id for hit in expected]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected])


def test_segments_with_different_codecs_are_searched_together(tmp_path: Path):
    """An index that grew from a few documents holds segments of several codecs."""
    documents = clustered(9500, doclen=(30, 60))
    with plait.Index.create(tmp_path / "index", dim=32) as index:
        for begin, end in [(0, 50), (50, 1000), (1000, 1010), (1010, 9500)]:
            index.add(vectors=documents[begin:end])
        assert index.stats().segments == 4
        assert len(list((tmp_path / "index" / "codecs").iterdir())) == 2
        for place in (3, 700, 1005, 9000):
            for params in (STAGES, SCAN):
                assert index.search(documents[place], 1, params=params)[0].id == str(place)
        assert index.recall(sample=40, params=STAGES).search_recall >= 0.95
