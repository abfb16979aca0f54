"""Repair: what can still be read of an index becomes a new one; what can't is listed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from plait.codec import Codec
from plait.errors import IndexAlreadyExists, IndexCorrupt, StoreError
from plait.store import format as layout
from plait.store.bi_encoder import BiEncoderPart
from plait.store.catalog import Catalog
from plait.store.catalog_file import create_catalog
from plait.store.compaction import rewrite
from plait.store.opening import Segment, open_codec, open_segment
from plait.store.parts import Encode, Part, parts_of
from plait.store.reader import checked_settings
from plait.store.rows import SegmentRow
from plait.store.writer import IndexWriter, WriteOptions, writing
from plait.types import Document, TokenEmbeddings

T = TypeVar("T")

#: Texts encoded again at a time.
TEXTS_PER_CHUNK = 256


@dataclass(slots=True)
class RepairReport:
    """What became of an index.

    Attributes:
        saved: documents whose tokens are as they were.
        encoded_again: ids of documents whose tokens were lost and made anew from the text.
        lost: ids of documents that are lost: their tokens are, and there is no text or no encoder.
        unnamed: documents whose tokens are there, but whose id, text and metadata are lost.
        damage: what was found broken.
    """

    saved: int = 0
    encoded_again: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unnamed: int = 0
    damage: list[str] = field(default_factory=list)


def repair(
    source: Path, destination: Path, *, encode: Encode | None = None, options: WriteOptions | None = None
) -> RepairReport:
    """Make a new index of what can be saved; the damaged one is not touched.

    A segment is saved if its documents and tokens match their checksums, and its codec too. Its lists are
    made anew, and so are parts that are damaged, from the texts and vectors. pids, and so the order of
    documents, stay. Where single vectors are damaged, the documents are encoded again; without ``encode``
    the mean of their token vectors stands for them, or zeros where that has another width.

    Args:
        source: the damaged index.
        destination: a folder that does not exist yet.
        encode: makes the token vectors of texts; documents whose tokens are lost are lost without it.
        options: threads and progress.

    Raises:
        IndexAlreadyExists: something is at ``destination``.
        IndexNotFound, IndexTooNew: there is no index that could be read.
        IndexCorrupt: the settings can't be read, or neither documents nor the list of segments: then nothing
            can be saved.
    """
    if destination.exists():
        raise IndexAlreadyExists(f"{destination} exists already; choose another folder for what is saved")
    catalog = Catalog.open(source)
    try:
        settings = checked_settings(catalog)
        parts = parts_of(settings, catalog.path)
        rescue = _Rescue(source, catalog, int(settings["dim"]), parts, encode)
        destination.mkdir(parents=True)
        try:
            create_catalog(destination, settings)
            with writing(destination, options) as writer:
                rescue.save(writer)
        except BaseException:
            shutil.rmtree(destination, ignore_errors=True)
            raise
    finally:
        catalog.close()
    return rescue.report


class _Rescue:
    """One repair."""

    def __init__(
        self, folder: Path, catalog: Catalog, dim: int, parts: list[Part], encode: Encode | None
    ) -> None:
        self.folder = folder
        self.encode = encode
        self.catalog = catalog
        self.dim = dim
        self.parts = parts
        self.report = RepairReport()
        self.claimed: set[int] = set()
        self.documents, damage = catalog.readable_documents()
        self.report.damage += damage
        self.tombstones = set(self._or_nothing(catalog.tombstones))

    def _or_nothing(self, read: Callable[[], list[T]]) -> list[T]:
        try:
            return read()
        except StoreError as error:
            self.report.damage.append(str(error))
            return []

    def save(self, writer: IndexWriter) -> None:
        """Copy what is sound, make anew what can be, and list the rest."""
        encode = self.encode
        left = dict(self.documents)
        for number, segments in self._sound(writer):
            alive = [self._named(segment, left) for segment in segments]
            saved = rewrite(writer, number, alive, lambda pids: [left[one] for one in pids])
            for pid in saved.tolist():
                writer.catalog.add_documents(pid, [left.pop(pid)])
                self.report.saved += 1
        again = [doc for doc in left.values() if encode and doc.text and doc.text.strip()]
        if encode and again:
            writer.changed()
            writer.add(again, _encoded(again, encode), expected=len(again))
        self.report.encoded_again = [doc.id for doc in again]
        kept = set(self.report.encoded_again)
        self.report.lost = [doc.id for doc in left.values() if doc.id not in kept]

    def _sound(self, writer: IndexWriter) -> Iterator[tuple[int, list[Segment]]]:
        """The sound segments of each sound codec, and the codec's number in the new index."""
        rows = self._or_nothing(self.catalog.segments)
        if not rows and not self.documents and self.report.damage:
            raise IndexCorrupt(self.catalog.path, f"nothing can be saved: {self.report.damage[-1]}")
        for codec_row in self._or_nothing(self.catalog.codecs):
            try:
                codec = open_codec(self.folder, codec_row, self.dim)
            except StoreError as error:
                self.report.damage.append(str(error))
                continue
            mine = [row for row in rows if row.codec == codec_row.codec]
            segments = [segment for row in mine if (segment := self._segment(row, codec))]
            if codec is None:
                number = writer.catalog.add_codec("float32", None, None, 0)
            else:
                number = writer.list_codec(codec, codec_row.trained_for)
            if segments:
                yield number, segments

    def _segment(self, row: SegmentRow, codec: Codec | None) -> Segment | None:
        """A segment whose documents and tokens are sound, with those of its parts that are; its lists may be
        damaged.
        """
        try:
            segment = open_segment(self.folder, row, codec, self.dim, (), lists=False)
            _require_checksums(segment.folder, segment.arrays, row)
            if codec is not None and row.ntokens and segment.arrays["codes"].max() >= codec.ncentroids:
                raise IndexCorrupt(segment.folder / "codes.npy", "names a centroid that does not exist")
        except StoreError as error:
            self.report.damage.append(str(error))
            return None
        return segment if self._with_parts(segment, row) else None

    def _with_parts(self, segment: Segment, row: SegmentRow) -> bool:
        """Add the parts that are sound; False if the documents have to be encoded again."""
        for part in self.parts:
            try:
                arrays = part.open(segment.folder, segment.ndocs)
                _require_checksums(segment.folder, arrays, row)
            except StoreError as error:
                self.report.damage.append(str(error))
                if self.encode and isinstance(part, BiEncoderPart):
                    return False
            else:
                segment.arrays.update(arrays)
        return True

    def _named(self, segment: Segment, left: dict[int, Document]) -> Segment:
        """The segment without documents that were deleted, or whose row is lost."""
        pids = segment.pids.tolist()
        wanted = [pid in left and pid not in self.claimed for pid in pids]
        alive = np.array(wanted, dtype=np.uint8)
        self.claimed.update(pids)
        self.report.unnamed += sum(pid not in self.documents and pid not in self.tombstones for pid in pids)
        return dataclasses.replace(segment, alive=alive)


def _require_checksums(folder: Path, arrays: dict[str, layout.Array], row: SegmentRow) -> None:
    for name, array in arrays.items():
        if layout.checksum(array) != row.checksums.get(name):
            raise IndexCorrupt(folder / f"{name}.npy", "does not match its checksum")


def _encoded(documents: list[Document], encode: Encode) -> Iterator[TokenEmbeddings]:
    for begin in range(0, len(documents), TEXTS_PER_CHUNK):
        yield encode([document.text or "" for document in documents[begin : begin + TEXTS_PER_CHUNK]])
