"""Judgements, runs, folders and values of queries survive the trip through a file."""

import csv
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.errors import BadRecord, EmptyCorpus, InvalidParameter, SourceError, SourceNotFound
from plait.evaluate import (
    evaluate_queries,
    read_qrels,
    read_run,
    run_of,
    write_beir,
    write_qrels,
    write_query_values,
    write_run,
)
from plait.sources import read_documents, read_queries
from plait.types import Document, Hit


@pytest.mark.parametrize(
    "content",
    [
        "query-id\tcorpus-id\tscore\nq 1\ta b\t2\nq 1\tc\t0\n",
        "q 1\ta b\t2\nq 1\tc\t0\r\n",
    ],
)
def test_read_beir_qrels(tmp_path, content):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(content)
    assert read_qrels(tmp_path / "qrels" / "test.tsv") == {"q 1": {"a b": 2, "c": 0}}
    assert read_qrels(tmp_path) == {"q 1": {"a b": 2, "c": 0}}


def test_read_trec_qrels(tmp_path):
    path = tmp_path / "qrels.txt"
    path.write_text("1 0 a 2\n1\t0\tb\t-1\n\n2 Q0 a 1\n2 Q0 a 1\n")
    assert read_qrels(path) == {"1": {"a": 2, "b": -1}, "2": {"a": 1}}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("1 0 a\n", r"line 1: expected is query<TAB>document<TAB>grade"),
        ("1 0 a 2\n1 0 a two\n", "line 2: the grade must be an integer, not 'two'"),
        ("1 0 a 2\n1 0 a 1\n", "line 2: document 'a' is judged twice for query '1'"),
    ],
)
def test_bad_qrels(tmp_path, content, error):
    (tmp_path / "qrels.txt").write_text(content)
    with pytest.raises(BadRecord, match=error):
        read_qrels(tmp_path / "qrels.txt")


def test_no_qrels(tmp_path):
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n")
    with pytest.raises(EmptyCorpus, match="holds no judgement"):
        read_qrels(tmp_path / "qrels.tsv")
    with pytest.raises(SourceNotFound):
        read_qrels(tmp_path / "none.tsv")


words = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda word: word.split() == [word])


@settings(max_examples=30)
@given(
    st.dictionaries(
        words, st.dictionaries(words, st.floats(allow_nan=False, allow_infinity=False), min_size=1)
    )
)
def test_runs_round_trip(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("run") / "run.trec"
    write_run(path, run)
    assert read_run(path) == run


def test_run_format(tmp_path):
    hits = [[Hit(1, "a", 2.5), Hit(2, "b", 0.1)], []]
    run = run_of(["q1", "q2"], hits)
    assert run == {"q1": {"a": 2.5, "b": 0.1}, "q2": {}}
    write_run(tmp_path / "run", run)
    assert (tmp_path / "run").read_text() == "q1 Q0 a 1 2.5 plait\nq1 Q0 b 2 0.1 plait\n"


@pytest.mark.parametrize(
    ("run", "error"),
    [
        ({"q": {"a b.txt": 1.0}}, "can't hold the document id 'a b.txt'"),
        ({"q 1": {"a": 1.0}}, "can't hold the query id 'q 1'"),
        ({"q": {"": 1.0}}, "can't hold the document id ''"),
        ({"q": {"a": math.nan}}, "score of 'a' for query 'q' is nan"),
    ],
)
def test_runs_that_can_not_be_written(tmp_path, run, error):
    with pytest.raises(InvalidParameter, match=error):
        write_run(tmp_path / "run", run)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("1 Q0 a 1 2.0\n", "line 1: expected is query Q0 document rank score tag, and there are 5 fields"),
        ("1 Q0 a 1 high x\n", "the score must be a number, not 'high'"),
        ("1 Q0 a 1 inf x\n", "the score must be a number, not 'inf'"),
        ("1 Q0 a 1 2 x\n1 Q0 a 2 1 x\n", "line 2: document 'a' stands twice for query '1'"),
    ],
)
def test_bad_runs(tmp_path, content, error):
    (tmp_path / "run").write_text(content)
    with pytest.raises(BadRecord, match=error):
        read_run(tmp_path / "run")


@settings(max_examples=30)
@given(
    qrels=st.dictionaries(words, st.dictionaries(words, st.integers(-1, 3), min_size=1), min_size=1),
    name=st.sampled_from(["qrels.tsv", "qrels.txt"]),
)
def test_judgements_round_trip(tmp_path_factory, qrels, name):
    path = tmp_path_factory.mktemp("qrels") / name
    write_qrels(path, qrels)
    assert read_qrels(path) == qrels


def test_forms_of_judgements(tmp_path):
    qrels = {"q1": {"a": 2, "b": 0}}
    write_qrels(tmp_path / "qrels.tsv", qrels)
    assert (tmp_path / "qrels.tsv").read_text() == "query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t0\n"
    write_qrels(tmp_path / "qrels.trec", qrels)
    assert (tmp_path / "qrels.trec").read_text() == "q1 0 a 2\nq1 0 b 0\n"


@pytest.mark.parametrize(
    ("name", "qrels", "error"),
    [
        ("qrels.txt", {"q": {"a b": 1}}, "can't hold the document id 'a b'"),
        ("qrels.tsv", {"q\tr": {"a": 1}}, "can't hold the query id"),
        ("qrels.tsv", {"q": {"": 1}}, "can't hold the document id ''"),
        ("qrels.tsv", {"q": {"a\nb": 1}}, "can't hold the document id"),
    ],
)
def test_judgements_that_can_not_be_written(tmp_path, name, qrels, error):
    with pytest.raises(InvalidParameter, match=error):
        write_qrels(tmp_path / name, qrels)
    assert not (tmp_path / name).exists()


def test_splits_of_a_folder(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "dev.tsv").write_text("q\ta\t1\n")
    assert read_qrels(tmp_path, split="dev") == {"q": {"a": 1}}
    with pytest.raises(SourceNotFound, match="the folder has judgements for dev"):
        read_qrels(tmp_path)


def test_folders_in_beirs_form_round_trip(tmp_path):
    documents = [
        Document("a", "A title and text", {"title": "A title", "year": 1999}),
        Document("b", "Only text,\nin two lines"),
    ]
    queries, qrels = {"q1": "what?", "q2": "wo?"}, {"q1": {"a": 2}, "q2": {"b": 1, "a": 0}}
    write_beir(tmp_path / "new", documents, queries, qrels)
    assert list(read_documents(tmp_path / "new")) == documents
    assert read_queries(tmp_path / "new") == queries
    assert read_qrels(tmp_path / "new") == qrels
    with pytest.raises(InvalidParameter, match="document 'v' has no text"):
        write_beir(tmp_path / "other", [Document("v")], queries, qrels)


def test_values_of_queries(tmp_path):
    qrels, run = {"q1": {"a": 1}, "q,2": {"b": 1}}, {"q1": {"a": 2.0}, "q,2": {"a": 2.0, "b": 1.0}}
    values = evaluate_queries(qrels, run, ["MRR", "P@1"])
    write_query_values(tmp_path / "values.csv", values)
    rows = list(csv.DictReader((tmp_path / "values.csv").read_text().splitlines()))
    assert rows == [
        {"query": "q1", "MRR": "1.0", "P@1": "1.0"},
        {"query": "q,2", "MRR": "0.5", "P@1": "0.0"},
    ]
    write_query_values(tmp_path / "values.json", values, {"q1": "What\nis it?"})
    assert json.loads((tmp_path / "values.json").read_text()) == {
        "q1": {"text": "What\nis it?", "MRR": 1.0, "P@1": 1.0},
        "q,2": {"text": "", "MRR": 0.5, "P@1": 0.0},
    }
    with pytest.raises(SourceError, match=r"written as \.csv or \.json"):
        write_query_values(tmp_path / "values.xlsx", values)


def test_a_run_keeps_the_order_of_hits_whose_scores_rise():
    hits = [Hit(1, "a", 2.0), Hit(2, "b", 1.0), Hit(3, "c", 97.0)]
    assert run_of(["q", "r"], [hits, hits[:2]]) == {
        "q": {"a": 1.0, "b": 1 / 2, "c": 1 / 3},
        "r": {"a": 2.0, "b": 1.0},
    }
