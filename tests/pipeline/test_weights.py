"""A reranker that decides only a share of the order; the rest is that of the stage before."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait import Pipeline
from plait.errors import InvalidParameter
from plait.pipeline.fusion import blend

from .conftest import Clock, Finder, Order, SharedWords

SCORES = st.lists(st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 2), min_size=1, max_size=9)


def standard(values):
    values = np.asarray(values, dtype=np.float64)
    return (values - values.mean()) / values.std()


def test_the_order_is_that_of_both_in_standard_deviations():
    order = Order({"a": 0.0, "b": 1.0, "c": 10.0, "d": 2.0})
    found = Pipeline().retrieve(Finder("abcd"), 4).rerank(order, 4, weight=0.25).search("query")
    wanted = 0.75 * standard([99, 98, 97, 96]) + 0.25 * standard([0, 1, 10, 2])
    by_id = dict(zip("abcd", wanted, strict=True))
    assert [hit.id for hit in found] == sorted("abcd", key=lambda key: -by_id[key])
    assert [hit.score for hit in found] == pytest.approx([by_id[hit.id] for hit in found])
    assert found[0].scores == {"finder": 99.0, "order": 0.0}  # as each stage gave them
    assert [hit.rank for hit in found] == [1, 2, 3, 4]


def test_a_small_share_keeps_the_order_and_a_large_one_overturns_it():
    finder, order = Finder("abcd"), Order(dict(zip("abcd", range(4), strict=True)))
    pipeline = Pipeline().retrieve(finder, 4)
    little, much = (pipeline.rerank(order, 2, weight=weight).search("query") for weight in (0.1, 0.9))
    assert "".join(hit.id for hit in little) == "ab"
    assert "".join(hit.id for hit in much) == "dc"
    assert order.batches == [list("abcd")] * 2  # all are scored, though two are passed on


def test_without_a_weight_scores_are_the_stages_own():
    order = Order({"a": 0.5, "b": 7.0})
    found = Pipeline().retrieve(Finder("ab"), 2).rerank(order, 2, weight=1).search("query")
    assert [(hit.id, hit.score) for hit in found] == [("b", 7.0), ("a", 0.5)]


def test_a_cross_encoder_and_colbert_together(index):
    start = Pipeline(index, cross_encoder=SharedWords()).colbert(5)
    made = start.cross_encoder(3, weight=0.5)
    assert repr(made) == "colbert:5 > cross_encoder:3*0.5"
    found = made.search("What is the capital of France?")
    whole = {hit.id: hit for hit in start.cross_encoder(5).search("What is the capital of France?")}
    names = ("colbert", "cross_encoder")
    sums = sum(standard([hit.scores[name] for hit in whole.values()]) / 2 for name in names)
    wanted = dict(zip(whole, sums, strict=True))
    assert [hit.score for hit in found] == pytest.approx(sorted(wanted.values(), reverse=True)[:3], abs=1e-6)
    config = {"stages": [{"retriever": "colbert", "k": 5}, {"reranker": "cross", "k": 3, "weight": 0.5}]}
    read = Pipeline.from_config(config, index, cross_encoder=SharedWords())
    assert repr(read) == repr(made)
    assert read.search("What is the capital of France?") == found


def test_what_there_was_no_time_for_stays_behind():
    clock = Clock()
    order = Order({key: ord(key) for key in "abcdefgh"}, clock=clock, seconds=0.010, batch_size=1)
    pipeline = Pipeline(clock=clock).retrieve(Finder("abcdefgh"), 8)
    found = pipeline.rerank(order, 8, weight=0.9, budget_ms=35).search("query")
    read = [hit.id for hit in found if "order" in hit.scores]
    assert 2 <= len(read) < 8
    assert "".join(hit.id for hit in found) == "".join(sorted(read)[::-1]) + "abcdefgh"[len(read) :]
    assert found.stopped == ["order"]


@given(SCORES, st.floats(0.01, 1.0))
def test_blend(pairs, weight):
    before, after = (list(column) for column in zip(*pairs, strict=True))
    found = blend(before, after, weight)
    assert len(found) == len(pairs)
    assert all(map(math.isfinite, found))
    lowered = np.minimum.accumulate(before)
    parts = [np.zeros(len(pairs)) if np.ptp(part) == 0 else standard(part) for part in (lowered, after)]
    if all(np.ptp(part) == 0 or np.std(part) > 1e-6 for part in (lowered, after)):
        np.testing.assert_allclose(found, (1 - weight) * parts[0] + weight * parts[1], atol=1e-6)


@pytest.mark.parametrize("weight", [0, -1, 1.5, math.nan, "half", None])
def test_a_weight_is_a_share(weight):
    with pytest.raises(InvalidParameter, match=r"weight of a reranker must be above 0 and up to 1"):
        Pipeline().retrieve(Finder("a"), 1).rerank(Order({}), 1, weight=weight)
