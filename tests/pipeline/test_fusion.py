"""Several lists as one."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import InvalidParameter
from plait.pipeline import fuse
from plait.types import Hit

IDS = st.lists(st.sampled_from("abcdefgh"), unique=True)
SCORES = st.floats(-1e6, 1e6, width=32)


@st.composite
def hit_lists(draw):
    ids = draw(IDS)
    scores = sorted((draw(SCORES) for _ in ids), reverse=True)
    return [Hit(rank, key, score) for rank, (key, score) in enumerate(zip(ids, scores, strict=True), start=1)]


LISTS = st.lists(hit_lists(), max_size=4)
METHODS = st.sampled_from(["rrf", "minmax", "z"])


def hits(**scores):
    return [Hit(rank, key, score) for rank, (key, score) in enumerate(scores.items(), start=1)]


def totals(found):
    return {hit.id: hit.score for hit in found}


def test_reciprocal_ranks_by_hand():
    found = fuse([hits(a=9.0, b=8.0, c=7.0), hits(c=0.3, a=0.2)])
    assert totals(found) == pytest.approx({"a": 1 / 61 + 1 / 62, "c": 1 / 63 + 1 / 61, "b": 1 / 62})
    assert [(hit.rank, hit.id) for hit in found] == [(1, "a"), (2, "c"), (3, "b")]


def test_min_max_by_hand():
    lists = [hits(a=30.0, b=20.0, c=10.0), hits(c=0.8, d=0.4)]
    found = fuse(lists, "minmax", weights=[0.3, 0.7])
    assert totals(found) == pytest.approx({"c": 0.7, "a": 0.3, "b": 0.15, "d": 0.0})
    assert [hit.id for hit in found] == ["c", "a", "b", "d"]


def test_z_by_hand_and_what_a_missing_document_gets():
    z = math.sqrt(1.5)  # of 3, 2 and 1
    found = fuse([hits(a=3.0, b=2.0, c=1.0), hits(d=5.0, a=1.0)], "z")
    assert totals(found) == pytest.approx({"a": z - 1, "b": -1, "c": -z - 1, "d": -z + 1})


@pytest.mark.parametrize(("method", "value"), [("minmax", 1.0), ("z", 0.0)])
def test_a_list_of_equal_scores_still_says_what_it_found(method, value):
    found = fuse([hits(a=2.0, b=2.0), hits(a=1.0, c=1.0)], method)
    assert found[0].id == "a"
    assert found[0].score == 2 * value
    assert {hit.id for hit in found} == {"a", "b", "c"}


def test_texts_metadata_and_scores_come_from_whatever_list_has_them():
    one = Hit(1, "a", 3.0, scores={"bm25": 3.0})
    two = Hit(1, "a", 0.5, "text", {"n": 1}, {"colbert": 0.5})
    (found,) = fuse([[one], [two]])
    assert (found.text, found.metadata) == ("text", {"n": 1})
    assert found.scores == {"bm25": 3.0, "colbert": 0.5}


@given(LISTS, METHODS)
def test_every_document_once_best_first(lists, method):
    found = fuse(lists, method)
    ids = [hit.id for hit in found]
    assert len(ids) == len(set(ids))
    assert set(ids) == {hit.id for hits in lists for hit in hits}
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    assert all(one.score >= two.score for one, two in itertools.pairwise(found))


@given(LISTS, METHODS, st.data())
def test_the_order_of_the_lists_changes_no_score(lists, method, data):
    places = data.draw(st.permutations(range(len(lists))))
    again = fuse([lists[place] for place in places], method)
    assert totals(again) == totals(fuse(lists, method))


@given(LISTS, METHODS)
def test_ties_are_in_the_order_of_the_lists(lists, method):
    first_seen = list({hit.id: None for hits in lists for hit in hits})
    found = fuse(lists, method)
    for one, two in itertools.pairwise(found):
        assert one.score > two.score or first_seen.index(one.id) < first_seen.index(two.id)


@given(hit_lists(), METHODS)
def test_one_list_keeps_its_order(hits, method):
    assert [hit.id for hit in fuse([hits], method)] == [hit.id for hit in hits]


@given(hit_lists(), hit_lists(), METHODS)
def test_a_list_of_weight_0_changes_no_order_of_another(one, two, method):
    found = [hit.id for hit in fuse([one, two], method, weights=[1, 0])]
    own = [hit.id for hit in one]
    if method == "rrf":
        assert found[: len(own)] == own
    assert [key for key in found if key in own] == own


@given(LISTS, st.integers(1, 5), METHODS)
def test_k_cuts_and_nothing_else(lists, k, method):
    assert fuse(lists, method, k=k) == fuse(lists, method)[:k]


@given(hit_lists(), hit_lists(), st.floats(0.5, 100), st.floats(-100, 100))
def test_scales_of_scores_do_not_matter(one, two, scale, shift):
    again = [Hit(hit.rank, hit.id, hit.score * scale + shift) for hit in one]
    for method in ("minmax", "z"):
        spread = max((hit.score for hit in one), default=0) - min((hit.score for hit in one), default=0)
        if spread > 1:
            assert totals(fuse([again, two], method)) == pytest.approx(
                totals(fuse([one, two], method)), abs=1e-3
            )


def test_what_can_not_be_fused():
    with pytest.raises(InvalidParameter, match="one of rrf, minmax, z, not 'sum'"):
        fuse([], "sum")
    with pytest.raises(InvalidParameter, match="weights has 1 entries, but there are 2 lists"):
        fuse([[], []], weights=[1.0])
    with pytest.raises(InvalidParameter, match=r"weights\[1\] must be a number of at least 0, not -1"):
        fuse([[], []], weights=[1.0, -1])
    with pytest.raises(InvalidParameter, match="the score of 'a' is nan"):
        fuse([hits(a=math.nan)])
    with pytest.raises(InvalidParameter, match="k must be at least 1"):
        fuse([hits(a=1.0)], k=0)
    assert fuse([]) == []


def test_a_label_puts_the_fused_score_beside_those_of_the_lists():
    one, two = Hit(1, "a", 3.0, scores={"bm25": 3.0}), Hit(1, "a", 0.5, scores={"colbert": 0.5})
    (found,) = fuse([[one], [two]], label="rrf")
    assert found.scores == {"bm25": 3.0, "colbert": 0.5, "rrf": found.score}
    assert one.scores == {"bm25": 3.0}  # what was given is as it was
