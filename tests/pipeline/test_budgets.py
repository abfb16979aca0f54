"""Time budgets, with a clock that stands still while nobody works."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait import Pipeline
from plait.errors import InvalidParameter

from .conftest import Clock, Finder, Order

ALL = "abcdefghijklmnopqrst"  # found in this order; the last is the best for the reranker
BEST_LAST = {key: ord(key) for key in ALL}


def ids(hits):
    return "".join(hit.id for hit in hits)


def cascade(clock, k=5, budget_ms=None, each=0.010, finding=0.0, **options):
    finder = Finder(ALL, clock=clock, seconds=finding)
    order = Order(BEST_LAST, clock=clock, seconds=each, **options)
    return Pipeline(clock=clock).retrieve(finder, 20).rerank(order, k, budget_ms=budget_ms), order


def test_enough_time_is_the_same_as_no_budget(clock):
    with_budget, order = cascade(clock, budget_ms=10_000)
    without, _ = cascade(clock)
    found = with_budget.search("q")
    assert found == without.search("q")
    assert ids(found) == "tsrqp"
    assert found.complete
    assert found.late == []
    assert [len(batch) for batch in order.batches] == [1, 8, 8, 3]


def test_a_reranker_stops_in_time_and_keeps_the_rest_behind(clock):
    pipeline, order = cascade(clock, k=8, budget_ms=65)  # time for six of ten milliseconds each
    found = pipeline.search("q")
    assert ids(found) == "fedcbagh"
    assert clock.now == pytest.approx(0.060)
    assert (found.stopped, found.complete, found.late) == (["order"], False, [])
    assert [len(batch) for batch in order.batches] == [1, 5]
    assert [list(hit.scores) for hit in found] == [["finder", "order"]] * 6 + [["finder"]] * 2
    assert [hit.score for hit in found[-2:]] == [93.0, 92.0], "the score of the stage that placed it last"
    assert [hit.rank for hit in found] == list(range(1, 9))


def test_a_stage_whose_turn_comes_too_late_does_nothing(clock):
    pipeline, order = cascade(clock, finding=1.0)
    found = pipeline.search("q", budget_ms=500)
    assert ids(found) == "abcde"
    assert order.batches == []
    assert found.stopped == ["order"]
    assert found.late == ["finder"], "a retriever can't be stopped: it is named, and its hits are whole"
    assert found.timings == {"finder": 1000.0, "order": 0.0}


def test_later_stages_get_what_is_left(clock):
    pipeline, order = cascade(clock, finding=0.4)
    found = pipeline.within(455).search("q")
    assert sum(map(len, order.batches)) == 5
    assert ids(found) == "edcba"
    assert found.stopped == ["order"]
    assert found.late == []


def test_the_budget_of_a_call_goes_before_that_of_the_pipeline(clock):
    pipeline, _order = cascade(clock)
    assert pipeline.within(1).search("q", budget_ms=10_000).complete
    assert not pipeline.within(10_000).search("q", budget_ms=1).complete
    assert pipeline.within(1).within(None).search("q").complete
    for wrong in (0, -1, float("nan"), float("inf"), "5"):
        with pytest.raises(InvalidParameter, match="budget_ms must be a number of milliseconds above 0"):
            pipeline.search("q", budget_ms=wrong)


def test_a_reranker_that_compares_hits_can_not_be_stopped(clock):
    pipeline, order = cascade(clock, budget_ms=50, batch_size=None)
    found = pipeline.search("q")
    assert ids(found) == "tsrqp"
    assert (found.stopped, found.late) == ([], ["order"])
    pipeline, order = cascade(clock, finding=1.0, batch_size=None)
    found = pipeline.search("q", budget_ms=1)
    assert (ids(found), found.stopped, order.batches) == ("abcde", ["order"], [])


def test_lists_whose_turn_comes_too_late_are_left_out_of_a_fusion(clock):
    one, two = Finder("abc", "one", clock=clock, seconds=1.0), Finder("cde", "two", clock=clock)
    pipeline = Pipeline(clock=clock).fuse((one, 5), (two, 5), budget_ms=900)
    found = pipeline.search("q", 3)
    assert ids(found) == "abc"
    assert (found.stopped, found.late) == (["two"], ["one"])
    assert two.asked == []
    found = pipeline.search("q", 4)
    assert ids(found) == "cabd", "three are not enough for four"
    assert found.complete


def test_encoding_the_query_counts_for_the_whole_and_for_no_stage(clock):
    class Slow:
        """Takes a second, and is timed as encoding."""

        name, batch_size = "slow", 8

        def rerank(self, query, hits, k):
            query.embeddings(self)
            clock.now += 0.001 * len(hits)
            return hits[:k]

        def encode_queries(self, texts, **options):
            clock.now += 1.0
            return "vectors"

    pipeline = Pipeline(clock=clock).retrieve(Finder(ALL), 20).rerank(Slow(), 5)
    found = pipeline.search("q")
    assert found.timings == pytest.approx({"encode": 1000, "finder": 0, "slow": 20})
    found = pipeline.search("q", budget_ms=1010)
    assert found.stopped == ["slow"]
    assert list(found[3].scores) == ["finder", "slow"]


def test_a_pipeline_within_a_pipeline_tells_that_it_stopped(clock):
    inner, _ = cascade(clock, budget_ms=20)
    found = Pipeline(clock=clock).retrieve(inner, 5).search("q")
    assert found.stopped == ["pipeline"]


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(1, 20), st.floats(0, 0.02), st.integers(1, 9)), min_size=1, max_size=3),
    st.floats(0.1, 1000),
    st.one_of(st.none(), st.integers(1, 25)),
)
def test_a_budget_never_makes_the_hits_fewer(depth, stages, budget, k):
    clock = Clock()
    pipeline = Pipeline(clock=clock).retrieve(Finder(ALL, clock=clock, seconds=0.01), depth)
    for size, each, batch in stages:
        order = Order(BEST_LAST, clock=clock, seconds=each, batch_size=batch)
        pipeline = pipeline.rerank(order, size)
    whole = pipeline.search("q", k)
    hurried = pipeline.search("q", k, budget_ms=budget)
    assert len(hurried) == len(whole)
    assert len(set(ids(hurried))) == len(hurried)
    assert hurried == whole or not hurried.complete
