"""Queries made of documents: what they are made of is not in the documents that answer them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import BadRecord, EmptyCorpus, InvalidParameter
from plait.evaluate import read_qrels
from plait.sources import read_documents, read_queries
from plait.train import Generation, corpus_of_pairs, generate_queries, read_pairs
from plait.train.judged import normalised
from plait.types import Document

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "sigma",
]


def article(number: int, sentences: int = 5) -> Document:
    title = f"Report {number} on {WORDS[number % 18]}"
    rng = random.Random(number)
    body = " ".join(f"In {number}{n} the {' '.join(rng.sample(WORDS, 9))} rose." for n in range(sentences))
    return Document(f"d{number}", f"{title} {body}", {"title": title})


ARTICLES = [article(number) for number in range(40)]


def test_titles_and_sentences_are_not_in_their_documents():
    corpus, counts = generate_queries(ARTICLES, Generation(keep=0))
    texts = {document.id: document.text for document in corpus.documents}
    assert list(texts) == [f"d{number}" for number in range(40)]
    assert (counts["title"], counts["sentence"], counts["heading"]) == (40, 40, 0)
    for qrels in corpus.qrels.values():
        for query, row in qrels.items():
            (document,) = row
            assert f" {normalised(corpus.queries[query])} " not in f" {normalised(texts[document])} "
    assert corpus.queries["d7/title-1"] == "Report 7 on theta"
    assert normalised(corpus.queries["d7/sentence-2"]) in normalised(ARTICLES[7].text)


def test_some_training_sentences_stay_but_no_held_out_one():
    corpus, _ = generate_queries(ARTICLES, Generation(["sentence"], keep=1.0, held_out=10))
    texts = {document.id: normalised(document.text) for document in corpus.documents}
    inside = {
        part: [
            normalised(corpus.queries[query]) in texts[document]
            for query, row in qrels.items()
            for document in row
        ]
        for part, qrels in corpus.qrels.items()
    }
    assert all(inside["train"])
    assert not any(inside["test"])


def test_documents_are_held_out_whole():
    corpus, _ = generate_queries(ARTICLES, Generation(held_out=7))
    sides = [{key for row in qrels.values() for key in row} for qrels in corpus.qrels.values()]
    assert (len(sides[0]), len(sides[1])) == (33, 7)
    assert not sides[0] & sides[1]


def test_sections_answer_their_headings():
    body = "The first paragraph of a page says what the page is about, in a few words."
    page = f"# Setting up\n{body}\n## Choosing a model\n{body} Models.\n## Ending the work ##\n{body} Ends."
    corpus, counts = generate_queries(
        [Document("a.md", page), Document("b.md", page.replace("a model", "an index"))],
        Generation(["heading"], held_out=1),
    )
    assert counts["heading"] == 2  # the others stand in both pages
    assert counts["ambiguous"] == 4
    key = next(key for key, text in corpus.queries.items() if text == "Choosing a model")
    assert key == "a.md#2/heading-1"
    sections = {document.id: document.text for document in corpus.documents}
    assert sections["a.md#2"] == f"{body} Models."
    assert sections["a.md#3"] == f"{body} Ends."


def test_a_title_that_two_documents_have_is_no_query():
    twins = [Document(f"t{n}", article(n).text, {"title": "The same title"}) for n in (100, 101)]
    corpus, counts = generate_queries([*ARTICLES, *twins])
    assert counts["ambiguous"] == 2
    assert "The same title" not in corpus.queries.values()


def test_the_seed_decides():
    first, again, other = (generate_queries(ARTICLES, Generation(seed=seed))[0] for seed in (1, 1, 2))
    assert first == again
    assert first.queries != other.queries


def test_files_in_beir_form(tmp_path: Path):
    corpus, _ = generate_queries(ARTICLES)
    corpus.write(tmp_path / "data")
    assert [one.text for one in read_documents(tmp_path / "data")] == [one.text for one in corpus.documents]
    assert read_queries(tmp_path / "data") == corpus.queries
    assert read_qrels(tmp_path / "data" / "qrels" / "train.tsv") == corpus.qrels["train"]
    assert read_qrels(tmp_path / "data") == corpus.qrels["test"]


def test_what_queries_can_not_be_made_of():
    with pytest.raises(EmptyCorpus, match="no documents"):
        generate_queries([])
    with pytest.raises(EmptyCorpus, match="too few queries"):
        generate_queries([Document(str(n), f"Short text {n}.") for n in range(9)])
    with pytest.raises(InvalidParameter, match="held_out"):
        generate_queries(ARTICLES, Generation(held_out=40))
    with pytest.raises(InvalidParameter, match="kinds must be some of title"):
        Generation(["titles"])


@given(
    st.lists(st.text(max_size=400), min_size=2, max_size=8),
    st.integers(1, 3),
    st.integers(0, 5),
)
def test_any_texts_give_queries_or_a_reason(texts: list[str], per_document: int, seed: int):
    documents = [Document(str(place), text) for place, text in enumerate(texts)]
    try:
        corpus, _ = generate_queries(documents, Generation(per_document=per_document, held_out=1, seed=seed))
    except EmptyCorpus:
        return
    assert len({document.id for document in corpus.documents}) == len(corpus.documents)
    for qrels in corpus.qrels.values():
        for query in qrels:
            assert len(normalised(corpus.queries[query]).split()) >= 2


# ---- pairs -----------------------------------------------------------------------------------------------


def test_pairs_become_a_judged_corpus():
    pairs = [
        ("What is bread?", "Bread is food."),
        ("what is bread", "Flour, baked."),
        ("Moon", "bread is food"),
    ]
    corpus = corpus_of_pairs(pairs, [Document("x", "Flour, baked!"), Document("y", "Tides.")], held_out=1)
    assert [one.text for one in corpus.documents] == ["Flour, baked!", "Tides.", "Bread is food."]
    rows = {**corpus.qrels["train"], **corpus.qrels["test"]}
    # "What is bread?" has positives on both sides, unless they are on one
    assert set(rows) <= {"q0", "q1"}
    assert corpus.queries == {"q0": "What is bread?", "q1": "Moon"}


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("uvwxyz")), min_size=4), st.integers(0, 9)
)
def test_nothing_held_out_was_a_positive_in_training(pairs: list[tuple[str, str]], seed: int):
    if len({positive for _, positive in pairs}) < 3:
        return
    corpus = corpus_of_pairs(pairs, held_out=1, seed=seed)
    sides = [{key for row in qrels.values() for key in row} for qrels in corpus.qrels.values()]
    assert not sides[0] & sides[1]
    assert not set(corpus.qrels["train"]) & set(corpus.qrels["test"])


def test_broken_pairs_are_named(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"query": "a", "positive": "b"}\n{"query": "a"}\n')
    with pytest.raises(BadRecord, match="line 2: positive must be a string"):
        read_pairs(path)
    path.write_text('{"query": "a", "positive": "b"}\n')
    assert read_pairs(path) == [("a", "b")]
