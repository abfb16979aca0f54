"""A snapshot of an index: its segments, memory-mapped, and its catalog, all of one moment."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.codec import LEVELS, Codec
from plait.errors import IndexClosed, IndexCorrupt
from plait.store import format as layout
from plait.store.catalog import Catalog
from plait.store.conditions import ALWAYS
from plait.store.opening import Segment, open_codec, open_segment, require_checksums
from plait.store.parts import Part, part_settings, parts_of
from plait.store.rows import CodecRow, SegmentRow
from plait.types import Document

OPEN_TRIES = 5
#: Filters whose documents are kept for the next search with the same filter.
FILTERS_KEPT, BYTES_KEPT = 8, 1 << 26
#: Documents read at a time when all are wanted.
DOCUMENTS_PER_PAGE = 1000


def open_snapshot(folder: Path, earlier: Snapshot | None = None) -> Snapshot:
    """The newest committed state.

    A writer may replace segments, and remove their files, between the moment the catalog is read and
    the moment the files are mapped; then the next look at the catalog shows the new ones.

    Args:
        folder: of the index.
        earlier: a snapshot whose segments and codecs are used again where they are the same.
    """
    for _ in range(OPEN_TRIES - 1):
        try:
            return Snapshot(folder, earlier=earlier)
        except IndexCorrupt as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
    return Snapshot(folder, earlier=earlier)


class Snapshot:
    """What an index held at one moment. Safe to use from several threads.

    Args:
        folder: of the index.
        catalog: a connection to read through, which stays open: that of a writer, whose changes are seen
            before they are committed. By default a new one, at the newest committed state.
        earlier: a snapshot whose segments and codecs are used again where they are the same: they never
            change, so that a look at a new state costs what is new in it.
    """

    def __init__(self, folder: Path, catalog: Catalog | None = None, earlier: Snapshot | None = None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._matching: dict[str, npt.NDArray[np.int64]] = {}
        self._owns_catalog = catalog is None
        self._catalog: Catalog | None = catalog or Catalog.open(folder)
        try:
            if self._owns_catalog:
                self._catalog.pin()
            self._read(self._catalog, earlier)
        except BaseException:
            self.close()
            raise

    def _read(self, catalog: Catalog, earlier: Snapshot | None) -> None:
        self.format_version = catalog.format_version
        self.settings = checked_settings(catalog)
        self.parts: list[Part] = (
            earlier.parts
            if earlier and part_settings(earlier.settings) == part_settings(self.settings)
            else parts_of(self.settings, catalog.path)
        )
        self.codec_rows = {row.codec: row for row in catalog.codecs()}
        self.segment_rows = catalog.segments()
        self.tombstones = np.array(catalog.tombstones(), dtype=np.int64)
        self._codecs = earlier._codecs_of(self.codec_rows) if earlier else {}
        known = earlier._segments_of(self.segment_rows) if earlier else {}
        self.segments = [
            self._again(known[row.segment]) if row.segment in known else self._open_segment(row)
            for row in self.segment_rows
        ]
        self.ndocs = sum(_live(segment) for segment in self.segments)
        if earlier is None:
            self._check_count(catalog.ndocs())
            catalog.require_sound_if_small()

    def _codecs_of(self, rows: dict[int, CodecRow]) -> dict[int, Codec | None]:
        """The codecs at hand that are those of the rows."""
        return {
            number: codec
            for number, codec in self._codecs.items()
            if rows.get(number) == self.codec_rows[number]
        }

    def _segments_of(self, rows: list[SegmentRow]) -> dict[int, Segment]:
        """The segments at hand that are those of the rows."""
        mine = {
            row.segment: (row, segment) for row, segment in zip(self.segment_rows, self.segments, strict=True)
        }
        return {row.segment: mine[row.segment][1] for row in rows if mine.get(row.segment, (None,))[0] == row}

    def _again(self, segment: Segment) -> Segment:
        """A segment as it was opened, or from an earlier snapshot, with the tombstones of this one."""
        alive = self._alive(segment.pids)
        if alive is None and segment.alive is None:
            return segment
        if alive is not None and segment.alive is not None and np.array_equal(alive, segment.alive):
            return segment
        return dataclasses.replace(segment, alive=alive)

    @property
    def dim(self) -> int:
        """Components per vector."""
        return int(self.settings["dim"])

    def close(self) -> None:
        """Let go of the catalog; mapped arrays live on while somebody holds them."""
        if self._catalog is not None and self._owns_catalog:
            self._catalog.close()
        self._catalog = None

    def let_go(self) -> None:
        """Give back the memory of the segments' mapped pages; they are read again when they are needed."""
        for segment in self.segments:
            layout.let_go(*segment.arrays.values())

    def documents(self, pids: Iterable[int]) -> dict[int, Document]:
        """pid -> document, of live ones.

        Raises:
            IndexCorrupt: one of them is in a segment, but not listed.
        """
        wanted = list(pids)
        with self._lock:
            found = self._open_catalog().documents(wanted)
        self._require_listed(wanted, found)
        return found

    def ids_of(self, pids: Iterable[int]) -> dict[int, str]:
        """pid -> id, of live ones; as ``documents``."""
        wanted = list(pids)
        with self._lock:
            found = self._open_catalog().ids_of(wanted)
        self._require_listed(wanted, found)
        return found

    def _require_listed(self, wanted: Iterable[int], found: Mapping[int, Any]) -> None:
        lost = next((pid for pid in wanted if pid not in found), None)
        if lost is not None:
            path = layout.catalog_path(self.folder)
            raise IndexCorrupt(path, f"pid {lost} is in a segment, but not listed")

    def pids_of(self, ids: Iterable[str]) -> dict[str, int]:
        """id -> pid, for the live ones."""
        with self._lock:
            return self._open_catalog().pids_of(ids)

    def copy_catalog(self, destination: Path) -> None:
        """Write the catalog, as it was at this moment, into another index's folder."""
        with self._lock:
            self._open_catalog().copy_to(destination)

    def matching(self, filter: Mapping[str, Any]) -> npt.NDArray[np.int64]:
        """pids i64, ascending, of the live documents that match a filter.

        Raises:
            InvalidFilter: it is malformed, or asks for what no document can have.
        """
        with self._lock:
            catalog = self._open_catalog()
            condition = catalog.condition(filter)
            key = repr(condition)
            found = self._matching.pop(key, None)
            if found is None:
                found = catalog.pids_where(condition)
            self._matching[key] = found  # the one used last is the last
            while len(self._matching) > 1 and self._too_many_kept():
                del self._matching[next(iter(self._matching))]
            return found

    def _too_many_kept(self) -> bool:
        kept = sum(pids.nbytes for pids in self._matching.values())
        return len(self._matching) > FILTERS_KEPT or kept > BYTES_KEPT

    def count(self, filter: Mapping[str, Any]) -> int:
        """How many live documents match a filter."""
        with self._lock:
            catalog = self._open_catalog()
            return catalog.count_where(catalog.condition(filter))

    def all_documents(self, filter: Mapping[str, Any] | None = None) -> Iterator[Document]:
        """The live documents that match a filter, in order of insertion, read some at a time."""
        with self._lock:
            condition = ALWAYS if filter is None else self._open_catalog().condition(filter)
        after = 0
        while True:
            with self._lock:
                page = self._open_catalog().page(after, DOCUMENTS_PER_PAGE, condition)
            if not page:
                return
            yield from page.values()
            after = max(page)

    def _open_catalog(self) -> Catalog:
        if self._catalog is None:
            raise IndexClosed(f"the index {self.folder} was closed")
        return self._catalog

    def _check_count(self, listed: int) -> None:
        if listed != self.ndocs:
            raise IndexCorrupt(
                layout.catalog_path(self.folder),
                f"lists {listed} documents, but the segments hold {self.ndocs}",
            )

    def codec(self, number: int) -> Codec | None:
        """The codec of that number; None for the one that keeps f32 vectors."""
        if number not in self._codecs:
            row = self.codec_rows.get(number)
            if row is None:
                raise IndexCorrupt(layout.catalog_path(self.folder), f"codec {number} is not listed")
            self._codecs[number] = open_codec(self.folder, row, self.dim)
        return self._codecs[number]

    def _open_segment(self, row: SegmentRow) -> Segment:
        segment = open_segment(self.folder, row, self.codec(row.codec), self.dim, self.parts)
        require_checksums(segment, row, self.parts)
        return self._again(segment)

    def _alive(self, pids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8] | None:
        places = np.searchsorted(pids, self.tombstones)
        inside = places < len(pids)
        inside[inside] = pids[places[inside]] == self.tombstones[inside]
        if not inside.any():
            return None
        alive = np.ones(len(pids), dtype=np.uint8)
        alive[places[inside]] = 0
        return alive


def checked_settings(catalog: Catalog) -> dict[str, Any]:
    """What was fixed when the index was made, or IndexCorrupt."""
    settings = catalog.settings()
    level = settings.get("level")
    least = {"dim": 1, "seed": 0} if level in LEVELS else {"dim": 1, "seed": 0, "nbits": 1}
    for name, smallest in least.items():
        value = settings.get(name)
        if type(value) is not int or not smallest <= value < 1 << 63:
            raise IndexCorrupt(catalog.path, f"the setting {name} is {value!r}")
    if not _is_encoder(settings.get("encoder")):
        raise IndexCorrupt(catalog.path, f"the setting encoder is {settings['encoder']!r}")
    if not isinstance(settings.get("fields", {}), dict):
        raise IndexCorrupt(catalog.path, f"the setting fields is {settings['fields']!r}")
    return settings


def _is_encoder(record: Any) -> bool:
    if record is None:
        return True
    names = ("name", "fingerprint", "path")
    return isinstance(record, dict) and all(isinstance(record.get(name), str | None) for name in names)


def _live(segment: Segment) -> int:
    return segment.ndocs if segment.alive is None else int(segment.alive.sum(dtype=np.int64))
