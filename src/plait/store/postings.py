"""Postings: which documents a term is in and how often, made from words, and merged range by range.

A term's list is cut into blocks of ``BLOCK`` postings, for each of which the largest frequency and the
smallest document length are kept. What follows bounds a score whatever the average length is by then. Block
``i`` of the list of term ``t`` that begins at posting ``p`` has the slot ``p // BLOCK + t + i``: then no list
of where blocks begin is needed, and at most one slot a term is unused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

#: Postings per block.
BLOCK = 128
#: The number of a document that is not merged.
GONE = np.uint32(0xFFFFFFFF)
#: Postings merged at a time.
POSTINGS_PER_MERGE = 1 << 22
#: Document lengths are kept up to this one for bounds: a smaller one is still a bound.
LONGEST = 0xFFFF


@dataclass(frozen=True, eq=False)
class Postings:
    """Lists of some documents.

    Attributes:
        terms: UTF-8, ascending.
        ends: i64 ``[nterms]``, where each list ends.
        docs: ``[n]``, or ``[n, 3]`` bytes; ascending in each list.
        tfs: ``[n]``, how often the term is in the document.
    """

    terms: list[bytes]
    ends: Numbers
    docs: Array
    tfs: Array

    @classmethod
    def of_words(
        cls, words: npt.NDArray[np.uint32], docs: npt.NDArray[np.uint32], terms: list[bytes]
    ) -> Postings:
        """Count words.

        Args:
            words: u32 ``[n]``, the place of each word in ``terms``.
            docs: u32 ``[n]``, the document that each is in.
            terms: in any order; each is used at least once.
        """
        order = sorted(range(len(terms)), key=terms.__getitem__)
        ranks = np.empty(len(terms), dtype=np.uint64)
        ranks[order] = np.arange(len(terms), dtype=np.uint64)
        keys = np.sort(ranks[words] << np.uint64(32) | docs)
        first = np.flatnonzero(np.diff(keys, prepend=~keys[:1]) != 0)
        tfs = np.diff(first, append=len(keys))
        keys = keys[first]
        ends = np.searchsorted(keys, np.arange(1, len(terms) + 1, dtype=np.uint64) << np.uint64(32))
        return cls(
            [terms[place] for place in order],
            ends.astype(np.int64),
            (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32),
            tfs.astype(np.uint32),
        )

    @classmethod
    def of_segment(cls, arrays: dict[str, Array]) -> Postings:
        """As they are on the disk."""
        terms = terms_of(arrays["bm25_terms"], arrays["bm25_term_ends"])
        return cls(terms, arrays["bm25_list_ends"], arrays["bm25_docs"], arrays["bm25_tfs"])


@dataclass(frozen=True, eq=False)
class Source:
    """Postings to be merged.

    Attributes:
        postings: of them.
        numbers: u32 ``[ndocs]``, what each document is called after it, or ``GONE``; None if as before.
    """

    postings: Postings
    numbers: npt.NDArray[np.uint32] | None = None


@dataclass(frozen=True, eq=False)
class Merged:
    """The lists of some successive terms, after merging.

    Attributes:
        terms: those that are in a document still.
        lengths: i64 ``[nterms]``, of their lists.
        docs, tfs: u32 ``[n]``.
    """

    terms: list[bytes]
    lengths: Numbers
    docs: npt.NDArray[np.uint32]
    tfs: npt.NDArray[np.uint32]


def merge(sources: Sequence[Source]) -> Iterator[Merged]:
    """All lists, in order of their terms, about ``POSTINGS_PER_MERGE`` postings at a time."""
    terms = sorted(set().union(*(source.postings.terms for source in sources)))
    places = {term: place for place, term in enumerate(terms)}
    ranks, counts = [], np.zeros(len(terms), dtype=np.int64)
    for source in sources:
        rank = np.fromiter((places[term] for term in source.postings.terms), dtype=np.int64)
        counts[rank] += np.diff(source.postings.ends, prepend=0)
        ranks.append(rank)
    del places
    for some in ranges(np.cumsum(counts), POSTINGS_PER_MERGE):
        parts = [_taken(source, rank, some) for source, rank in zip(sources, ranks, strict=True)]
        keys, tfs = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(keys, kind="stable")
        keys, tfs = keys[order], tfs[order]
        lengths = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=some.stop - some.start)
        there = np.flatnonzero(lengths)
        yield Merged(
            [terms[some.start + place] for place in there.tolist()],
            lengths[there].astype(np.int64),
            (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32),
            tfs,
        )


def _taken(
    source: Source, rank: Numbers, some: slice
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """Keys (term in the range, document) and frequencies of a source's postings of a range of terms."""
    mine = slice(*np.searchsorted(rank, [some.start, some.stop]).tolist())
    begin, end = span(source.postings.ends, mine)
    docs = widened(source.postings.docs[begin:end])
    tfs = source.postings.tfs[begin:end].astype(np.uint32)
    lengths = np.diff(source.postings.ends[mine], prepend=begin)
    keys = np.repeat((rank[mine] - some.start).astype(np.uint64) << np.uint64(32), lengths)
    if source.numbers is None:
        return keys | docs, tfs
    docs = source.numbers[docs]
    kept = docs != GONE
    return (keys | docs)[kept], tfs[kept]


def ranges(ends: Numbers, size: int) -> Iterator[slice]:
    """Runs of terms with about ``size`` postings."""
    begin, nterms = 0, len(ends)
    while begin < nterms:
        limit = (int(ends[begin - 1]) if begin else 0) + size
        end = max(begin + 1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(begin, end)
        begin = end


def span(ends: Numbers, terms: slice) -> tuple[int, int]:
    """Where the postings of a run of terms begin and end."""
    if terms.start >= terms.stop:
        return 0, 0
    return (int(ends[terms.start - 1]) if terms.start else 0), int(ends[terms.stop - 1])


def slots(begin: int, term: int) -> int:
    """The slot of the first block of a term whose list begins at posting ``begin``.

    With the number of postings and that of terms: how many slots there are.
    """
    return begin // BLOCK + term


def block_bounds(
    ends: Numbers, terms: slice, docs: Array, tfs: Array, doclens: Array
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    """The largest frequency and the smallest document length of each block; 0 in slots that are not used.

    Args:
        ends: i64, where the lists of all terms end.
        terms: which of them.
        docs, tfs: ``[n]``, their postings.
        doclens: of all documents.
    """
    begin, end = span(ends, terms)
    first = slots(begin, terms.start)
    count = slots(end, terms.stop) - first
    largest, smallest = np.zeros(count, dtype=np.uint32), np.zeros(count, dtype=np.uint16)
    if not len(docs):
        return largest, smallest
    starts = np.concatenate([[begin], ends[terms.start : terms.stop - 1]]).astype(np.int64)
    blocks = -(-(ends[terms] - starts) // BLOCK)
    within = np.arange(blocks.sum()) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    places = np.repeat(starts // BLOCK + np.arange(terms.start, terms.stop), blocks) + within - first
    cuts = np.repeat(starts - begin, blocks) + within * BLOCK
    largest[places] = np.maximum.reduceat(tfs, cuts)
    smallest[places] = np.minimum(np.minimum.reduceat(doclens[docs], cuts), LONGEST)
    return largest, smallest


def widened(docs: Array) -> npt.NDArray[np.uint32]:
    """Numbers of documents, whatever the bytes of each."""
    if docs.ndim == 1:
        return docs.astype(np.uint32)
    wide = np.zeros((len(docs), 4), dtype=np.uint8)
    wide[:, :3] = docs
    return wide.view("<u4").reshape(-1)


def narrowed(docs: npt.NDArray[np.uint32], nbytes: int) -> Array:
    """Numbers of documents in 2, 3 or 4 bytes each."""
    if nbytes != 3:
        return docs.astype(f"<u{nbytes}")
    return np.ascontiguousarray(docs.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3])


def terms_of(blob: Array, ends: Array) -> list[bytes]:
    """The terms of a dictionary."""
    data, begin, terms = blob.tobytes(), 0, []
    for end in ends.tolist():
        terms.append(data[begin:end])
        begin = end
    return terms
