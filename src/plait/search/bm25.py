"""QUERY + SNAPSHOT -> the best k documents by BM25, whatever segments they lie in.

Statistics are those of the live documents of the whole index, so scores are those of a fresh index of them.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.analysis import BM25
from plait.errors import IndexCorrupt
from plait.search.masks import Mask, mask_of
from plait.store import Segment, Snapshot
from plait.store.bm25 import BM25Part
from plait.store.postings import slots


@dataclass(frozen=True, eq=False)
class _Lists:
    """The lists of a query's terms in one segment.

    Attributes:
        terms: their places in the dictionary, -1 where a term is not in it.
        begins, ends: i64 ``[nq]``, of the lists; empty ones where it is not.
    """

    segment: Segment
    terms: list[int]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, segment: Segment, terms: list[bytes]) -> _Lists:
        arrays = segment.arrays
        found = kernels.find_terms(arrays["bm25_terms"], arrays["bm25_term_ends"], terms)
        ends = arrays["bm25_list_ends"]
        begins = [int(ends[place - 1]) if place > 0 else 0 for place in found]
        stops = [int(ends[place]) if place >= 0 else 0 for place in found]
        return cls(segment, found, np.array(begins, dtype=np.int64), np.array(stops, dtype=np.int64))

    def frequencies(self) -> list[int]:
        """How many live documents each term is in."""
        alive = self.segment.alive
        if alive is None:
            lengths: list[int] = (self.ends - self.begins).tolist()
            return lengths
        docs = self.segment.arrays["bm25_docs"]
        pairs = zip(self.begins.tolist(), self.ends.tolist(), strict=True)
        return [kernels.count_alive(docs, begin, end, alive) for begin, end in pairs]

    def top(
        self, weights: list[float], settings: BM25, average: float, mask: Mask, k: int, floor: float
    ) -> list[tuple[int, float]]:
        """(pid, score) of the best."""
        used = [place for place, term in enumerate(self.terms) if term >= 0 and weights[place] > 0]
        if not used:
            return []
        arrays = self.segment.arrays
        begins, ends = self.begins[used], self.ends[used]
        blocks = [slots(begin, self.terms[place]) for begin, place in zip(begins.tolist(), used, strict=True)]
        docs, scores = kernels.top_bm25(
            arrays["bm25_docs"],
            arrays["bm25_tfs"],
            arrays["bm25_doclens"],
            arrays["bm25_block_tfs"],
            arrays["bm25_block_doclens"],
            begins,
            ends,
            np.array(blocks, dtype=np.int64),
            np.array([weights[place] for place in used]),
            settings.k1,
            settings.b,
            average,
            mask,
            k,
            floor,
        )
        return list(zip(self.segment.pids[docs].tolist(), scores.tolist(), strict=True))


def search_bm25(
    snapshot: Snapshot, part: BM25Part, query: str, k: int, *, allowed: npt.NDArray[np.int64] | None = None
) -> list[tuple[int, float]]:
    """The best ``k`` documents of a snapshot by BM25.

    Args:
        snapshot: what to search.
        part: how its words are counted.
        query: a text; a word that is there twice counts twice.
        k: at least 1.
        allowed: pids, ascending, that may be found; None allows all. Statistics are those of all documents.

    Returns:
        ``(pid, score)``, best first, ties by lower pid: as many as there are documents allowed that share a
        term with the query, up to ``k``. Scores are f32.
    """
    counts = Counter(part.analyzer.terms(query))
    terms = sorted(term.encode() for term in counts)  # one order of adding up, whatever that of the words
    if not terms:
        return []
    try:
        lists = [_Lists.of(segment, terms) for segment in snapshot.segments]
        words = sum(segment.live_words for segment in snapshot.segments)
        if not words:
            return []
        frequencies = [sum(column) for column in zip(*(some.frequencies() for some in lists), strict=True)]
        weights = [
            counts[term.decode()] * _idf(df, snapshot.ndocs) if df else 0.0
            for term, df in zip(terms, frequencies, strict=True)
        ]
        found: list[tuple[int, float]] = []
        for some in lists:
            floor = found[k - 1][1] if len(found) >= k else 0.0
            mask = mask_of(some.segment, allowed)
            found += some.top(weights, part.settings, words / snapshot.ndocs, mask, k, floor)
            found = sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]
        return found
    except (ValueError, IndexError) as error:  # a kernel found an index out of its range
        raise IndexCorrupt(snapshot.folder / "segments", str(error)) from error


def _idf(df: int, ndocs: int) -> float:
    """What a term is worth that so many of the documents have (Lucene's, which is never below 0)."""
    return math.log(1 + (ndocs - df + 0.5) / (df + 0.5))
