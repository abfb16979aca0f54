"""Which groups a step sees, with which negatives, and how its texts are packed. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait.train.groups import Group

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The groups of one step. A text that stands in several of them is one column.

    Attributes:
        queries: the texts of the q queries.
        documents: the different texts of all groups: d columns.
        own: i64 ``[q, n]``, the columns of each query's documents, the positive first; -1 where a group
            has fewer than n.
        known: bool ``[q, d]``, columns that are positives of the query in another of the groups. They are no
            negatives.
        teacher: f32 ``[q, n]``, the teacher's scores, NaN where there is none.
    """

    queries: list[str]
    documents: list[str]
    own: Ints
    known: npt.NDArray[np.bool_]
    teacher: npt.NDArray[np.float32]


class Order:
    """The groups of every step, from the seed alone: any step can be made without those before it."""

    def __init__(self, groups: Sequence[Group], batch_size: int, negatives: int | None, seed: int) -> None:
        self._groups = groups
        self._size = min(batch_size, len(groups))
        self._negatives = negatives
        self._seed = seed
        self._epoch = -1
        self._shuffled: Ints = np.empty(0, dtype=np.int64)
        self._positives: dict[str, set[str]] = {}
        for group in groups:
            self._positives.setdefault(group.query, set()).add(group.documents[0])

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which each group comes once; the last incomplete batch is left out."""
        return max(1, len(self._groups) // self._size)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._shuffled = np.random.default_rng([self._seed, epoch]).permutation(len(self._groups))
            self._epoch = epoch
        chosen = self._shuffled[place * self._size : (place + 1) * self._size]
        rng = np.random.default_rng([self._seed, epoch, place])
        return batch_of([self._with_negatives(self._groups[row], rng) for row in chosen], self._positives)

    def _with_negatives(self, group: Group, rng: np.random.Generator) -> Group:
        """The group with ``negatives`` of its negatives, in their order."""
        count = len(group.documents) - 1
        if self._negatives is None or count <= self._negatives:
            return group
        places = [0, *sorted(1 + rng.choice(count, size=self._negatives, replace=False))]
        scores = None if group.scores is None else tuple(group.scores[place] for place in places)
        return Group(group.query, tuple(group.documents[place] for place in places), scores)


def batch_of(groups: Sequence[Group], positives: dict[str, set[str]] | None = None) -> Batch:
    """Bring groups together.

    Args:
        groups: the groups.
        positives: all that is known to answer a query; by default what the groups say.
    """
    if positives is None:
        positives = {}
        for group in groups:
            positives.setdefault(group.query, set()).add(group.documents[0])
    columns: dict[str, int] = {}
    widest = max(len(group.documents) for group in groups)
    own = np.full((len(groups), widest), -1, dtype=np.int64)
    teacher = np.full((len(groups), widest), np.nan, dtype=np.float32)
    for row, group in enumerate(groups):
        for place, text in enumerate(group.documents):
            own[row, place] = columns.setdefault(text, len(columns))
        if group.scores is not None:
            teacher[row, : len(group.scores)] = group.scores
    known = np.zeros((len(groups), len(columns)), dtype=np.bool_)
    for row, group in enumerate(groups):
        for text in positives.get(group.query, ()):
            if text in columns and text != group.documents[0]:
                known[row, columns[text]] = True
    return Batch([group.query for group in groups], list(columns), own, known, teacher)


def pack(lengths: Sequence[int], budget: int) -> list[Ints]:
    """Sort texts by length and cut them in pieces of at most ``budget`` padded tokens each.

    Texts of a piece have about the same length, so that padding is a few per cent.

    Returns:
        The places of the texts of each piece; together every place once.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")[::-1]
    pieces = []
    start = 0
    while start < len(order):
        count = max(1, budget // max(1, lengths[order[start]]))
        pieces.append(order[start : start + count].astype(np.int64))
        start += count
    return pieces
