"""Verification: every checksum and every cross-reference of an index, whatever state it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec import Codec
from plait.errors import IndexCorrupt
from plait.store import format as layout
from plait.store.catalog import Catalog
from plait.store.opening import Segment, open_codec, open_segment
from plait.store.parts import Part, parts_of
from plait.store.reader import OPEN_TRIES, checked_settings
from plait.store.rows import SegmentRow
from plait.threads import row_blocks

#: Tokens looked at together.
TOKENS_PER_LOOK = 1 << 22
#: Numbers named in a problem, at most.
NAMED = 5

Pids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be.

    Attributes:
        path: the file or folder.
        reason: what is wrong with it.
        harmless: True for remains that nothing refers to: the next write removes them.
    """

    path: str
    reason: str
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def verify(folder: Path) -> list[Problem]:
    """Check all files of an index against their checksums and against each other.

    Reads everything once. Others may search and write meanwhile: one committed state is checked.

    Args:
        folder: of the index.

    Returns:
        What is wrong, worst first; nothing if the index is sound.

    Raises:
        IndexNotFound: there is no index.
        IndexTooNew: it was written by a later version of plait.
    """
    found: list[Problem] = []
    for _ in range(OPEN_TRIES):
        try:
            catalog = Catalog.open(folder)
        except IndexCorrupt as error:
            return [_as_problem(error)]
        try:
            state = _State(folder, catalog)
            found = list(state.problems())
            if not state.missing or not state.outdated():
                break  # else a writer put other segments in the place of those that were listed
        finally:
            catalog.close()
    return sorted(found, key=lambda problem: problem.harmless)


def _as_problem(error: IndexCorrupt) -> Problem:
    return Problem(error.path, error.reason)


class _State:
    """One committed state of an index."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self.folder = folder
        self.catalog = catalog
        self.dim = 0
        self.parts: list[Part] = []
        self.missing = False
        self.rows: list[SegmentRow] = []
        self.segments: list[tuple[SegmentRow, Segment]] = []

    def problems(self) -> Iterator[Problem]:
        """Everything found; what depends on something broken is passed over."""
        steps: list[Callable[[], Iterator[Problem]]] = [
            self._database,
            self._settings,
            self._codecs_and_segments,
            self._documents,
            self._remains,
        ]
        for step in steps:
            try:
                yield from step()
            except IndexCorrupt as error:
                yield self._told(error)
                if step in (self._settings, self._codecs_and_segments):
                    return  # nothing else can be understood without them

    def _told(self, error: IndexCorrupt) -> Problem:
        self.missing |= isinstance(error.__cause__, FileNotFoundError)
        return _as_problem(error)

    def outdated(self) -> bool:
        """Whether the list of segments is another one by now."""
        newest = Catalog.open(self.folder)
        try:
            return newest.segments() != self.rows
        finally:
            newest.close()

    def _database(self) -> Iterator[Problem]:
        self.catalog.pin()
        yield from (Problem(str(self.catalog.path), reason) for reason in self.catalog.integrity())

    def _settings(self) -> Iterator[Problem]:
        settings = checked_settings(self.catalog)
        self.dim = int(settings["dim"])
        self.parts = parts_of(settings, self.catalog.path)
        yield from ()

    def _codecs_and_segments(self) -> Iterator[Problem]:
        self.rows = self.catalog.segments()
        codecs: dict[int, Codec | None] = {}
        for codec in self.catalog.codecs():
            try:
                codecs[codec.codec] = open_codec(self.folder, codec, self.dim)
            except IndexCorrupt as error:
                yield self._told(error)
        listed = {codec.codec for codec in self.catalog.codecs()}
        for row in self.rows:
            if row.codec not in listed:
                yield Problem(str(self.catalog.path), f"codec {row.codec} is not listed")
            if row.codec not in codecs:
                continue  # said before
            try:
                segment = open_segment(self.folder, row, codecs[row.codec], self.dim, self.parts)
            except IndexCorrupt as error:
                yield self._told(error)
                continue
            self.segments.append((row, segment))
            yield from _segment_problems(segment, row, self.parts)

    def _documents(self) -> Iterator[Problem]:
        path = str(self.catalog.path)
        documents, tombstones = self.catalog.pids(), np.array(self.catalog.tombstones(), dtype=np.int64)
        yield from (
            Problem(path, f"the metadata of the document {key!r} is not a JSON object")
            for key in self.catalog.ids_with_broken_metadata(NAMED)
        )
        if len(documents) and documents[-1] >= self.catalog.next_pid():
            yield Problem(path, f"the next pid would be {self.catalog.next_pid()}, which is in use")
        if len(both := np.intersect1d(documents, tombstones)):
            yield Problem(path, f"{_named(both)} both a document and a tombstone")
        if len(self.segments) < len(self.rows):
            return  # of the others it can't be said what they hold
        stored = np.sort(np.concatenate([documents[:0], *(segment.pids for _, segment in self.segments)]))
        if len(twice := stored[1:][np.diff(stored) == 0]):
            yield Problem(str(self.folder), f"{_named(twice)} in more than one segment")
        if len(lost := np.setdiff1d(documents, stored)):
            yield Problem(path, f"{_named(lost)} listed, but in no segment")
        if len(lost := np.setdiff1d(tombstones, stored)):
            yield Problem(path, f"{_named(lost)} a tombstone, but in no segment")
        if len(lost := np.setdiff1d(stored, np.union1d(documents, tombstones))):
            yield Problem(path, f"{_named(lost)} in a segment, but not listed")

    def _remains(self) -> Iterator[Problem]:
        listed = {layout.segment_path(self.folder, row.segment) for row in self.rows}
        codecs = [row for row in self.catalog.codecs() if row.kind in layout.CODEC_ARRAYS]
        listed |= {layout.codec_path(self.folder, row.codec) for row in codecs}
        for path in layout.data_folders(self.folder):
            if path not in listed:
                yield Problem(str(path), "belongs to no committed state; the next write removes it", True)


# One segment ---------------------------------------------------------------------------------


def _segment_problems(segment: Segment, row: SegmentRow, parts: list[Part]) -> Iterator[Problem]:
    found = list(_broken_arrays(segment, row))
    if not found and segment.codec is not None:
        found = list(_code_problems(segment, segment.codec)) or list(_list_problems(segment, segment.codec))
    if not found:
        problems = (problem for part in parts for problem in part.problems(segment))
        found = [Problem(str(segment.folder / f"{name}.npy"), reason) for name, reason in problems]
    layout.let_go(*segment.arrays.values())
    yield from found


def _broken_arrays(segment: Segment, row: SegmentRow) -> Iterator[Problem]:
    for name, array in segment.arrays.items():
        if layout.checksum(array) != row.checksums.get(name):
            yield Problem(str(segment.folder / f"{name}.npy"), "does not match its checksum")
        layout.let_go(array)


def _code_problems(segment: Segment, codec: Codec) -> Iterator[Problem]:
    codes = segment.arrays["codes"]
    for block in row_blocks(len(codes), TOKENS_PER_LOOK):
        if int(codes[block].max()) >= codec.ncentroids:
            yield Problem(str(segment.folder / "codes.npy"), "names a centroid that does not exist")
            return


def _list_problems(segment: Segment, codec: Codec) -> Iterator[Problem]:
    """What is wrong with the inverted file, though its checksums are right."""
    lengths, docs = segment.arrays["ivf_lengths"], segment.arrays["ivf_docs"]
    path = str(segment.folder / "ivf_docs.npy")
    if segment.child_offsets is None:
        nbytes = docs.shape[1] if docs.ndim == 2 else docs.dtype.itemsize
        expected = kernels.invert(segment.arrays["codes"], segment.offsets, codec.ncentroids, nbytes)
        if not np.array_equal(expected[0], lengths) or not np.array_equal(expected[1], docs):
            yield Problem(path, "the lists are not those of the codes")
        return
    stands = np.zeros(segment.ndocs, dtype=np.int64)
    for lists in _blocks_of_lists(segment.ivf_offsets):
        begin, end = segment.ivf_offsets[lists.start], segment.ivf_offsets[lists.stop]
        some = _widened(docs[begin:end])
        if len(some) and int(some.max()) >= segment.ndocs:
            yield Problem(path, "names a document that does not exist")
            return
        starts = segment.ivf_offsets[lists.start + 1 : lists.stop] - begin
        rising = np.diff(some) > 0
        rising[starts[(starts > 0) & (starts < len(some))] - 1] = True  # where the next list begins
        if not rising.all():
            yield Problem(path, "a list is not ascending")
            return
        stands += np.bincount(some, minlength=segment.ndocs)
    doclens = np.asarray(segment.arrays["doclens"], dtype=np.int64)
    if ((stands > doclens) | ((stands == 0) & (doclens > 0))).any():
        yield Problem(path, "a document is in no list, or in more of them than it has tokens")


def _blocks_of_lists(offsets: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Runs of lists with about ``TOKENS_PER_LOOK`` entries."""
    begin = 0
    while begin < len(offsets) - 1:
        limit = int(offsets[begin]) + TOKENS_PER_LOOK
        end = max(begin + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
        yield slice(begin, end)
        begin = end


def _widened(docs: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if docs.ndim == 1:
        return docs.astype(np.int64)
    wide = np.zeros((len(docs), 4), dtype=np.uint8)
    wide[:, :3] = docs
    return wide.view("<u4").reshape(-1).astype(np.int64)


def _named(pids: Pids) -> str:
    some = ", ".join(str(pid) for pid in pids[:NAMED].tolist())
    more = f" and {len(pids) - NAMED} more" if len(pids) > NAMED else ""
    return f"pid {some}{more}: {'are' if len(pids) > 1 else 'is'}"
