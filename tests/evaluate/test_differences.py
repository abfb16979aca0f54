"""What is different between two runs."""

import numpy as np
import pytest

from plait.errors import InvalidParameter
from plait.evaluate import (
    Move,
    changed_queries,
    compare_runs,
    evaluate,
    evaluate_queries,
    holm,
    permutation_test,
)

QRELS = {"won": {"a": 2, "b": 1}, "lost": {"c": 1}, "same": {"d": 1}, "missing": {"e": 1}}
RUN = {"won": {"a": 3.0, "b": 2.0, "x": 1.0}, "lost": {"y": 3.0, "c": 2.0}, "same": {"d": 1.0}}
OTHER = {"won": {"x": 3.0, "a": 2.0}, "lost": {"c": 3.0}, "same": {"d": 9.0}, "missing": {"z": 1.0}}


def test_a_comparison():
    shown = compare_runs(QRELS, RUN, {"other": OTHER}, ["MRR@10", "Recall@10"])
    assert [(one.metric, one.against) for one in shown] == [("MRR@10", "other"), ("Recall@10", "other")]
    first = shown[0]
    assert first.mean == evaluate(QRELS, RUN, ["MRR@10"])["MRR@10"]
    assert first.other_mean == evaluate(QRELS, OTHER, ["MRR@10"])["MRR@10"]
    assert first.difference == pytest.approx(0.0)
    assert (first.better, first.worse, first.equal, first.nqueries) == (1, 1, 2, 4)
    assert first.low <= first.difference <= first.high
    assert first.p == first.p_holm == 1.0


def test_several_others_are_corrected_for_each_metric():
    rng = np.random.default_rng(0)
    qrels = {str(query): {"a": 1} for query in range(40)}

    def run(quality):
        return {query: {"a": 1.0, "b": float(rng.random() > quality) * 2} for query in qrels}

    ours, others = run(0.9), {name: run(quality) for name, quality in (("x", 0.2), ("y", 0.5), ("z", 0.9))}
    shown = compare_runs(qrels, ours, others, ["MRR", "P@1"])
    values = evaluate_queries(qrels, ours, ["MRR"])["MRR"]
    for one in shown[:1]:
        theirs = evaluate_queries(qrels, others[one.against], ["MRR"])["MRR"]
        assert one.p == permutation_test([values[query] - theirs[query] for query in qrels])
    assert [one.against for one in shown] == ["x", "x", "y", "y", "z", "z"]
    for metric in ("MRR", "P@1"):
        those = [one for one in shown if one.metric == metric]
        assert [one.p_holm for one in those] == holm([one.p for one in those])
    assert shown[0].p_holm < 0.01 < shown[-1].p_holm


def test_queries_that_changed_and_documents_that_moved():
    won, lost = changed_queries(QRELS, RUN, OTHER, "nDCG@10")
    assert (won.query, lost.query) == ("won", "lost")
    assert won.difference > 0 > lost.difference
    assert won.moves == [Move("a", 2, 1, 2), Move("b", 1, 2, None)]
    assert lost.moves == [Move("c", 1, 2, 1), Move("y", 0, 1, None)]
    assert lost.difference == pytest.approx(1 / np.log2(3) - 1)


def test_documents_beyond_k_have_no_rank():
    run = {"q": {f"d{n}": -float(n) for n in range(20)}}
    other = {"q": {f"d{n}": float(n) for n in range(20)}}
    (change,) = changed_queries({"q": {"d3": 1}}, run, other, "MRR@5", k=5)
    assert change.moves[0] == Move("d3", 1, 4, None)
    assert len(change.moves) == 10
    assert all(move.rank is None or move.rank <= 5 for move in change.moves)


def test_wrong_values():
    with pytest.raises(InvalidParameter, match="at least one other run"):
        compare_runs(QRELS, RUN, {})
    with pytest.raises(InvalidParameter, match="k must be at least 1"):
        changed_queries(QRELS, RUN, OTHER, k=0)
