"""What is different between two runs: means, whether it could be chance, queries, documents that moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from plait.errors import InvalidParameter
from plait.evaluate.metrics import DEFAULT_METRICS, Qrels, Run, evaluate_queries, ranked
from plait.evaluate.significance import bootstrap_interval, holm, permutation_test

QueryValues = Mapping[str, Mapping[str, float]]
"""metric -> query id -> value, as ``evaluate_queries`` gives it"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of a run and of another, over the same queries.

    Attributes:
        metric: its name.
        against: the name of the other run.
        mean, other_mean: of the run, and of the other.
        difference: ``mean - other_mean``.
        low, high: 95 % interval of the difference, by a paired bootstrap.
        p: of a paired randomisation test, two-sided.
        p_holm: ``p`` corrected for the number of runs that are compared; ``p`` if it is one.
        better, worse, equal: queries for which the run has a higher, lower or the same value.
    """

    metric: str
    against: str
    mean: float
    other_mean: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    better: int
    worse: int
    equal: int

    @property
    def nqueries(self) -> int:
        """Judged queries."""
        return self.better + self.worse + self.equal


@dataclass(frozen=True, slots=True)
class Move:
    """A document that stands elsewhere in the other run.

    Attributes:
        id: the document.
        grade: its judgement; 0 if there is none.
        rank, other_rank: its place, counted from 1; None if it is not among the documents looked at.
    """

    id: str
    grade: int
    rank: int | None
    other_rank: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """A query whose value is not the same.

    Attributes:
        query: its id.
        value, other_value: of the metric.
        moves: relevant documents that moved, and documents that are not relevant and came or went.
    """

    query: str
    value: float
    other_value: float
    moves: list[Move]

    @property
    def difference(self) -> float:
        """``value - other_value``."""
        return self.value - self.other_value


def compare_runs(
    qrels: Qrels,
    run: Run,
    others: Mapping[str, Run],
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    seed: int = 0,
) -> list[Comparison]:
    """Compare a run with others, metric by metric.

    Args:
        qrels: the judgements; every judged query counts, as in ``evaluate``.
        run: the run that is looked at.
        others: those it is compared with, by name.
        metrics: names, as for ``evaluate``.
        seed: of the tests.

    Returns:
        One comparison for each other run and metric. With several other runs ``p_holm`` is corrected for
        their number, for each metric by itself.

    Raises:
        InvalidParameter, MissingExtra: as ``evaluate``.
    """
    if not others:
        raise InvalidParameter("give at least one other run to compare with")
    values = evaluate_queries(qrels, run, metrics)
    given = {name: evaluate_queries(qrels, other, metrics) for name, other in others.items()}
    return compare_values(values, given, seed=seed)


def compare_values(
    values: QueryValues, others: Mapping[str, QueryValues], *, seed: int = 0
) -> list[Comparison]:
    """Compare values of queries that are known already; ``compare_runs`` explains the rest."""
    found = {
        metric: _corrected(
            _compared(metric, name, values[metric], other[metric], seed) for name, other in others.items()
        )
        for metric in values
    }
    return [found[metric][place] for place in range(len(others)) for metric in values]


def compare_with_baseline(
    values: Mapping[str, QueryValues], baseline: str, *, seed: int = 0
) -> dict[str, list[Comparison]]:
    """Compare several systems with one of them.

    Args:
        values: name of a system -> what ``evaluate_queries`` gave for it, of the same queries and metrics.
        baseline: the name of the one that all others are compared with.
        seed: of the tests.

    Returns:
        For each other system one comparison per metric; ``p_holm`` is corrected for the number of systems.
    """
    against = values[baseline]
    others = [name for name in values if name != baseline]
    by_metric = [
        _corrected(
            _compared(metric, baseline, values[name][metric], against[metric], seed) for name in others
        )
        for metric in against
    ]
    return {name: [found[place] for found in by_metric] for place, name in enumerate(others)}


def _corrected(comparisons: Iterable[Comparison]) -> list[Comparison]:
    each = list(comparisons)
    corrected = holm([one.p for one in each])
    return [replace(one, p_holm=p) for one, p in zip(each, corrected, strict=True)]


def _compared(
    metric: str, name: str, values: Mapping[str, float], others: Mapping[str, float], seed: int
) -> Comparison:
    ours = np.array(list(values.values()))
    theirs = np.array([others[query] for query in values])
    differences = ours - theirs
    low, high = bootstrap_interval(differences, seed=seed)
    p = permutation_test(differences, seed=seed)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    mean, other_mean, difference = (float(v.mean()) for v in (ours, theirs, differences))
    equal = len(differences) - better - worse
    return Comparison(metric, name, mean, other_mean, difference, low, high, p, p, better, worse, equal)


def changed_queries(
    qrels: Qrels, run: Run, other: Run, metric: str = DEFAULT_METRICS[0], *, k: int = 10
) -> list[Change]:
    """Find the queries that won or lost, and the documents that did it.

    Args:
        qrels: the judgements.
        run, other: the two runs.
        metric: the one that counts.
        k: how many documents of each run are looked at. Beyond, a document has no rank.

    Returns:
        Queries whose value differs, those that won most first and those that lost most last.

    Raises:
        InvalidParameter, MissingExtra: as ``evaluate``; or ``k`` is below 1.
    """
    if k < 1:
        raise InvalidParameter(f"k must be at least 1, not {k}")
    values, others = (evaluate_queries(qrels, one, [metric])[metric] for one in (run, other))
    changes = [
        Change(query, value, others[query], _moves(qrels[query], run.get(query, {}), other.get(query, {}), k))
        for query, value in values.items()
        if value != others[query]
    ]
    return sorted(changes, key=lambda change: -change.difference)


def _moves(
    grades: Mapping[str, int], scores: Mapping[str, float], others: Mapping[str, float], k: int
) -> list[Move]:
    """Relevant documents first, by their best rank: they explain the value; the others took their places."""
    ranks, other_ranks = (
        {document: rank for rank, document in enumerate(ranked(one)[:k], start=1)} for one in (scores, others)
    )
    moves = [
        Move(document, grades.get(document, 0), ranks.get(document), other_ranks.get(document))
        for document in dict.fromkeys([*ranks, *other_ranks])
    ]
    told = [
        move
        for move in moves
        if move.rank != move.other_rank and (move.grade > 0 or move.rank is None or move.other_rank is None)
    ]
    return sorted(told, key=lambda move: (-move.grade, min(move.rank or k + 1, move.other_rank or k + 1)))
