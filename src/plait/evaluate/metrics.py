"""The metrics: nDCG, MRR, recall and others, as trec_eval computes them."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from plait.errors import InvalidParameter, MissingExtra

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""query id -> document id -> judgement"""
Run: TypeAlias = Mapping[str, Mapping[str, float]]
"""query id -> document id -> score"""

DEFAULT_METRICS = ("nDCG@10", "MRR@10", "Recall@100")
_Grades: TypeAlias = npt.NDArray[np.int64]
_Metric: TypeAlias = Callable[[_Grades, _Grades], float]


def evaluate(qrels: Qrels, run: Run, metrics: Sequence[str] = DEFAULT_METRICS) -> dict[str, float]:
    """Average each metric over all judged queries.

    Args:
        qrels: the judgements.
        run: the scores of what was found.
        metrics: ``nDCG@k``, ``MRR@k`` (or ``RR``) and ``AP@k`` (or ``MAP``), also without ``@k``;
            ``Recall@k`` (or ``R``), ``P@k``, ``Success@k``, ``F1@k``; the same metrics by the names of
            trec_eval (``ndcg_cut_10``, ``recip_rank``, ``recall_100``) and of ranx (``hit_rate@10``,
            ``hits@10``, ``ndcg_burges@10``); any other name that ir-measures knows, where it is installed.

    Returns:
        The value of each metric under the name given.

    Raises:
        InvalidParameter: there is no judgement, or ir-measures does not know the name.
        MissingExtra: plait does not know the name, and ir-measures is not installed.
    """
    judged = _require_judged(qrels)
    values: dict[str, float] = {}
    for name in metrics:
        metric = _metric(name)
        if metric is None:
            values[name], _ = _by_ir_measures(name, judged, run)
        else:
            values[name] = math.fsum(_each_query(metric, judged, run).values()) / len(judged)
    return values


def evaluate_queries(
    qrels: Qrels, run: Run, metrics: Sequence[str] = DEFAULT_METRICS
) -> dict[str, dict[str, float]]:
    """Give the value of each metric for each judged query: metric name -> query id -> value.

    Takes and raises what ``evaluate`` does.
    """
    judged = _require_judged(qrels)
    values: dict[str, dict[str, float]] = {}
    for name in metrics:
        metric = _metric(name)
        if metric is None:
            _, found = _by_ir_measures(name, judged, run)
            values[name] = {query: found.get(query, 0.0) for query in judged}
        else:
            values[name] = _each_query(metric, judged, run)
    return values


def depth(metrics: Iterable[str], unlimited: int = 1000) -> int:
    """Tell how many results per query the metrics need: the largest ``@k``, or ``unlimited``.

    >>> depth(["nDCG@10", "Recall@100"])
    100
    """
    names = [_canonical(name) for name in metrics]
    cutoffs = [int(name.rpartition("@")[2]) if re.search(r"@\d+$", name) else unlimited for name in names]
    return max(cutoffs, default=unlimited)


def _ndcg(found: _Grades, judged: _Grades, k: int | None) -> float:
    ideal = _dcg(np.sort(judged)[::-1][:k])
    return _dcg(found[:k]) / ideal if ideal else 0.0


def _dcg(grades: _Grades) -> float:
    return float((np.maximum(grades, 0) / np.log2(np.arange(2, len(grades) + 2))).sum())


def _mrr(found: _Grades, judged: _Grades, k: int | None) -> float:
    ranks = np.flatnonzero(found[:k] > 0) + 1
    return 1.0 / float(ranks[0]) if len(ranks) else 0.0


def _average_precision(found: _Grades, judged: _Grades, k: int | None) -> float:
    ranks = np.flatnonzero(found[:k] > 0) + 1
    precisions = np.arange(1, len(ranks) + 1) / ranks
    return float(precisions.sum()) / max(1, int((judged > 0).sum()))


def _recall(found: _Grades, judged: _Grades, k: int) -> float:
    return int((found[:k] > 0).sum()) / max(1, int((judged > 0).sum()))


def _precision(found: _Grades, judged: _Grades, k: int) -> float:
    return int((found[:k] > 0).sum()) / k


def _f1(found: _Grades, judged: _Grades, k: int) -> float:
    precision, recall = _precision(found, judged, k), _recall(found, judged, k)
    return 2 * precision * recall / (precision + recall) if precision else 0.0


def _hits(found: _Grades, judged: _Grades, k: int) -> float:
    return float((found[:k] > 0).sum())


def _ndcg_burges(found: _Grades, judged: _Grades, k: int | None) -> float:
    """Gain ``2**grade - 1`` (Burges et al. 2005)."""
    gains, ideal = (2 ** np.clip(grades, 0, 60) - 1 for grades in (found, judged))
    return _ndcg(gains, ideal, k)


def _success(found: _Grades, judged: _Grades, k: int) -> float:
    return float((found[:k] > 0).any())


_WITH_OR_WITHOUT_CUTOFF = {
    "ndcg": _ndcg,
    "ndcg_burges": _ndcg_burges,
    "mrr": _mrr,
    "rr": _mrr,
    "ap": _average_precision,
    "map": _average_precision,
}
_WITH_CUTOFF = {
    "recall": _recall,
    "r": _recall,
    "p": _precision,
    "precision": _precision,
    "success": _success,
    "hit_rate": _success,
    "hits": _hits,
    "f1": _f1,
}
#: Other tools' names of metrics that have one here, or in ir-measures.
_ALIASES = {
    "recip_rank": "RR",
    "r-precision": "Rprec",
    "r_precision": "Rprec",
    "bpref": "Bpref",
}
_TREC_EVAL = {"ndcg_cut": "nDCG", "map_cut": "AP", "recall": "Recall", "p": "P", "success": "Success"}


def _canonical(name: str) -> str:
    """The name of a metric as it is called here or in ir-measures."""
    match = re.fullmatch(r"(ndcg_cut|map_cut|recall|P|success)[_.]([1-9]\d{0,8})", name)
    if match:
        return f"{_TREC_EVAL[match[1].lower()]}@{match[2]}"
    return _ALIASES.get(name, name)


def _metric(name: str) -> _Metric | None:
    """Find the metric of that name, or None when plait has none."""
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9_]*)(?:@([1-9]\d{0,8}))?", _canonical(name))
    if match is None:
        return None
    family, k = match[1].lower(), int(match[2]) if match[2] else None
    if family in _WITH_OR_WITHOUT_CUTOFF:
        return partial(_WITH_OR_WITHOUT_CUTOFF[family], k=k)
    if family in _WITH_CUTOFF and k is not None:
        return partial(_WITH_CUTOFF[family], k=k)
    return None


def _by_ir_measures(name: str, qrels: Qrels, run: Run) -> tuple[float, dict[str, float]]:
    """Compute a metric that plait does not have: over all queries, and for each query with a value."""
    try:
        package = importlib.import_module("ir_measures")
    except ImportError:
        raise MissingExtra("ir-measures", "eval") from None
    try:
        measure = package.parse_measure(_canonical(name))
        measure.validate_params()
        if measure.params.get("cutoff", 1) < 1:  # trec_eval's library crashes on these
            raise ValueError("the cutoff must be positive")
        mean = package.calc_aggregate([measure], qrels, run)[measure]
        each = {value.query_id: float(value.value) for value in package.iter_calc([measure], qrels, run)}
    except (AssertionError, AttributeError, NameError, RuntimeError, TypeError, ValueError) as error:
        known = "nDCG@k, MRR@k, Recall@k, AP@k, P@k, Success@k or a name of ir-measures"
        raise InvalidParameter(f"can't compute the metric {name!r} ({error}); expected is {known}") from error
    return float(mean), each


def _require_judged(qrels: Qrels) -> dict[str, Mapping[str, int]]:
    judged = {query: grades for query, grades in qrels.items() if grades}
    if not judged:
        raise InvalidParameter("there are no judgements to evaluate with")
    return judged


def _each_query(metric: _Metric, qrels: Qrels, run: Run) -> dict[str, float]:
    values = {}
    for query, grades in qrels.items():
        found = [grades.get(document, 0) for document in ranked(run.get(query, {}))]
        judged = list(grades.values())
        values[query] = metric(np.array(found, dtype=np.int64), np.array(judged, dtype=np.int64))
    return values


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Sort the document ids in trec_eval's order."""
    with np.errstate(over="ignore"):
        single = np.array(list(scores.values()), dtype=np.float64).astype(np.float32).tolist()
    return [document for _, document in sorted(zip(single, scores, strict=True), reverse=True)]
