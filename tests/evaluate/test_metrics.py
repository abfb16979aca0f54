"""The metrics agree with trec_eval (by way of ir-measures)."""

import math
import sys

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import InvalidParameter, MissingExtra
from plait.evaluate import depth, evaluate, evaluate_queries

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


def test_names_of_ranx():
    """Values that ranx 0.3.21 gives."""
    qrels = {"q": {"a": 3, "c": 1, "z": 2}, "r": {"x": 1}}
    run = {"q": {"a": 3.0, "b": 2.0, "c": 1.0}, "r": {"y": 1.0, "x": 0.5}}
    expected = {
        "ndcg@3": 0.6829683693551659,
        "ndcg_burges@3": 0.7147073058354775,
        "hit_rate@2": 1.0,
        "hits@3": 1.5,
        "f1@3": 0.5833333333333333,
        "recall@2": 0.6666666666666666,
        "precision@2": 0.5,
        "mrr": 0.75,
        "map": 0.5277777777777777,
        "r-precision": 0.3333333333333333,
    }
    assert evaluate(qrels, run, list(expected)) == pytest.approx(expected)


@given(qrels=qrels_sets, run=runs_of(tied_scores))
def test_names_of_trec_eval(qrels, run):
    names = {"ndcg_cut_3": "nDCG@3", "recip_rank": "MRR", "recall_2": "Recall@2", "P_5": "P@5", "map": "AP"}
    names |= {"map_cut_3": "AP@3", "success_2": "Success@2", "ndcg_cut.3": "nDCG@3"}
    theirs, ours = evaluate(qrels, run, list(names)), evaluate(qrels, run, list(names.values()))
    assert theirs == {name: ours[name_here] for name, name_here in names.items()}


def test_f1_of_nothing_found():
    assert evaluate({"q": {"a": 1}}, {"q": {"b": 1.0}}, ["f1@3"]) == {"f1@3": 0.0}


def test_depth():
    assert depth(["ndcg_cut_20", "recall_5"]) == 20
    assert depth(["nDCG@10", "MRR@10", "Recall@100"]) == 100
    assert depth(["nDCG@10", "AP"]) == 1000
    assert depth([]) == 1000
