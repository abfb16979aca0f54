"""Documents are added, replaced, changed, deleted and read, one commit each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import plait
from plait import errors
from tests.conftest import clustered


def test_upsert_replaces_and_adds(small):
    new = clustered(3, seed=7)
    assert small.upsert(["third", "new", "seventh"], vectors=new, ids=["3", "new", "7"]) == 2
    assert len(small) == 21
    assert small.get("3") == plait.Document("3", "third", {}), "nothing of the old one is left"
    assert small.search(new[0], 1)[0].id == "3"
    assert [document.id for document in small][-3:] == ["3", "new", "7"], "it counts as added now"
    with pytest.raises(errors.DuplicateId, match="'a' was given twice"):
        small.upsert(vectors=new[0:2], ids=["a", "a"])
    with pytest.raises(errors.NonFiniteVectors):
        small.upsert(vectors=[np.full((2, 32), np.nan)], ids=["3"])
    assert small.get("3").text == "third"


def test_upsert_of_texts(tmp_path: Path):
    with plait.Index.create(tmp_path / "index") as index:
        index.add(["Paris is the capital of France."], ids=["a"])
        assert index.upsert(["Berlin is in Germany.", "Rome is in Italy."], ids=["a", "b"]) == 1
        assert [index.search("Germany", 1)[0].id, len(index)] == ["a", 2]
        with pytest.raises(errors.EmptyText):
            index.upsert(["  "], ids=["a"])
        assert index.get("a").text == "Berlin is in Germany."


def test_update_metadata(small):
    small.update_metadata("3", {"lang": "en", "number": 33})
    small.update_metadata(["4", "5"], {"lang": "fr"})
    small.update_metadata(["6", "7"], [{"a": 1}, {"number": None}])
    small.update_metadata("8", {"b": None}, replace=True)
    stored = {document.id: document.metadata for document in small.get([str(place) for place in range(3, 9)])}
    assert stored == {
        "3": {"number": 33, "lang": "en"},
        "4": {"number": 4, "lang": "fr"},
        "5": {"number": 5, "lang": "fr"},
        "6": {"number": 6, "a": 1},
        "7": {},
        "8": {"b": None},
    }
    assert small.search(clustered(20)[3], 1)[0].metadata == {"number": 33, "lang": "en"}
    assert small.count({"lang": "fr"}) == 2


def test_a_wrong_update_changes_nothing(small):
    with pytest.raises(errors.UnknownId, match="no document with the id 'x'; nothing was changed"):
        small.update_metadata(["3", "x"], {"lang": "en"})
    with pytest.raises(errors.InvalidParameter, match=r"metadata\[1\] can't be kept as JSON"):
        small.update_metadata(["3", "4"], [{"a": 1}, {"a": {1, 2}}])
    with pytest.raises(errors.InvalidParameter, match="metadata has 1 entries, but there are 2"):
        small.update_metadata(["3", "4"], [{"a": 1}])
    with pytest.raises(errors.DuplicateId):
        small.update_metadata(["3", "3"], {"a": 1})
    assert small.get("3").metadata == {"number": 3}


def test_delete_by_filter_and_by_ids_that_match(small):
    assert small.delete(filter={"number": {"$gte": 15}}) == 5
    assert small.delete(["1", "2", "3", "x"], filter={"number": {"$ne": 2}}) == 2
    assert list(small.ids()) == ["0", "2", *map(str, range(4, 15))]
    assert small.delete(filter={"number": 99}) == 0
    with pytest.raises(errors.InvalidParameter, match="would delete every document"):
        small.delete(filter={})
    with pytest.raises(errors.InvalidParameter, match="give ids=, filter=, or both"):
        small.delete()
    with pytest.raises(errors.InvalidParameter, match=r"ids\[0\] must be a string, not 3"):
        small.delete([3])
    assert len(small) == 13


def test_get_several(small):
    found = small.get(["7", "x", "3", "7"])
    assert [document and document.id for document in found] == ["7", None, "3", "7"]
    assert small.get([]) == []
    with pytest.raises(errors.InvalidParameter, match=r"ids\[0\] must be a string"):
        small.get(3)


def test_count(small):
    assert small.count() == len(small) == 20
    assert small.count({}) == 20
    assert small.count({"number": {"$lt": 5}}) == 5


def test_iteration_is_in_order_and_of_one_moment(small, monkeypatch):
    monkeypatch.setattr("plait.store.reader.DOCUMENTS_PER_PAGE", 3)
    documents = iter(small)
    assert next(documents) == plait.Document("0", None, {"number": 0})
    small.delete([str(number) for number in range(10)])
    small.add(vectors=clustered(1), ids=["new"])
    assert [document.id for document in documents] == [str(number) for number in range(1, 20)]
    assert list(small.ids()) == [*map(str, range(10, 20)), "new"]
    assert list(small.ids(filter={"number": {"$gt": 17}})) == ["18", "19"]


def test_an_iteration_that_is_left_keeps_nothing_open(small):
    documents = iter(small)
    next(documents)
    documents.close()
    assert not small._current._leases


def test_changes_inside_a_transaction_see_each_other(small):
    with small.transaction():
        small.add(vectors=clustered(2), ids=["a", "b"], metadata=[{"number": 50}, {"number": 51}])
        small.update_metadata("a", {"number": 1})
        assert small.delete(filter={"number": {"$gte": 18}}) == 3
        assert small.upsert(vectors=clustered(1), ids=["a"], metadata=[{"number": 2}]) == 1
        assert small.get("a") is None, "reading sees the state before"
    assert len(small) == 19
    assert small.get("a").metadata == {"number": 2}


def test_vectors_come_back_as_stored_in_the_order_asked_for(small: plait.Index):
    documents = clustered(20)
    small.delete(["3"])
    small.upsert(vectors=[documents[9]], ids=["5"])
    found = small.vectors(["7", "5", "0", "7"])
    for one, place in zip(found, (7, 9, 0, 7), strict=True):
        np.testing.assert_array_equal(one, documents[place])
    for missing in ("3", "x"):
        with pytest.raises(errors.UnknownId, match=f"'{missing}' is not in the index"):
            small.vectors(["0", missing])
    assert len(small.vectors([])) == 0
