"""How well a system ranks groups that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from plait.evaluate import evaluate
from plait.train.batches import Batch, batch_of
from plait.train.groups import Group

if TYPE_CHECKING:
    from plait.train.systems.system import System

METRIC = "nDCG@10"


class HeldOut:
    """Held-out groups as a small corpus: each query looks for its positives among all their documents.

    A cross-encoder, which reads every pair, ranks the documents of the query's own group only.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.batch: Batch = batch_of(groups)
        self._qrels: dict[str, dict[str, int]] = {}
        for row, own in enumerate(self.batch.own):
            relevant = {int(own[0]), *np.flatnonzero(self.batch.known[row]).tolist()}
            self._qrels[str(row)] = {str(column): 1 for column in relevant}

    def ndcg(self, system: System, after_piece: Callable[[int, int], None] | None = None) -> float:
        """Mean nDCG@10 over the queries."""
        scores = system.batch_scores(self.batch, in_batch=True, after_piece=after_piece)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        run = {
            str(row): {
                str(column): float(scores[row, column]) for column in columns if scores[row, column] > -np.inf
            }
            for row, columns in enumerate(best)
        }
        return evaluate(self._qrels, run, [METRIC])[METRIC]
