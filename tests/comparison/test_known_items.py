"""Queries that are made of a corpus have one right answer, which does not contain them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.comparison import known_items
from plait.errors import InvalidParameter
from plait.types import Document

REST = "and so on for ten more words that are left of it all"
UNTITLED = [
    Document("a", "The first sentence is about wings and slipstreams. " + REST),
    Document("b", "Short. Another one tells of panels that flutter at speed! " + REST),
    Document("c", "Too short."),
    Document("d", "The same sentence stands in two documents here. " + REST),
    Document("e", "The same sentence stands in two documents here. " + REST),
]


def titled(key: str, title: str, text: str = REST) -> Document:
    return Document(key, f"{title} {text}", {"title": title, "year": 1958})


def test_titles_are_asked_and_left_out_of_all_documents():
    corpus = [
        titled("a", "slipstream of a propeller"),
        titled("b", "flutter of thin panels"),
        titled("c", "Heat"),
        titled("d", "reports of the fourth session"),
        titled("e", "Reports of the fourth  session"),
        Document("f", "no title at all, but a text " + REST),
        titled("g", "only this title is there", ""),
    ]
    made = known_items(lambda: corpus, count=10)
    assert made.kind == "titles"
    asked = {made.queries[query]: next(iter(grades)) for query, grades in made.qrels.items()}
    assert asked == {"slipstream of a propeller": "a", "flutter of thin panels": "b"}
    left = {document.id: document for document in made.left(corpus)}
    assert [document.id for document in corpus] == list(left)
    assert {left[key].text for key in "abcde"} == {REST}
    assert left["a"].metadata == {"year": 1958}
    assert left["f"] == corpus[5]
    assert left["g"].text.strip() == "only this title is there", "nothing would be left of it"


def test_sentences_are_taken_out_of_their_documents():
    made = known_items(lambda: UNTITLED, count=10)
    assert made.kind == "sentences"
    asked = {next(iter(grades)): made.queries[query] for query, grades in made.qrels.items()}
    assert asked.keys() >= {"a", "b"}
    assert "c" not in asked
    left = {document.id: document.text for document in made.left(UNTITLED)}
    for key, sentence in asked.items():
        assert sentence not in left[key]
        assert len(left[key].split()) >= 5
    assert not any("same sentence" in sentence for sentence in asked.values()), "it has two answers"
    assert "taken out of its document" in made.explanation


def test_the_choice_is_seeded(abstracts):
    first, again, other = (known_items(lambda: abstracts, 20, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.queries != other.queries
    assert len(first.queries) == 20
    assert first.kind == "titles"


def test_a_corpus_without_fit_documents():
    with pytest.raises(InvalidParameter, match="no queries can be made of this corpus"):
        known_items(lambda: [Document("a", "Short."), Document("b", "one two three")])
    with pytest.raises(InvalidParameter, match="at least 1"):
        known_items(lambda: UNTITLED, 0)


texts = st.lists(st.sampled_from(["wing. ", "flow ", "heat! ", "a b c d e. ", "x\n", "panel "]), max_size=40)


@settings(max_examples=60)
@given(st.lists(texts.map("".join).filter(str.strip), min_size=1, max_size=8), st.integers(0, 3))
def test_every_query_has_one_document_that_holds_it_and_no_longer_does(bodies, seed):
    corpus = [Document(str(number), body) for number, body in enumerate(bodies)]
    try:
        made = known_items(lambda: corpus, 5, seed)
    except InvalidParameter:
        return
    left = {document.id: document.text for document in made.left(corpus)}
    for query, text in made.queries.items():
        ((key, grade),) = made.qrels[query].items()
        assert grade == 1
        assert text in " ".join(corpus[int(key)].text.split())
        assert len(left[key].split()) >= 5
