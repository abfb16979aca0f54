"""The metrics agree with trec_eval (by way of ir-measures), and runs survive the trip through a file."""

import math
import sys

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.errors import BadRecord, EmptyCorpus, InvalidParameter, MissingExtra, SourceNotFound
from plait.evaluate import depth, evaluate, evaluate_queries, read_qrels, read_run, run_of, write_run
from plait.types import Hit

QRELS = {"q1": {"a": 2, "b": 0, "c": 1}, "q2": {"x": 1}}
RUN = {"q1": {"b": 9.0, "a": 8.0, "u": 7.0, "c": 6.0}, "unjudged": {"a": 1.0}}

documents = st.sampled_from([f"d{n}" for n in range(12)] + ["é", "D", "d"])
queries = st.sampled_from(["q1", "q2", "q3", "q4"])
qrels_sets = st.dictionaries(
    queries, st.dictionaries(documents, st.integers(0, 3), min_size=1, max_size=12), min_size=1
)
tied_scores = st.integers(-3, 3).map(float) | st.floats(-1e6, 1e6)


def runs_of(scores):
    return st.dictionaries(queries, st.dictionaries(documents, scores, min_size=1, max_size=15))


# ---- the numbers -----------------------------------------------------------------------------------------


def test_by_hand():
    dcg = 2 / math.log2(3) + 1 / math.log2(5)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    values = evaluate(QRELS, RUN, ["nDCG@10", "MRR@10", "Recall@2", "P@4", "Success@1", "AP", "nDCG@1"])
    assert values == pytest.approx(
        {
            "nDCG@10": dcg / ideal / 2,  # q2 has no results and counts as 0
            "MRR@10": 0.5 / 2,
            "Recall@2": 0.5 / 2,
            "P@4": 0.5 / 2,
            "Success@1": 0.0,
            "AP": (1 / 2 + 2 / 4) / 2 / 2,
            "nDCG@1": 0.0,
        }
    )
    assert list(values) == ["nDCG@10", "MRR@10", "Recall@2", "P@4", "Success@1", "AP", "nDCG@1"]


def test_each_query():
    assert evaluate_queries(QRELS, RUN, ["MRR@10"]) == {"MRR@10": {"q1": 0.5, "q2": 0.0}}


def test_ties_are_ranked_by_descending_id():
    assert evaluate({"q": {"a": 1}}, {"q": {"a": 1.0, "b": 1.0}}, ["MRR"]) == {"MRR": 0.5}
    assert evaluate({"q": {"a": 1}}, {"q": {"a": 1.0 + 1e-12, "b": 1.0}}, ["MRR"]) == {"MRR": 0.5}


@given(qrels=qrels_sets, run=runs_of(tied_scores))
def test_equals_ir_measures(qrels, run):
    names = {"nDCG@10": "nDCG@10", "nDCG@3": "nDCG@3", "nDCG": "nDCG", "MRR": "RR", "Recall@100": "R@100"}
    names |= {"Recall@2": "R@2", "P@5": "P@5", "Success@2": "Success@2", "AP": "AP", "AP@3": "AP@3"}
    measures = {ours: ir_measures.parse_measure(theirs) for ours, theirs in names.items()}
    expected = ir_measures.pytrec_eval.calc_aggregate(list(measures.values()), qrels, run)
    values = evaluate(qrels, run, list(names))
    assert values == pytest.approx({ours: expected[measure] for ours, measure in measures.items()})
    each = evaluate_queries(qrels, run, ["nDCG@10"])["nDCG@10"]
    theirs = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)}
    assert each == pytest.approx({query: theirs.get(query, 0.0) for query in qrels})


@given(qrels=qrels_sets, run=runs_of(st.integers(-1000, 1000).map(float)), k=st.integers(1, 12))
def test_mrr_with_a_cutoff_equals_ir_measures(qrels, run, k):
    """ir-measures takes this one from MS MARCO's script, which breaks ties otherwise: so without ties."""
    run = {query: dict(zip(scores, {*scores.values()}, strict=False)) for query, scores in run.items()}
    measure = ir_measures.RR @ k
    expected = ir_measures.calc_aggregate([measure], qrels, run)[measure]
    assert evaluate(qrels, run, [f"MRR@{k}"]) == pytest.approx({f"MRR@{k}": expected})


def test_names_of_ir_measures():
    values = evaluate(QRELS, RUN, ["AP(rel=2)", "Rprec", "RR@10"])
    measures = [ir_measures.AP(rel=2), ir_measures.Rprec]
    expected = ir_measures.calc_aggregate(measures, QRELS, RUN)
    assert values == pytest.approx(
        {"AP(rel=2)": expected[measures[0]], "Rprec": expected[measures[1]], "RR@10": 0.25}
    )
    assert evaluate_queries(QRELS, RUN, ["Rprec"])["Rprec"] == {"q1": 0.5, "q2": 0.0}


@pytest.mark.parametrize("name", ["nDGC@10", "Recall", "nDCG@0", "nDCG@-1", "", "nDCG @ ten", "P@1@2"])
def test_unknown_metrics(name):
    with pytest.raises(InvalidParameter, match="can't compute the metric"):
        evaluate(QRELS, RUN, [name])


def test_other_metrics_need_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    assert evaluate(QRELS, RUN)["MRR@10"] == 0.25
    with pytest.raises(MissingExtra, match=r"pip install 'plait\[eval\]'"):
        evaluate(QRELS, RUN, ["Rprec"])


def test_no_judgements():
    with pytest.raises(InvalidParameter, match="no judgements"):
        evaluate({}, RUN)


def test_depth():
    assert depth(["nDCG@10", "MRR@10", "Recall@100"]) == 100
    assert depth(["nDCG@10", "AP"]) == 1000
    assert depth([]) == 1000


# ---- files -----------------------------------------------------------------------------------------------


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
