"""Several lists of hits as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TypeAlias

from plait.errors import InvalidParameter
from plait.inputs import as_k
from plait.types import Hit

#: The constant of reciprocal rank fusion (Cormack et al. 2009).
RANK_CONSTANT = 60

#: Scores of one list, best first -> what the list gives each, and what it gives documents that it lacks.
Norm: TypeAlias = Callable[[Sequence[float]], tuple[list[float], float]]


def reciprocal_ranks(scores: Sequence[float]) -> tuple[list[float], float]:
    """``1 / (60 + rank)`` (Cormack, Clarke and Büttcher 2009); a document that the list lacks gets 0."""
    return [1 / (RANK_CONSTANT + rank) for rank in range(1, len(scores) + 1)], 0.0


def min_max(scores: Sequence[float]) -> tuple[list[float], float]:
    """The list's scores from 0 to 1; a document that it lacks gets 0, as its worst. If all are equal, 1."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    if high == low:
        return [1.0] * len(scores), 0.0
    return [(score - low) / (high - low) for score in scores], 0.0


def z_scores(scores: Sequence[float]) -> tuple[list[float], float]:
    """Standard deviations above the list's mean; a document that it lacks gets what its worst has.

    Where all are equal they get 0, and a document that the list lacks -1.
    """
    if not scores:
        return [], 0.0
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    if max(scores) == min(scores) or deviation == 0:
        return [0.0] * len(scores), -1.0
    values = [(score - mean) / deviation for score in scores]
    return values, min(values)


METHODS: dict[str, Norm] = {"rrf": reciprocal_ranks, "minmax": min_max, "z": z_scores}


def fuse(
    lists: Sequence[Sequence[Hit]],
    method: str = "rrf",
    *,
    weights: Sequence[float] | None = None,
    k: int | None = None,
    label: str | None = None,
) -> list[Hit]:
    """One list of hits from several: of each document the weighted sum of what each list gives it.

    Args:
        lists: hits, best first; in any number. A document that is twice in a list counts where it is first.
        method: what a list gives a document: "rrf" by its rank (``reciprocal_ranks``), "minmax" or "z" by its
            score (``min_max``, ``z_scores``).
        weights: of each list, at least 0; 1 by default.
        k: hits wanted; None for all documents of all lists.
        label: the name of the fused score in ``scores`` of a hit; None leaves it out.

    Returns:
        ``min(k, documents)`` hits, best first; ties in the order of the first list, then of the second, and
        so on. ``scores`` of a hit are those of all lists that have it.

    Raises:
        InvalidParameter: the method is unknown, a weight or a score is not finite, or k is below 1.
    """
    norm = METHODS.get(method)
    if norm is None:
        raise InvalidParameter(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    weights = _checked_weights([1.0] * len(lists) if weights is None else weights, len(lists))
    unique = [_unique(hits) for hits in lists]
    keys = list(
        dict.fromkeys(key for hits in unique for key in hits)
    )  # in the order that decides between ties
    place_of = {key: place for place, key in enumerate(keys)}
    given = [
        _contributions(norm, weight, hits, place_of) for weight, hits in zip(weights, unique, strict=True)
    ]
    totals = list(map(math.fsum, zip(*given, strict=True)))  # the same bits in any order of the lists
    order = sorted(range(len(keys)), key=totals.__getitem__, reverse=True)[: None if k is None else as_k(k)]
    return [
        _fused(rank, totals[place], [hits[keys[place]] for hits in unique if keys[place] in hits], label)
        for rank, place in enumerate(order, start=1)
    ]


def _contributions(
    norm: Norm, weight: float, hits: Mapping[str, Hit], place_of: Mapping[str, int]
) -> list[float]:
    """What a list gives each document of all lists."""
    values, missing = norm([hit.score for hit in hits.values()])
    row = [weight * missing] * len(place_of)
    for key, value in zip(hits, values, strict=True):
        row[place_of[key]] = weight * value
    return row


def _fused(rank: int, score: float, hits: Sequence[Hit], label: str | None) -> Hit:
    """The hit of the first list that has the document, with what else the others know."""
    first = hits[0]
    text, metadata, scores = first.text, first.metadata, first.scores
    for hit in hits[1:]:
        text = hit.text if text is None else text
        metadata = metadata or hit.metadata
        scores = {**scores, **hit.scores}
    return Hit(rank, first.id, score, text, metadata, scores if label is None else {**scores, label: score})


def blend(before: Sequence[float], after: Sequence[float], weight: float) -> list[float]:
    """What hits are worth by an earlier stage's scores and a later one's together.

    Args:
        before: scores of the earlier stage, in its order. One that is higher than the score before it (of a
            hit that the stage did not come to) counts as that one.
        after: scores of the later stage, of the same hits.
        weight: share of the later one, from 0 to 1.

    Returns:
        ``(1 - weight) * z(before) + weight * z(after)`` (``z_scores``) of each hit.
    """
    earlier, _ = z_scores(list(accumulate(before, min)))
    later, _ = z_scores(after)
    return [(1 - weight) * one + weight * other for one, other in zip(earlier, later, strict=True)]


def _checked_weights(weights: Sequence[float], lists: int) -> list[float]:
    if len(weights) != lists:
        raise InvalidParameter(f"weights has {len(weights)} entries, but there are {lists} lists")
    for place, weight in enumerate(weights):
        if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise InvalidParameter(f"weights[{place}] must be a number of at least 0, not {weight!r}")
    return [float(weight) for weight in weights]


def _unique(hits: Sequence[Hit]) -> dict[str, Hit]:
    found: dict[str, Hit] = {}
    for hit in hits:
        if not math.isfinite(hit.score):
            raise InvalidParameter(f"the score of {hit.id!r} is {hit.score}, which can't be fused")
        found.setdefault(hit.id, hit)
    return found
