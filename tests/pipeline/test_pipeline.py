"""Stages one after the other, over an index and over stages of a caller's own."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plait
from plait import Hit, Hits, Pipeline, SearchParams
from plait.errors import EmptyText, InvalidFilter, InvalidParameter, NoEncoder

from .conftest import TEXTS, Finder, Order, SharedWords

QUESTION = "What is the capital of France?"


def ids(hits):
    return [hit.id for hit in hits]


# ---- hits ------------------------------------------------------------------------------------------------


def test_a_hit_is_what_it_was_and_holds_scores():
    hit = Hit(1, "a", 2.0)
    assert hit.scores == {}
    assert tuple(hit) == ("a", 1, 2.0)
    assert hit == Hit(1, "a", 2.0)
    assert hit != Hit(1, "a", 2.0, scores={"bm25": 2.0})


def test_hits_are_a_list_that_says_how_it_came_about():
    hits = Hits([Hit(1, "a", 2.0)])
    assert hits == [Hit(1, "a", 2.0)]
    assert (hits.timings, hits.stopped, hits.late, hits.complete) == ({}, [], [], True)
    assert not Hits(stopped=["bm25"]).complete


# ---- over an index ---------------------------------------------------------------------------------------


def test_colbert_alone_is_a_search(index):
    found = Pipeline(index).colbert(3).search(QUESTION)
    assert [tuple(hit) for hit in found] == [tuple(hit) for hit in index.search(QUESTION, 3)]
    assert [(hit.text, hit.metadata) for hit in found] == [
        (hit.text, hit.metadata) for hit in index.search(QUESTION, 3)
    ]
    assert [hit.scores for hit in found] == [{"colbert": hit.score} for hit in found]


def test_cascade_of_the_readme(index):
    words = SharedWords()
    pipeline = Pipeline(index, cross_encoder=words).colbert(3).cross_encoder(2)
    found = pipeline.search(QUESTION)
    assert ids(found) == ["paris", "berlin"]
    assert [hit.score for hit in found] == [5.0, 4.0]
    assert [list(hit.scores) for hit in found] == [["colbert", "cross_encoder"]] * 2
    assert list(found.timings) == ["encode", "colbert", "cross_encoder"]
    assert all(milliseconds >= 0 for milliseconds in found.timings.values())
    assert found.complete
    ((query, texts),) = words.asked
    assert query == QUESTION
    assert texts[0] == TEXTS["paris"]
    assert len(texts) == 3


def test_the_query_is_encoded_once(index):
    Pipeline(index).fuse(colbert=3, k=3).colbert(2).colbert(1).search(QUESTION)
    assert index.encoder.queries == [QUESTION]
    assert index.encoder.documents == []


def test_reranking_stored_documents_gives_the_scores_of_a_search(index):
    by_search = {hit.id: hit.score for hit in index.search(QUESTION, 5)}
    found = Pipeline(index).retrieve(Finder(["tides", "bread", "paris"]), 3).colbert(3).search(QUESTION)
    assert ids(found) == sorted(["tides", "bread", "paris"], key=lambda key: -by_search[key])
    assert all(hit.score == by_search[hit.id] for hit in found)


def test_filter_and_ids_reach_the_first_stage(index):
    pipeline = Pipeline(index, cross_encoder=SharedWords()).colbert(5).cross_encoder(5)
    assert set(ids(pipeline.search(QUESTION, filter={"n": {"$gte": 3}}))) == {"bread", "tides"}
    assert ids(pipeline.search(QUESTION, ids=iter(["berlin", "nowhere"]))) == ["berlin"]
    assert pipeline.search(QUESTION, ids=[]) == []
    assert pipeline.search(QUESTION, filter={"n": 77}) == []
    with pytest.raises(InvalidParameter, match="ids must be a list of ids, not one string"):
        pipeline.search(QUESTION, ids="berlin")
    with pytest.raises(InvalidFilter):
        pipeline.search(QUESTION, filter={"m": 1})


def test_search_params_belong_to_a_first_stage(index):
    found = Pipeline(index).colbert(2, params=SearchParams(scan=True)).search(QUESTION)
    assert ids(found) == ids(index.search(QUESTION, 2))
    with pytest.raises(InvalidParameter, match="a colbert stage that finds documents"):
        Pipeline(index).colbert(2).colbert(1, recall_target=0.9)


@pytest.mark.parametrize("threads", [1, 3, None])
def test_search_all_is_search_of_each(index, threads):
    pipeline = Pipeline(index, cross_encoder=SharedWords()).fuse(colbert=4).colbert(3).cross_encoder(2)
    queries = [QUESTION, "river", "why does bread rise?", QUESTION]
    seen = []
    found = pipeline.search_all(queries, threads=threads, progress=lambda *step: seen.append(step))
    assert found == [pipeline.search(query) for query in queries]
    assert seen[-1] == ("search", 4, 4)
    assert all(next(iter(hits.timings)) == "encode" for hits in found)


def test_empty_queries_are_refused(index):
    with pytest.raises(EmptyText):
        Pipeline(index).colbert(1).search(" ")
    with pytest.raises(InvalidParameter, match="queries must be a list"):
        Pipeline(index).colbert(1).search_all("one")


def test_token_vectors_as_a_query(small):
    query = np.eye(3, 32, dtype=np.float32)
    found = Pipeline(small).colbert(9).colbert(4).search(query)
    assert [tuple(hit) for hit in found] == [tuple(hit) for hit in small.search(query, 4)]
    assert "encode" not in found.timings
    with pytest.raises(InvalidParameter, match="cross_encoder needs the text of the query"):
        Pipeline(small, cross_encoder=SharedWords()).colbert(9).cross_encoder(4).search(query)
    with pytest.raises(NoEncoder):
        Pipeline(small).colbert(3).search("text")


def test_all_stages_see_one_state(index, texts_index, tmp_path):
    """What another thread deletes between two stages is there for the second one."""

    class DeletesAll:
        name, batch_size = "deletes", 8

        def rerank(self, query, hits, k):
            other = threading.Thread(target=lambda: own.delete(list(TEXTS)))
            other.start()
            other.join()
            return hits

    index.backup(tmp_path / "own")
    with plait.Index.open(tmp_path / "own") as own:
        pipeline = Pipeline(own).colbert(5).rerank(DeletesAll(), 5).colbert(5)
        assert len(pipeline.search(QUESTION)) == 5
        assert len(own) == 0
        assert pipeline.search(QUESTION) == []


def test_a_snapshot_is_one_state_for_several_searches(index, tmp_path):
    index.backup(tmp_path / "own")
    with plait.Index.open(tmp_path / "own") as own, plait.Index.open(tmp_path / "own") as other:
        with own.snapshot():
            before = own.search(QUESTION, 9)
            other.delete(["paris"])
            assert own.search(QUESTION, 9) == before
            assert "paris" in own
            with own.snapshot():
                assert len(own) == 5
        assert "paris" not in own
        assert len(own.search(QUESTION, 9)) == 4


def test_score_of_some_documents(index):
    whole = index.score(QUESTION, ["tides", "nowhere", "paris", "paris", "berlin"])
    assert list(whole) == ["paris", "berlin", "tides"]
    assert whole == {hit.id: hit.score for hit in index.search(QUESTION, 5) if hit.id in whole}
    assert index.score(QUESTION, list(whole), 1) == {"paris": whole["paris"], "berlin": None, "tides": None}
    assert index.score(QUESTION, []) == {}
    assert index.score(QUESTION, ["nowhere"]) == {}


def test_searches_without_texts(index):
    whole = index.search(QUESTION, 3)
    bare = index.search(QUESTION, 3, texts=False)
    assert [tuple(hit) for hit in bare] == [tuple(hit) for hit in whole]
    assert {(hit.text, len(hit.metadata)) for hit in bare} == {(None, 0)}
    assert [tuple(hit) for hit in index.search_bm25(QUESTION, 3, texts=False)] == [
        tuple(hit) for hit in index.search_bm25(QUESTION, 3)
    ]
    assert {hit.text for hit in index.search_bi_encoder(QUESTION, 3, texts=False)} == {None}


# ---- BM25 ------------------------------------------------------------------------------------------------


def test_bm25_first(index):
    """Only documents with a word of the query are found; texts are there at the end."""
    words = {hit.id: hit.score for hit in index.search_bm25(QUESTION, 5)}
    assert set(words) == {"paris", "loire", "berlin"}
    found = Pipeline(index).bm25(1000).colbert(100).search(QUESTION)
    assert ids(found) == [hit.id for hit in index.search(QUESTION, 5) if hit.id in words]
    assert {hit.id: hit.scores["bm25"] for hit in found} == words
    assert [(hit.text, hit.metadata) for hit in found] == [
        (TEXTS[hit.id], {"n": list(TEXTS).index(hit.id)}) for hit in found
    ]
    assert ids(Pipeline(index).bm25(2).search(QUESTION)) == list(words)[:2]
    assert Pipeline(index).bm25(5).search("xylophone") == []


def test_bm25_and_colbert_fused(index):
    pipeline = Pipeline(index, cross_encoder=SharedWords()).fuse(bm25=5, colbert=5).cross_encoder(5)
    found = pipeline.search(QUESTION, filter={"n": {"$lt": 4}})
    assert set(ids(found)) == {"paris", "loire", "berlin", "bread"}
    assert list(found.timings) == ["encode", "bm25", "colbert", "rrf", "cross_encoder"]
    assert {len(hit.scores) for hit in found} == {4, 3}
    assert all(hit.text == TEXTS[hit.id] for hit in found)


def test_bm25_needs_a_text_and_an_index_that_has_it(index, small):
    with pytest.raises(InvalidParameter, match="bm25 needs the text of the query, but was given ndarray"):
        Pipeline(index).bm25(3).search(np.eye(2, 128, dtype=np.float32))
    with pytest.raises(plait.PlaitError, match="was made without BM25"):
        Pipeline(small).bm25(3).search("text")


# ---- one vector for each document ------------------------------------------------------------------------


def test_cascade_of_a_bi_encoder(index):
    cosines = {hit.id: hit.score for hit in index.search_bi_encoder(QUESTION, 5)}
    index.encoder.queries.clear()
    pipeline = Pipeline(index, cross_encoder=SharedWords()).bi_encoder(4).colbert(3).cross_encoder(2)
    found = pipeline.search(QUESTION)
    assert index.encoder.queries == [QUESTION], "one pass through the network gives both"
    assert ids(found) == ["paris", "berlin"]
    assert all(hit.scores["bi_encoder"] == cosines[hit.id] for hit in found)
    assert list(found.timings) == ["encode", "bi_encoder", "colbert", "cross_encoder"]
    assert found[0].text == TEXTS["paris"]


def test_three_lists_fused(index):
    found = Pipeline(index).fuse(bm25=1000, bi_encoder=1000, colbert=1000, method="z", k=4).search(QUESTION)
    assert found[0].id == "paris"
    assert len(found) == 4
    assert [hit.text for hit in found] == [TEXTS[hit.id] for hit in found]
    again = Pipeline.from_string("z(bm25:1000, bi:1000, colbert:1000):4", index).search(QUESTION)
    assert again == found


def test_a_bi_encoder_reranks_what_the_index_holds(index):
    cosines = {hit.id: hit.score for hit in index.search_bi_encoder(QUESTION, 5)}
    found = Pipeline(index).bm25(3).bi_encoder(3).search(QUESTION)
    assert {hit.id: hit.score for hit in found} == {hit.id: cosines[hit.id] for hit in found}
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert [hit.scores["bm25"] > 0 for hit in found] == [True] * 3
    with pytest.raises(
        InvalidParameter, match=r"bi_encoder reranks documents of .*, which has no 'elsewhere'"
    ):
        Pipeline(index).retrieve(Finder(["elsewhere"]), 3).bi_encoder(3).search(QUESTION)


# ---- stages of a caller's own ----------------------------------------------------------------------------


def test_k_widens_and_cuts():
    finder = Finder("abcdef")
    pipeline = Pipeline().retrieve(finder, 4).rerank(Order(dict(zip("abcdef", range(6), strict=True))), 2)
    assert ids(pipeline.search("q")) == ["d", "c"]
    assert ids(pipeline.search("q", 1)) == ["d"]
    assert ids(pipeline.search("q", 3)) == ["d", "c", "b"]
    assert ids(pipeline.search("q", 5)) == ["e", "d", "c", "b", "a"]
    assert ids(pipeline.search("q", 50)) == ["f", "e", "d", "c", "b", "a"]
    assert [asked[1] for asked in finder.asked] == [4, 4, 4, 5, 50]
    with pytest.raises(InvalidParameter, match="k must be at least 1"):
        pipeline.search("q", 0)


def test_fusing_keeps_what_each_list_said():
    one, two = Finder("abc", "one"), Finder("cd", "two")
    found = Pipeline().fuse((one, 3), (two, 3)).search("q")
    assert ids(found) == ["c", "a", "b", "d"]
    assert found[0].scores == {"one": 97.0, "two": 99.0, "rrf": 1 / 63 + 1 / 61}
    assert found[1].scores == {"one": 99.0, "rrf": 1 / 61}
    assert list(found.timings) == ["one", "two", "rrf"]


def test_stages_of_the_same_name_get_numbers():
    pipeline = (
        Pipeline().fuse((Finder("ab"), 2), (Finder("bc"), 2)).rerank(Order(dict.fromkeys("abc", 1.0)), 3)
    )
    found = pipeline.rerank(Order({"a": 1, "b": 2, "c": 3}), 3).search("q")
    assert list(found.timings) == ["finder", "finder_2", "rrf", "order", "order_2"]
    assert found[0].scores == {"finder_2": 98.0, "rrf": 1 / 62, "order": 1.0, "order_2": 3}
    assert ids(found) == ["c", "b", "a"]


def test_what_a_stage_gives_is_made_sound():
    """Twice the same hit, too many, unknown ones, some lost: the promise holds."""

    class Careless:
        name, batch_size = "careless", 8

        def rerank(self, query, hits, k):
            return [Hit(7, "b", 1.0), Hit(7, "b", 1.0), Hit(1, "unknown", 1.0)]

    class Twice(Finder):
        def search(self, query, k, *, filter=None, ids=None):
            return self.found * 2

    found = Pipeline().retrieve(Twice("abc"), 3).rerank(Careless(), 3).search("q")
    assert [(hit.rank, hit.id) for hit in found] == [(1, "b"), (2, "a"), (3, "c")]
    assert found[0].text == "text of b"
    assert found[0].scores == {"finder": 98.0, "careless": 1.0}
    assert found[1].scores == {"finder": 99.0}


def test_hits_without_a_text_get_that_of_the_index(index):
    """As those of an engine that gives ids only."""
    ids_only = Finder(["tides", "elsewhere"])
    ids_only.found = [Hit(hit.rank, hit.id, hit.score) for hit in ids_only.found]
    found = Pipeline(index).retrieve(ids_only, 2).colbert(1)
    with pytest.raises(InvalidParameter, match="the document 'elsewhere' has none and is not in the index"):
        found.search(QUESTION)
    ids_only.found = ids_only.found[:1]
    words = SharedWords()
    (hit,) = Pipeline(index, cross_encoder=words).retrieve(ids_only, 1).cross_encoder(1).search(QUESTION)
    assert (hit.text, hit.metadata) == (TEXTS["tides"], {"n": 4})


def test_a_pipeline_is_a_retriever(index):
    inner = Pipeline(index, name="inner").colbert(5)
    found = Pipeline(index).fuse((inner, 3), (Finder(["tides"]), 1)).search(QUESTION)
    assert index.encoder.queries == [QUESTION]
    assert ids(found)[0] == "paris"
    assert {"inner", "colbert", "rrf"} <= set(found[0].scores)
    assert ids(inner.search(QUESTION, 2)) == ids(index.search(QUESTION, 2))


def test_queries_are_plain_text_to_other_stages():
    finder = Finder("abc")
    Pipeline().retrieve(finder, 3).search("q", filter={"a": 1})
    query, k, filter, allowed = finder.asked[0]
    assert isinstance(query, str)
    assert (query, k, filter, allowed) == ("q", 3, {"a": 1}, None)


@given(
    st.permutations("abcdefgh").map(lambda order: order[:6]),
    st.integers(1, 8),
    st.lists(st.integers(1, 8), min_size=1, max_size=3),
    st.one_of(st.none(), st.integers(1, 9)),
)
def test_exactly_so_many_unique_hits(order, depth, sizes, k):
    pipeline = Pipeline().retrieve(Finder(order), depth)
    for size in sizes:
        pipeline = pipeline.rerank(Order({key: ord(key) for key in order}), size)
    found = pipeline.search("q", k)
    reached = min([depth, *sizes]) if k is None else k
    expected = min(reached if k is None else k, len(order))
    assert len(found) == len(set(ids(found))) == expected
    assert [hit.rank for hit in found] == list(range(1, expected + 1))
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
