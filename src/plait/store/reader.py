"""A snapshot of an index: its segments, memory-mapped, and its catalog, all of one moment."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.codec import LEVELS, Codec, ResidualCodec, ScaledCodec
from plait.errors import IndexClosed, IndexCorrupt
from plait.store import format as layout
from plait.store.catalog import Catalog, CodecRow, SegmentRow
from plait.store.segment import kind_of, token_shapes
from plait.types import Document, FloatArray, offsets_of

Array = npt.NDArray[Any]

OPEN_TRIES = 5


@dataclass(frozen=True, eq=False)
class Segment:
    """One immutable run of documents, numbered from 0 inside the segment.

    Attributes:
        folder: where its files are.
        codec: None when the segment holds the original f32 vectors.
        offsets: i64 ``[ndocs + 1]``, token rows of each document.
        pids: i64 ``[ndocs]``, ascending.
        alive: u8 ``[ndocs]``, 0 for tombstones; None when all are alive.
        arrays: the memory-mapped arrays of docs/index-format.md.
    """

    folder: Path
    codec: Codec | None
    offsets: npt.NDArray[np.int64]
    pids: npt.NDArray[np.int64]
    alive: npt.NDArray[np.uint8] | None
    arrays: dict[str, Array]

    @property
    def ndocs(self) -> int:
        """Documents, deleted ones included."""
        return len(self.pids)

    @cached_property
    def ivf_offsets(self) -> npt.NDArray[np.int64]:
        """i64 ``[nlists + 1]``: where each list begins in ``ivf_docs``."""
        return offsets_of(self.arrays["ivf_lengths"])

    @cached_property
    def child_offsets(self) -> npt.NDArray[np.int64] | None:
        """i64 ``[ncentroids + 1]``: where the children of each centroid begin; None if there are none."""
        counts = self.arrays.get("child_counts", ())
        return offsets_of(counts) if len(counts) else None

    def vectors(self, docs: npt.NDArray[np.uint32]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Vectors f32 of some documents, reconstructed if compressed, and their offsets.

        Args:
            docs: u32 ``[m]``.

        Returns:
            f32 ``[ntokens, dim]`` and i64 ``[m + 1]``.
        """
        starts, stops = self.offsets[docs], self.offsets[docs.astype(np.int64) + 1]
        offsets = offsets_of(stops - starts)
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], stops - starts)
        if self.codec is None:
            return self.arrays["vectors"][rows], offsets
        codes, residuals = self.arrays["codes"][rows], self.arrays["residuals"][rows]
        if len(codes) and int(codes.max()) >= self.codec.ncentroids:
            raise IndexCorrupt(self.folder / "codes.npy", "names a centroid that does not exist")
        if isinstance(self.codec, ScaledCodec):
            return self.codec.decompress(codes, residuals, self.arrays["gains"][rows]), offsets
        return self.codec.decompress(codes, residuals), offsets


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
        self.settings = self._checked(catalog.settings())
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
        """A segment of an earlier snapshot, with the tombstones of this one."""
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
        """pid -> document, for the live ones."""
        with self._lock:
            return self._open_catalog().documents(pids)

    def pids_of(self, ids: Iterable[str]) -> dict[str, int]:
        """id -> pid, for the live ones."""
        with self._lock:
            return self._open_catalog().pids_of(ids)

    def _open_catalog(self) -> Catalog:
        if self._catalog is None:
            raise IndexClosed(f"the index {self.folder} was closed")
        return self._catalog

    def _checked(self, settings: dict[str, Any]) -> dict[str, Any]:
        level = settings.get("level")
        least = {"dim": 1, "seed": 0} if level in LEVELS else {"dim": 1, "seed": 0, "nbits": 1}
        for name, smallest in least.items():
            value = settings.get(name)
            if not isinstance(value, int) or value < smallest:
                raise IndexCorrupt(layout.catalog_path(self.folder), f"the setting {name} is {value!r}")
        return settings

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
            self._codecs[number] = self._open_codec(row)
        return self._codecs[number]

    def _open_codec(self, row: CodecRow) -> Codec | None:
        if row.kind == "float32":
            return None
        folder = layout.codec_path(self.folder, row.codec)
        if row.kind == "residual" and row.nbits in (1, 2, 4, 8):
            arrays = self._codec_arrays(row, residual_shapes(row.nbits, row.ncentroids, self.dim))
            return ResidualCodec(**{name: array.astype(np.float32) for name, array in arrays.items()})
        if row.kind == "scaled":
            arrays = self._codec_arrays(row, scaled_shapes(row.ncentroids, self.dim))
            try:
                return ScaledCodec(**arrays).checked()
            except ValueError as error:
                raise IndexCorrupt(folder, str(error)) from error
        raise IndexCorrupt(
            layout.catalog_path(self.folder), f"codec {row.codec} is of unknown kind {row.kind!r}"
        )

    def _codec_arrays(self, row: CodecRow, shapes: dict[str, tuple[int | None, ...]]) -> dict[str, Array]:
        """Read into memory: a codec is small, and every search uses all of it."""
        folder = layout.codec_path(self.folder, row.codec)
        arrays = {}
        for name, dtype in layout.CODEC_ARRAYS[row.kind].items():
            array = layout.read_array(folder, name, dtype, shapes[name])
            if layout.checksum(array) != row.checksums.get(name):
                raise IndexCorrupt(folder / f"{name}.npy", "does not match its checksum")
            arrays[name] = np.array(array)
        return arrays

    def _open_segment(self, row: SegmentRow) -> Segment:
        folder = layout.segment_path(self.folder, row.segment)
        codec = self.codec(row.codec)
        n = row.ndocs
        arrays = {
            name: layout.read_array(folder, name, dtype, (n,))
            for name, dtype in layout.DOCUMENT_ARRAYS.items()
        }
        offsets = offsets_of(arrays["doclens"])
        if offsets[-1] != row.ntokens:
            raise IndexCorrupt(folder / "doclens.npy", f"sums to {offsets[-1]}, expected {row.ntokens}")
        pids = arrays["pids"]
        if n and (pids[0] < 1 or (np.diff(pids) <= 0).any()):
            raise IndexCorrupt(folder / "pids.npy", "is not ascending")
        shapes = token_shapes(codec, self.dim)
        for name, dtype in layout.TOKEN_ARRAYS[kind_of(codec)].items():
            arrays[name] = layout.read_array(folder, name, dtype, (row.ntokens, *shapes[name]))
        if codec is not None:
            arrays.update(_lists(folder, codec, n))
        return Segment(folder, codec, offsets, pids, self._alive(pids), arrays)

    def _alive(self, pids: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8] | None:
        places = np.searchsorted(pids, self.tombstones)
        inside = places < len(pids)
        inside[inside] = pids[places[inside]] == self.tombstones[inside]
        if not inside.any():
            return None
        alive = np.ones(len(pids), dtype=np.uint8)
        alive[places[inside]] = 0
        return alive


def _live(segment: Segment) -> int:
    return segment.ndocs if segment.alive is None else int(segment.alive.sum(dtype=np.int64))


def _lists(folder: Path, codec: Codec, ndocs: int) -> dict[str, Array]:
    """The inverted file of a segment."""
    arrays = {} if isinstance(codec, ResidualCodec) else _children(folder, codec)
    nlists = len(arrays.get("child_centroids", ())) or codec.ncentroids
    nbytes, dtype = (4, "<u4") if isinstance(codec, ResidualCodec) else layout.list_form(ndocs)
    lengths = layout.read_array(folder, "ivf_lengths", "<u4", (nlists,))
    docs = layout.read_array(folder, "ivf_docs", dtype, (None, 3) if nbytes == 3 else (None,))
    if int(lengths.sum(dtype=np.int64)) != len(docs):
        raise IndexCorrupt(folder / "ivf_lengths.npy", "does not sum to the length of ivf_docs.npy")
    return {**arrays, "ivf_lengths": lengths, "ivf_docs": docs}


def _children(folder: Path, codec: ScaledCodec) -> dict[str, Array]:
    """The finer centroids of a segment; arrays without rows if it has none."""
    shapes: dict[str, tuple[int | None, ...]] = {
        "child_centroids": (None, codec.width),
        "child_scales": (None,),
        "child_counts": (None,),
    }
    arrays = {
        name: layout.read_array(folder, name, dtype, shapes[name])
        for name, dtype in layout.CHILD_ARRAYS.items()
    }
    counts, count = arrays["child_counts"], len(arrays["child_centroids"])
    if len(arrays["child_scales"]) != count:
        raise IndexCorrupt(
            folder / "child_scales.npy", f"has {len(arrays['child_scales'])} rows, not {count}"
        )
    if len(counts) != (codec.ncentroids if count else 0) or int(counts.sum(dtype=np.int64)) != count:
        raise IndexCorrupt(folder / "child_counts.npy", f"does not divide {count} children")
    return arrays


def residual_shapes(nbits: int, ncentroids: int | None, dim: int) -> dict[str, tuple[int | None, ...]]:
    """Shapes of the arrays of a residual codec."""
    return {"centroids": (ncentroids, dim), "cutoffs": ((1 << nbits) - 1,), "weights": (1 << nbits,)}


def scaled_shapes(ncentroids: int | None, dim: int) -> dict[str, tuple[int | None, ...]]:
    """Shapes of the arrays of a scaled codec."""
    width = -(-dim // 8) * 8
    return {
        "rotation": (dim, width),
        "centroids": (ncentroids, width),
        "centroid_scales": (ncentroids,),
        "heads": (None, width),
        "head_scales": (None,),
        "group_lengths": (None,),
        "sigma": (width,),
        "bits": (3,),
        "gain_borders": (17, 15),
        "gain_values": (256, 2),
    }
