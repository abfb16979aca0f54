"""What methods are compared on is read from where it is, and must belong together."""

import json

import pytest

from plait.comparison import load_collection
from plait.errors import EmptyCorpus, InvalidParameter
from plait.evaluate import write_beir
from plait.types import Document

REST = "and so on for ten more words that are left of it all"
CORPUS = [Document("a", f"wings {REST}"), Document("b", f"panels {REST}")]
QUERIES = {"q1": "wings", "q2": "panels", "q3": "unjudged"}
QRELS = {"q1": {"a": 1}, "q2": {"b": 2, "gone": 1}, "q4": {"a": 1}}


def test_values_of_python():
    found = load_collection(CORPUS, QUERIES, QRELS)
    assert (found.ndocs, found.known) == (2, None)
    assert found.queries == {"q1": "wings", "q2": "panels"}
    assert set(found.qrels) == {"q1", "q2"}
    assert list(found.documents()) == CORPUS
    assert found.notes == (
        "1 judged queries have no text and are left out.",
        "1 of 3 documents judged relevant are not in the corpus.",
    )


def test_an_iterator_is_read_once():
    found = load_collection(iter(CORPUS), QUERIES, QRELS)
    assert list(found.documents()) == list(found.documents()) == CORPUS


def test_a_folder_in_beirs_form_has_it_all(tmp_path):
    write_beir(tmp_path / "small", CORPUS, QUERIES, QRELS)
    found = load_collection(tmp_path / "small")
    assert (found.name, found.known) == ("small", None)
    assert found.queries == {"q1": "wings", "q2": "panels"}
    other = load_collection(CORPUS, qrels=tmp_path / "small")
    assert other.queries == found.queries
    assert other.digest == found.digest


def test_other_documents_have_another_digest():
    changed = [CORPUS[0], Document("b", CORPUS[1].text + "!")]
    assert load_collection(CORPUS, QUERIES, QRELS).digest != load_collection(changed, QUERIES, QRELS).digest


def test_without_judgements_known_items_are_asked(tmp_path):
    lines = [{"_id": str(n), "title": f"the title of number {n}", "text": REST} for n in range(9)]
    path = tmp_path / "docs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = load_collection(path, made_queries=4)
    assert found.known
    assert len(found.queries) == 4
    assert {document.text for document in found.documents()} == {REST}
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "one.txt").write_text(f"A sentence that is long enough. {REST}")
    assert load_collection(tmp_path / "pages").known.kind == "sentences"


def test_a_sample_of_many_queries():
    queries = {str(n): "wings" for n in range(50)}
    qrels = {key: {"a": 1} for key in queries}
    found = load_collection(CORPUS, queries, qrels, most_queries=7)
    assert len(found.queries) == len(found.qrels) == 7
    assert found.notes == ("7 of 50 judged queries, chosen at random, are asked.",)
    again = load_collection(CORPUS, queries, qrels, most_queries=7)
    assert list(found.queries) == list(again.queries)


@pytest.mark.parametrize(
    ("queries", "qrels", "message"),
    [
        (QUERIES, None, r"queries without judgements \(qrels\) can't be compared on"),
        (None, QRELS, "judgements without queries"),
        ({"x": "y"}, QRELS, "no query has judgements"),
        (QUERIES, {"q1": {"z": 1}}, "none of the 1 documents judged relevant is in the corpus"),
        (QUERIES, {"q1": {"a": 0}}, "no document is judged relevant"),
    ],
)
def test_what_does_not_belong_together(queries, qrels, message):
    with pytest.raises(InvalidParameter, match=message):
        load_collection(CORPUS, queries, qrels)


def test_no_documents():
    with pytest.raises(EmptyCorpus):
        load_collection([], QUERIES, QRELS)
