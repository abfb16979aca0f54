"""plait delete, get, count."""

import pytest


@pytest.mark.parametrize(
    "command", [["delete", "nothing", "a"], ["get", "nothing", "a"], ["count", "nothing"]]
)
def test_no_index_there(plait, command):
    failed = plait(*command)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("error: ")
    assert "nothing" in failed.err


# ---- delete ----------------------------------------------------------------------------------------------


def test_delete(plait, own, tmp_path):
    (tmp_path / "ids").write_text("sea\nmoon\nsea\n")
    done = plait("delete", own, "paris", "unknown", "--ids-from", tmp_path / "ids")
    assert done.code == 0
    assert done.out == f"deleted 3 documents from {own}, which now holds 3\n"
    assert done.err == "1 id not in the index\n"
    assert {hit["id"] for hit in plait("search", own, "capital", "--json").lines} == {
        "berlin",
        "bread",
        "river",
    }


def test_delete_by_filter(plait, own):
    done = plait("delete", own, "--filter", '{"lang": "en"}')
    assert (done.code, done.err) == (0, "")
    assert done.out == f"deleted 2 documents from {own}, which now holds 4\n"
    refused = plait("delete", own, "--filter", "{}")
    assert refused.code == 1
    assert "would delete every document" in refused.err


def test_delete_ids_that_match(plait, own):
    assert plait("delete", own, "paris", "sea", "--filter", '{"lang": "en"}').code == 0
    assert [plait("count", own).out, plait("get", own, "sea").code] == ["5\n", 0]


def test_delete_needs_ids(plait, own):
    failed = plait("delete", own)
    assert failed.code == 2
    assert "give at least one ID, or --ids-from, or --filter" in failed.err


# ---- get -------------------------------------------------------------------------------------------------


def test_get(plait, made):
    shown = plait("get", made, "berlin")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == "id: berlin\nlang: en\nyear: 1990\n\nBerlin is the capital of Germany.\n"
    assert plait("get", made, "sea").out.endswith("\nTides are caused by the moon.\nThey come twice a day.\n")


def test_get_as_json(plait, made):
    assert plait("get", made, "paris", "--json").lines == [
        {
            "id": "paris",
            "text": "France Paris is the capital of France.",
            "metadata": {"title": "France", "lang": "en"},
        }
    ]


def test_get_of_an_unknown_id(plait, made):
    failed = plait("get", made, "rome")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == f"error: {made} holds no document with the id 'rome'\n"


def test_get_several(plait, made):
    shown = plait("get", made, "sea", "rome", "moon", "--json")
    assert [document["id"] for document in shown.lines] == ["sea", "moon"]
    assert (shown.code, shown.err) == (1, f"error: {made} holds no document with the id 'rome'\n")
    shown = plait("get", made, "--filter", '{"lang": {"$exists": true}}')
    assert shown.code == 0
    assert shown.out.startswith("id: paris\n")
    assert "\n\nid: berlin\n" in shown.out
    assert plait("get", made).code == 2
    assert plait("get", made, "sea", "--filter", "{}").code == 2


# ---- count -----------------------------------------------------------------------------------------------


def test_count(plait, made):
    assert plait("count", made).out == "6\n"
    assert plait("count", made, "--filter", '{"year": {"$gte": 1990}}').out == "1\n"
