"""How much an index's search finds at which effort, measured on the index itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import InvalidParameter
from plait.search.params import SearchParams
from plait.search.recall import overlap
from plait.search.searcher import query_batches, search, search_batch
from plait.store import Snapshot
from plait.threads import map_threads
from plait.types import FloatArray

#: Multiples of the default effort that are tried.
EFFORTS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
#: The curves are measured for these numbers of hits, with every query or one in so many: the mean of 100 hits
#: of one query says as much as that of 10 hits of several.
DEPTHS = {10: 1, 100: 3}
#: Up to so many tokens the truth is a full scan, beyond it is a search with ``DEEP`` times the effort.
SCANNED_TOKENS = 1 << 20
DEEP = 12.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Search recall by effort.

    Attributes:
        documents: how many the index held when it was measured.
        queries: how many were asked.
        curves: for each number of hits, ``(effort, mean recall)``, ascending in effort.
    """

    documents: int
    queries: int
    curves: dict[int, list[tuple[float, float]]]

    def params(self, k: int, documents: int, target: float) -> SearchParams:
        """The least effort that reached a recall of ``target``; a scan of everything if none did."""
        depth = min((depth for depth in self.curves if depth >= k), default=max(self.curves))
        for effort, recall in self.curves[depth]:
            if recall >= target:
                return SearchParams.for_k(k, documents, effort)
        return SearchParams(scan=True)

    def as_json(self) -> dict[str, Any]:
        """What the catalog keeps."""
        return {"documents": self.documents, "queries": self.queries, "curves": self.curves}

    @classmethod
    def from_json(cls, value: Any) -> Calibration | None:
        """None if it is not what ``as_json`` writes."""
        try:
            curves = {
                int(k): [(float(effort), float(recall)) for effort, recall in curve]
                for k, curve in value["curves"].items()
            }
            points = [point for curve in curves.values() for point in curve]
            if not all(0 < effort < math.inf and math.isfinite(recall) for effort, recall in points):
                return None
            return cls(int(value["documents"]), int(value["queries"]), curves) if curves else None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None


def params_for(
    snapshot: Snapshot,
    k: int,
    params: SearchParams | None,
    recall_target: float | None,
    allowed: npt.NDArray[np.int64] | None = None,
) -> SearchParams:
    """What a search may spend: the params given, those that reach the target, or the default.

    Args:
        snapshot: the index.
        k: hits wanted.
        params, recall_target: at most one of them; both may be None.
        allowed: i64, the documents that may be found; None for all.
    """
    share = 1.0 if allowed is None else len(allowed) / max(1, snapshot.ndocs)
    if recall_target is None:
        return params or SearchParams.for_k(k, snapshot.ndocs, share=share)
    if params is not None:
        raise InvalidParameter("give params= or recall_target=, not both")
    target = _require_recall(recall_target)
    stored = Calibration.from_json(snapshot.settings.get("calibration"))
    if stored is None:  # a small index, or one made by an older version
        everything = SearchParams(scan=True)
        return SearchParams.for_k(k, snapshot.ndocs, share=share) if target < 1 else everything
    return stored.params(k, snapshot.ndocs, target).among(share)


def _require_recall(target: float) -> float:
    """The target, if it is one."""
    if not isinstance(target, int | float) or isinstance(target, bool) or not 0 < target <= 1:
        raise InvalidParameter(f"recall_target must be above 0 and at most 1, not {target!r}")
    return float(target)


def calibrate(snapshot: Snapshot, queries: Sequence[FloatArray], threads: int | None = None) -> Calibration:
    """Ask queries with rising effort.

    Args:
        snapshot: the index.
        queries: f32 ``[nq, dim]`` each; at least one.
        threads: None for all cores.
    """
    tokens = sum(row.ntokens for row in snapshot.segment_rows)
    most = max(DEPTHS)
    deep = (
        SearchParams(scan=True)
        if tokens <= SCANNED_TOKENS
        else SearchParams.for_k(most, snapshot.ndocs, DEEP)
    )

    def ask(rows: slice) -> list[dict[int, list[float]]]:
        truths = search_batch(snapshot, queries[rows], most, deep)
        found = [
            {k: _recalls(snapshot, query, truth, k) for k, every in DEPTHS.items() if number % every == 0}
            for number, (query, truth) in enumerate(zip(queries[rows], truths, strict=True), rows.start)
        ]
        # Pages that queries touched would stay in this process's memory, and a build has a fixed amount.
        snapshot.let_go()
        return found

    together = query_batches(snapshot, len(queries), deep, threads=threads)
    found = [recalls for some in map_threads(ask, together, threads) for recalls in some]
    curves = {
        k: list(zip(EFFORTS, np.mean([each[k] for each in found if k in each], axis=0).tolist(), strict=True))
        for k in DEPTHS
    }
    return Calibration(snapshot.ndocs, len(queries), curves)


def _recalls(snapshot: Snapshot, query: FloatArray, truth: list[tuple[int, float]], k: int) -> list[float]:
    """The recall at each effort; once all is found it is not asked again, since more effort looks further."""
    recalls: list[float] = []
    for effort in EFFORTS:
        if recalls and recalls[-1] == 1:
            recalls.append(1.0)
            continue
        found = search(snapshot, query, k, SearchParams.for_k(k, snapshot.ndocs, effort))
        recalls.append(overlap(truth[:k], found))
    return recalls
