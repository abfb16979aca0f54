"""Scoring: groups -> groups with a teacher's scores, which a student is trained to agree with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plait.errors import InvalidParameter
from plait.train.groups import Group, read_groups, write_groups
from plait.train.score_cache import ScoreCache
from plait.train.teachers import Pair, Teacher
from plait.types import Progress

NORMALISATIONS = ("none", "query", "global")
_Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TeacherReport:
    """What one teacher, or all together, said.

    Attributes:
        name: of the teacher.
        positives, negatives: mean score.
        deviation: standard deviation of all scores.
        positive_first: share of the groups in which no negative has a higher score than the positive.
        computed: scores that were not known from an earlier run; None for all together.
    """

    name: str
    positives: float
    negatives: float
    deviation: float
    positive_first: float
    computed: int | None


@dataclass(frozen=True, slots=True)
class ScoringReport:
    """What scoring found.

    Attributes:
        groups: scored.
        pairs: different (query, document) pairs.
        teachers: one report for each.
        together: the scores that were written.
    """

    groups: int
    pairs: int
    teachers: list[TeacherReport]
    together: TeacherReport


def score(
    source: str | Path,
    output: str | Path,
    teachers: Sequence[Teacher],
    *,
    weights: Sequence[float] | None = None,
    normalise: str | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> ScoringReport:
    """Write a file of groups again, with scores of one teacher or of several together.

    A run that was killed is gone on with by the same call, if it has a ``cache``.

    Args:
        source: the file of groups; scores in it are replaced.
        output: the file to make.
        teachers: whose scores.
        weights: of each; the same by default. Those of the sum are scaled to add up to 1.
        normalise: "none"; "query": in each group, the mean becomes 0 and the standard deviation 1; or
            "global": the same over all groups. By default "none" for one teacher and "global" for several,
            whose scores have different units. KL distillation looks at differences in a group, so "query"
            hides from it how sure a teacher is.
        cache: an SQLite file of known scores, made if it is not there.
        progress: called with the teacher's name, how many pairs have a score, and how many there are.

    Raises:
        InvalidParameter: something is at ``output`` already, or weights do not fit the teachers.
        SourceNotFound, BadRecord, EmptyCorpus: as ``read_groups``.
    """
    output = Path(output)
    if output.exists():
        raise InvalidParameter(f"{output} exists already; give a new file")
    shares = _shares(teachers, weights)
    how = normalise or ("none" if len(teachers) == 1 else "global")
    if how not in NORMALISATIONS:
        raise InvalidParameter(f"normalise must be one of {', '.join(NORMALISATIONS)}, not {normalise!r}")
    groups = read_groups(source)
    pairs: list[Pair] = [(group.query, text) for group in groups for text in group.documents]
    distinct = len(set(pairs))
    sizes = np.array([len(group.documents) for group in groups])
    reports = []
    together: _Scores = np.zeros(len(pairs))
    with ScoreCache(cache) as known:
        for teacher, share in zip(teachers, shares, strict=True):
            done = None if progress is None else _reporter(progress, teacher.name, distinct)
            found, computed = known.score(teacher, pairs, done)
            _require_finite(found, teacher)
            reports.append(_report(teacher.name, found.astype(np.float64), sizes, computed))
            together += share * _normalised(found.astype(np.float64), sizes, how)
    write_groups(output, _scored(groups, together, sizes))
    return ScoringReport(len(groups), distinct, reports, _report("together", together, sizes, None))


def _reporter(progress: Progress, name: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(name, done, total)


def _shares(teachers: Sequence[Teacher], weights: Sequence[float] | None) -> list[float]:
    if not teachers:
        raise InvalidParameter("give at least one teacher")
    given = [1.0] * len(teachers) if weights is None else list(weights)
    if len(given) != len(teachers):
        raise InvalidParameter(f"there are {len(given)} weights for {len(teachers)} teachers")
    if any(not weight > 0 for weight in given):
        raise InvalidParameter(f"weights must be above 0, not {given}")
    return [weight / sum(given) for weight in given]


def _require_finite(found: npt.NDArray[np.float32], teacher: Teacher) -> None:
    if not np.isfinite(found).all():
        raise InvalidParameter(f"the teacher {teacher.name} gave a score that is not finite")


def _normalised(scores: _Scores, sizes: npt.NDArray[np.int64], how: str) -> _Scores:
    """Scores with mean 0 and deviation 1, of each group or of all; those that are all equal become 0."""
    if how == "none":
        return scores
    runs = [scores] if how == "global" else np.split(scores, np.cumsum(sizes)[:-1])
    return np.concatenate([(run - run.mean()) / (run.std() or 1.0) for run in runs])


def _scored(groups: Sequence[Group], scores: _Scores, sizes: npt.NDArray[np.int64]) -> list[Group]:
    rows = np.split(scores, np.cumsum(sizes)[:-1])
    return [
        replace(group, scores=tuple(round(value, 6) for value in row.tolist()))
        for group, row in zip(groups, rows, strict=True)
    ]


def _report(name: str, scores: _Scores, sizes: npt.NDArray[np.int64], computed: int | None) -> TeacherReport:
    rows = np.split(scores, np.cumsum(sizes)[:-1])
    negatives = np.concatenate([row[1:] for row in rows])
    return TeacherReport(
        name,
        positives=float(np.mean([row[0] for row in rows])),
        negatives=float(negatives.mean()) if len(negatives) else 0.0,
        deviation=float(scores.std()),
        positive_first=float(np.mean([row[0] >= row.max() for row in rows])),
        computed=computed,
    )
