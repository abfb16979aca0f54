"""The string form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait import Pipeline
from plait.encoder import packages
from plait.errors import InvalidParameter

from .conftest import Finder, Order


def pipeline(text):
    stages = {"retrievers": [Finder("abc", "one"), Finder("cde", "two")], "rerankers": [Order({}, "best")]}
    return Pipeline.from_string(text, **stages)


@pytest.mark.parametrize(
    "text",
    [
        "one:10",
        "one:10 > best:5",
        "one:10+two:20 > best:5 > best:1",
        "rrf(one:10, two:20):15 > best:5",
        "minmax(one:10*0.3, two:20*0.7)",
        "z(one:10*2@5ms, rrf(two:20, one:1*0)*0.5@7ms):7@12.5ms > best:5@20ms within 100ms",
        "rrf(one:10)",
        "one:10 > best:5*0.4 > best:5*0.25@20ms",
    ],
)
def test_repr_is_the_string_form(text):
    assert repr(pipeline(text)) == text
    assert repr(pipeline(f"\n {text.replace(':', ' : ').replace('+', ' + ')}  ")) == text


def test_plus_is_reciprocal_rank_fusion():
    assert repr(pipeline("rrf(one:3,two:3)")) == "one:3+two:3"
    assert pipeline("one:3+two:3").search("q") == pipeline("rrf(one:3, two:3)").search("q")


def test_methods_give_the_string_form():
    one, two, best = Finder("abc", "one"), Finder("cde", "two"), Order({}, "best")
    made = (
        Pipeline()
        .fuse((one, 10), (two, 20), method="minmax", weights={"one": 0.3}, k=9, budget_ms=50)
        .rerank(best, 5, budget_ms=0.5)
        .within(100)
    )
    assert repr(made) == "minmax(one:10*0.3, two:20):9@50ms > best:5@0.5ms within 100ms"
    assert made.stages == ["minmax(one:10*0.3, two:20):9@50ms", "best:5@0.5ms"]
    assert repr(pipeline(repr(made))) == repr(made)


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "expected is a retriever, such as bm25:1000, not the end"),
        ("one", 4, "expected is : and how many hits to pass on, such as one:100, not the end"),
        ("one:ten", 5, "expected is how many hits one passes on, a whole number of at least 1, not 'ten'"),
        ("one:0", 5, "a whole number of at least 1, not '0'"),
        ("one:1.5", 5, "a whole number of at least 1, not '1.5'"),
        ("one:-1", 5, "'-' has no meaning here"),
        ("one:5 > ", 8, "expected is a reranker, such as colbert:100, not the end"),
        ("one:5 > two:3", 9, "two finds documents and must come first; rerankers are best, cross_encoder"),
        ("best:5", 1, "best reranks and can't come first; retrievers are one, two"),
        ("three:5", 1, "three is unknown; retrievers are one, two"),
        ("one:5 two:5", 7, "or the end, not 'two'"),
        ("one:5+", 7, "expected is a retriever"),
        ("rrf:5", 4, "expected is (, not ':'"),
        ("rrf(one:5", 10, "expected is ), not the end"),
        ("one:5 > best:3@5", 17, "expected is ms after a time, not the end"),
        ("one:5@0ms", 7, "a budget must be longer than 0ms"),
        ("one:5*x", 7, "expected is a weight, not 'x'"),
        ("one:5 > best:3*1.5", 15, "the weight of a reranker is its share, above 0 and up to 1, not 1.5"),
        ("one:5 > best:3*0@5ms", 15, "above 0 and up to 1, not 0"),
        ("one:5 > best:3 within", 22, "expected is a time, such as 50ms, not the end"),
        ("one:5 ; two:5", 7, "';' has no meaning here"),
        ("one:5 > cross:3", 9, "cross_encoder needs a model: "),
        ("rrf(" * 50 + "one:5" + ")" * 50, 81, "too many parentheses"),
        ("one:5*1e999", 7, "expected is a weight, not '1e999'"),
        ("one:" + "9" * 5000, 5, "a whole number of at least 1"),
    ],
)
def test_errors_point_at_the_column(text, column, reason, monkeypatch):
    monkeypatch.setattr(packages, "installed", dict)
    with pytest.raises(InvalidParameter) as caught:
        pipeline(text)
    assert f"column {column}: " in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="onetwbsrf:*@+>(), 0123456789.mz\n-", max_size=40))
def test_any_string_is_read_or_refused(text):
    try:
        made = pipeline(text)
    except InvalidParameter as error:
        assert "column" in str(error)
    else:
        assert repr(pipeline(repr(made))) == repr(made)


def test_an_order_that_makes_no_sense_is_refused_by_the_methods_too():
    one, best = Finder("abc", "one"), Order({}, "best")
    with pytest.raises(InvalidParameter, match="best reranks and can't come first"):
        Pipeline().rerank(best, 3)
    with pytest.raises(InvalidParameter, match="one:5 finds documents and must come first; several lists"):
        Pipeline().retrieve(one, 5).retrieve(one, 5)
    with pytest.raises(InvalidParameter, match="retrievers are none, without an index"):
        Pipeline().bm25(5)
    with pytest.raises(InvalidParameter, match="the pipeline has no stage"):
        Pipeline().search("q")
    with pytest.raises(InvalidParameter, match="there is nothing to fuse"):
        Pipeline().fuse()
    with pytest.raises(InvalidParameter, match="there is no list 'two'"):
        Pipeline().fuse((one, 3), weights={"two": 1.0})
    with pytest.raises(InvalidParameter, match="budget_ms must be a number of milliseconds above 0, not 0"):
        Pipeline().retrieve(one, 5, budget_ms=0)
    with pytest.raises(InvalidParameter, match="k must be at least 1"):
        Pipeline().retrieve(one, 0)


def test_a_pipeline_never_changes():
    base = Pipeline().retrieve(Finder("abc", "one"), 3)
    longer, shorter = base.rerank(Order({}, "best"), 2), base.within(10)
    assert [repr(made) for made in (base, longer, shorter)] == [
        "one:3",
        "one:3 > best:2",
        "one:3 within 10ms",
    ]
