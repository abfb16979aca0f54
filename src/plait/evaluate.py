"""Judge rankings: relevance judgements (qrels) + a run -> nDCG, MRR, recall.

The conventions are those of trec_eval. A judged query without results counts as 0; a query without judgements
is left out. Documents are ranked by their score as a 32-bit float, highest first, and equal scores by id in
*descending* order, whatever ranks the run states. A document without judgement is not relevant; relevant
means a judgement of at least 1; nDCG's gain is the judgement itself (negative ones gain nothing).
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from plait.errors import BadRecord, EmptyCorpus, InvalidParameter, MissingExtra
from plait.sources import read_lines
from plait.types import Hit

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
            ``Recall@k`` (or ``R``), ``P@k``, ``Success@k``; any other name that ir-measures
            knows, where it is installed.

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
    cutoffs = [int(name.rpartition("@")[2]) if re.search(r"@\d+$", name) else unlimited for name in metrics]
    return max(cutoffs, default=unlimited)


def run_of(query_ids: Iterable[str], hits: Iterable[Iterable[Hit]]) -> dict[str, dict[str, float]]:
    """Make a run of what ``Index.search_all`` gave for these queries, in the order of the hits."""
    return {
        query: {hit.id: float(hit.score) for hit in found}
        for query, found in zip(query_ids, hits, strict=True)
    }


def judged_queries(queries: Mapping[str, str], qrels: Qrels) -> dict[str, str]:
    """Choose the queries that have judgements.

    Raises:
        InvalidParameter: none has, so that the two can't belong together.
    """
    judged = {query: text for query, text in queries.items() if query in qrels}
    if not judged:
        given, wanted = next(iter(queries), None), next(iter(qrels), None)
        raise InvalidParameter(
            f"no query has judgements: the first query's id is {given!r}, the first judged one is {wanted!r}"
        )
    return judged


# ---- files -----------------------------------------------------------------------------------------------


def read_qrels(source: str | Path) -> dict[str, dict[str, int]]:
    """Read judgements: ``query<TAB>document<TAB>grade`` (BEIR) or ``query 0 document grade`` (TREC).

    A first line whose grade is not a number is a header.

    Args:
        source: the file, or a folder in BEIR's form, whose ``qrels/test.tsv`` is read.

    Raises:
        SourceNotFound: there is no such file.
        BadRecord: a line has another form, a grade is not an integer, or two grades of a document differ.
        EmptyCorpus: there is no judgement in it.
    """
    path = Path(source, "qrels", "test.tsv") if Path(source).is_dir() else Path(source)
    qrels: dict[str, dict[str, int]] = {}
    for position, (number, line) in enumerate(read_lines(path)):
        fields = _judgement(line)
        if fields is None:
            expected = "query<TAB>document<TAB>grade, or query 0 document grade"
            raise BadRecord(path, number, f"expected is {expected}, and there is {line[:60]!r}")
        query, document, grade = fields
        if not re.fullmatch(r"[+-]?\d{1,18}", grade):
            if position == 0:
                continue  # the header
            raise BadRecord(path, number, f"the grade must be an integer, not {grade!r}")
        if qrels.setdefault(query, {}).setdefault(document, int(grade)) != int(grade):
            raise BadRecord(path, number, f"document {document!r} is judged twice for query {query!r}")
    if not qrels:
        raise EmptyCorpus(f"{path} holds no judgement")
    return qrels


def _judgement(line: str) -> tuple[str, str, str] | None:
    fields = line.split("\t")
    if len(fields) == 3:
        return fields[0], fields[1], fields[2].strip()
    fields = line.split()
    return (fields[0], fields[2], fields[3]) if len(fields) == 4 else None


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """Read a run in TREC's form: ``query Q0 document rank score tag``. The ranks are not used.

    Raises:
        SourceNotFound: there is no such file.
        BadRecord: a line has another form, a score is not a number, or a document stands twice for a query.
    """
    run: dict[str, dict[str, float]] = {}
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 6:
            expected = "query Q0 document rank score tag"
            raise BadRecord(path, number, f"expected is {expected}, and there are {len(fields)} fields")
        query, document = fields[0], fields[2]
        score = _number(fields[4])
        if not math.isfinite(score):
            raise BadRecord(path, number, f"the score must be a number, not {fields[4]!r}")
        if document in run.setdefault(query, {}):
            raise BadRecord(path, number, f"document {document!r} stands twice for query {query!r}")
        run[query][document] = score
    return run


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def write_run(path: str | Path, run: Run, tag: str = "plait") -> None:
    """Write a run in TREC's form, in the order given; ``read_run`` gives back the same scores, bit for bit.

    Queries without results leave no line. Nothing is written when the run can't be.

    Raises:
        InvalidParameter: an id or the tag is empty or holds white space (which separates the fields of
            TREC's form), or a score is not finite.
    """
    lines = []
    for query, scores in run.items():
        for rank, (document, score) in enumerate(scores.items(), start=1):
            for what, word in (("query id", query), ("document id", document), ("tag", tag)):
                if len(word.split()) != 1 or word.strip() != word:
                    raise InvalidParameter(
                        f"a TREC run can't hold the {what} {word!r}: no spaces are allowed"
                    )
            if not math.isfinite(score):
                raise InvalidParameter(f"the score of {document!r} for query {query!r} is {score}")
            lines.append(f"{query} Q0 {document} {rank} {float(score)!r} {tag}\n")
    Path(path).write_text("".join(lines), encoding="utf-8")


# ---- metrics ---------------------------------------------------------------------------------------------


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


def _success(found: _Grades, judged: _Grades, k: int) -> float:
    return float((found[:k] > 0).any())


_WITH_OR_WITHOUT_CUTOFF = {
    "ndcg": _ndcg,
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
}


def _metric(name: str) -> _Metric | None:
    """Find the metric of that name, or None when plait has none."""
    match = re.fullmatch(r"([A-Za-z]+)(?:@([1-9]\d{0,8}))?", name)
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
        measure = package.parse_measure(name)
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
        found = [grades.get(document, 0) for document in _ranked(run.get(query, {}))]
        judged = list(grades.values())
        values[query] = metric(np.array(found, dtype=np.int64), np.array(judged, dtype=np.int64))
    return values


def _ranked(scores: Mapping[str, float]) -> list[str]:
    """Sort the document ids in trec_eval's order."""
    with np.errstate(over="ignore"):
        single = np.array(list(scores.values()), dtype=np.float64).astype(np.float32).tolist()
    return [document for _, document in sorted(zip(single, scores, strict=True), reverse=True)]
