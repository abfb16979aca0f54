"""Compaction: segments of one codec become one, without their deleted documents.

Rows of tokens are copied as they are, never decoded, so nothing is lost and scores stay the same; only the
lists are made anew. A merge is one write transaction: files first, then the list of segments is changed.
docs/decisions/0016-compaction.md says why it is so.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import IndexCorrupt
from plait.store import format as layout
from plait.store.catalog_writer import CatalogWriter
from plait.store.opening import Segment
from plait.store.parts import Encode, parts_of
from plait.store.reader import Snapshot
from plait.store.rows import SegmentRow
from plait.store.writer import IndexWriter
from plait.types import Document

#: Segments with fewer tokens than this count as equally small.
SMALLEST_TIER = 32_768
#: A tier reaches over this factor in tokens; so many segments of one tier become one.
FACTOR = 8
#: A segment of which a larger share is deleted is written again.
MOST_DELETED = 0.5
#: Tokens copied at a time.
ROWS_PER_COPY = 1 << 18

Pids = npt.NDArray[np.int64]
#: Numbers of segments that become one.
Group = list[int]


@dataclass(slots=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        merges: transactions.
        segments_before, segments_after: in the index.
        deleted: deleted documents whose tokens are gone now.
        retrained: documents that were encoded and compressed anew.
    """

    merges: int = 0
    segments_before: int = 0
    segments_after: int = 0
    deleted: int = 0
    retrained: int = 0


def compact(begin: Callable[[], AbstractContextManager[IndexWriter]]) -> CompactionReport:
    """Merge segments until there is one for each codec, without deleted documents.

    Args:
        begin: gives a write transaction, one for each merge: those done before an interruption stay done.

    Raises:
        IndexLocked: another writer did not finish in time.
        IndexCorrupt: a segment does not match its checksums; it stays as it is.
    """
    report = CompactionReport()
    while True:
        with begin() as writer:
            if not report.merges:
                report.segments_before = len(writer.snapshot.segments)
            groups = everything(writer.snapshot)
            if not groups:
                _forget_unused_codecs(writer)
                report.segments_after = len(writer.snapshot.segments)
                return report
            merge(writer, groups[:1], report)


def shrink(folder: Path) -> None:
    """Let the catalog give back the room of deleted documents' texts."""
    catalog = CatalogWriter.open(folder)
    try:
        catalog.shrink()
    finally:
        catalog.close()


def add_part(writer: IndexWriter, name: str, setting: Any, encode: Encode | None = None) -> None:
    """Give all documents an optional part that the index was made without; inside a write transaction.

    Every segment is written again: tokens are copied, the part is made from texts and vectors. The index
    becomes one of the newest format version.

    Args:
        writer: the transaction.
        name: of the part.
        setting: what the catalog keeps of it.
        encode: makes the vectors anew of the texts; None for the vectors that are stored.
    """
    snapshot = writer.snapshot
    by_codec = defaultdict(list)
    for row, segment in zip(snapshot.segment_rows, snapshot.segments, strict=True):
        by_codec[row.codec].append((row, segment))
    writer.parts = parts_of({**snapshot.settings, name: setting}, writer.catalog.path)
    writer.encode = encode
    try:
        for pairs in by_codec.values():
            _merge(writer, pairs, CompactionReport())
    finally:
        writer.parts = writer.encode = None
    writer.catalog.set_setting(name, setting)
    writer.catalog.renew()
    writer.replaced_segments = True
    writer.changed()


# Policy --------------------------------------------------------------------------------------


def everything(snapshot: Snapshot) -> list[Group]:
    """One segment for each codec, without deleted documents."""
    groups = defaultdict(list)
    dirty = set()
    for row, segment in zip(snapshot.segment_rows, snapshot.segments, strict=True):
        groups[row.codec].append(row.segment)
        if segment.alive is not None or not segment.ndocs:
            dirty.add(row.codec)
    return [group for codec, group in groups.items() if len(group) > 1 or codec in dirty]


def due(snapshot: Snapshot) -> list[Group]:
    """What an index merges by itself after a write.

    ``FACTOR`` segments of one codec whose sizes are in the same tier become one, which may fill the next
    tier; a segment of which more than ``MOST_DELETED`` is deleted is written again.
    """
    by_codec = defaultdict(list)
    stale = []
    for row, segment in zip(snapshot.segment_rows, snapshot.segments, strict=True):
        live = _live_tokens(segment)
        by_codec[row.codec].append((live, [row.segment]))
        if live < (1 - MOST_DELETED) * row.ntokens or not segment.ndocs:
            stale.append(row.segment)
    groups = [group for sized in by_codec.values() for group in _tiered(sized)]
    merged = {number for group in groups for number in group}
    return groups + [[number] for number in stale if number not in merged]


def _tiered(sized: list[tuple[int, Group]]) -> list[Group]:
    """Merge on paper until no tier is full; what has to be merged for that."""
    while True:
        tiers = defaultdict(list)
        for size, group in sized:
            tiers[_tier(size)].append((size, group))
        full = [tier for tier in sorted(tiers) if len(tiers[tier]) >= FACTOR]
        if not full:
            return [group for _, group in sized if len(group) > 1]
        together = tiers.pop(full[0])
        whole = sum(size for size, _ in together), sorted(number for _, group in together for number in group)
        sized = [*(entry for tier in tiers.values() for entry in tier), whole]


def _tier(ntokens: int) -> int:
    return max(0, 1 + math.floor(math.log(max(1, ntokens) / SMALLEST_TIER, FACTOR)))


def _live_tokens(segment: Segment) -> int:
    if segment.alive is None:
        return int(segment.offsets[-1])
    return int(segment.arrays["doclens"][segment.alive != 0].sum(dtype=np.int64))


# Merging -------------------------------------------------------------------------------------


def merge(writer: IndexWriter, groups: list[Group], report: CompactionReport | None = None) -> None:
    """Replace the segments of each group, which have one codec, by one; inside a write transaction."""
    report = report or CompactionReport()
    for group in groups:
        pairs = zip(writer.snapshot.segment_rows, writer.snapshot.segments, strict=True)
        _merge(writer, [(row, segment) for row, segment in pairs if row.segment in group], report)
        writer.replaced_segments = True
        writer.changed()


def _merge(writer: IndexWriter, pairs: list[tuple[SegmentRow, Segment]], report: CompactionReport) -> None:
    segments = [segment for _, segment in pairs]
    for row, segment in pairs:
        _require_intact(segment, row.checksums)
        writer.catalog.remove_segment(row.segment)
        if segment.alive is not None:
            writer.catalog.forget_tombstones(segment.pids[segment.alive == 0].tolist())
    merged = rewrite(writer, pairs[0][0].codec, segments)
    report.merges += 1
    report.deleted += sum(segment.ndocs for segment in segments) - len(merged)


def rewrite(
    writer: IndexWriter,
    codec: int,
    segments: list[Segment],
    documents: Callable[[list[int]], list[Document]] | None = None,
) -> Pids:
    """Write the live documents of segments of one codec as one new segment, if there are any.

    Args:
        writer: the transaction.
        codec: number of the codec in the index that is written to.
        segments: of that codec, in any index.
        documents: finds documents by their pids, if not in the catalog: for parts that a segment lacks.

    Returns:
        The pids i64 of the documents, ascending.
    """
    order = _Order.of(segments)
    if not len(order.pids):
        return order.pids
    with writer.new_segment(codec, segments[0].codec, documents) as merged:
        for place, docs in order.blocks(segments):
            merged.copy(segments[place], docs)
            if writer.options.progress:
                writer.options.progress("merge", merged.ndocs, len(order.pids))
        writer.finish(merged, order.pids)
    return order.pids


def _require_intact(segment: Segment, checksums: dict[str, int]) -> None:
    """A damaged array must not become part of a new segment, whose checksums would then call it good."""
    for name, array in segment.arrays.items():
        if layout.checksum(array) != checksums.get(name):
            raise IndexCorrupt(segment.folder / f"{name}.npy", "does not match its checksum")
        layout.let_go(array)


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """The live documents of some segments in order of their pids.

    Attributes:
        pids: i64 ``[n]``, ascending.
        places: u32 ``[n]``, which segment each is from.
        docs: u32 ``[n]``, and its number there.
    """

    pids: npt.NDArray[np.int64]
    places: npt.NDArray[np.uint32]
    docs: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, segments: list[Segment]) -> _Order:
        alive = [
            np.arange(segment.ndocs) if segment.alive is None else np.flatnonzero(segment.alive)
            for segment in segments
        ]
        pids = np.concatenate([segment.pids[docs] for segment, docs in zip(segments, alive, strict=True)])
        places = np.repeat(np.arange(len(segments)), [len(docs) for docs in alive])
        order = np.argsort(pids, kind="stable")
        docs = np.concatenate(alive)[order]
        return cls(pids[order], places[order].astype(np.uint32), docs.astype(np.uint32))

    def blocks(self, segments: list[Segment]) -> Iterator[tuple[int, npt.NDArray[np.uint32]]]:
        """Documents of one segment at a time, about ``ROWS_PER_COPY`` tokens of them."""
        changes = np.flatnonzero(np.diff(self.places)) + 1
        for begin, end in zip([0, *changes], [*changes, len(self.pids)], strict=True):
            place, docs = int(self.places[begin]), self.docs[begin:end]
            tokens = np.cumsum(segments[place].arrays["doclens"][docs], dtype=np.int64)
            cuts = np.flatnonzero(np.diff(tokens // ROWS_PER_COPY)) + 1
            for part in np.split(docs, cuts):
                yield place, part


def _forget_unused_codecs(writer: IndexWriter) -> None:
    """Codecs that no segment has any more, but for the newest, which the next documents get."""
    used = {row.codec for row in writer.snapshot.segment_rows}
    for row in writer.catalog.codecs()[:-1]:
        if row.codec not in used:
            writer.catalog.remove_codec(row.codec)
            writer.replaced_segments = True
