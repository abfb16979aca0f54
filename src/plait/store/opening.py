"""Codecs and segments as they are on the disk: opened, and refused by name if something does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plait.codec import Codec, ResidualCodec, ScaledCodec
from plait.errors import IndexCorrupt
from plait.store import format as layout
from plait.store.rows import CodecRow, SegmentRow
from plait.store.segment import kind_of, token_shapes
from plait.types import FloatArray, TokenEmbeddings, offsets_of

if TYPE_CHECKING:
    from plait.store.parts import Part

Array = npt.NDArray[Any]

#: Arrays that opening a segment reads from end to end, so that their checksums cost little.
READ_WHOLE = ("doclens", "pids", "ivf_lengths", "child_counts")
#: Of a segment of up to so many bytes every checksum is looked at: that takes about 4 ms.
CHECKED_BYTES = 4 << 20


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

    @cached_property
    def live_words(self) -> int:
        """Words in the live documents, as BM25 counts them."""
        doclens = self.arrays["bm25_doclens"]
        return int((doclens if self.alive is None else doclens[self.alive != 0]).sum(dtype=np.int64))

    def has(self, part: str) -> bool:
        """Whether it has an optional part (``store.parts``)."""
        return any(name.startswith(f"{part}_") for name in self.arrays)

    def rows_of(self, docs: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows i64 ``[ntokens]`` of some documents' tokens, and their offsets i64 ``[m + 1]``."""
        numbers = docs.astype(np.int64)
        starts, stops = self.offsets[numbers], self.offsets[numbers + 1]
        offsets = offsets_of(stops - starts)
        return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], stops - starts), offsets

    def embeddings(self, docs: npt.NDArray[np.uint32]) -> TokenEmbeddings:
        """What ``vectors`` gives."""
        vectors, offsets = self.vectors(docs)
        return TokenEmbeddings(vectors, np.diff(offsets))

    def vectors(self, docs: npt.NDArray[np.uint32]) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Vectors f32 of some documents, reconstructed if compressed, and their offsets.

        Args:
            docs: u32 ``[m]``.

        Returns:
            f32 ``[ntokens, dim]`` and i64 ``[m + 1]``.
        """
        rows, offsets = self.rows_of(docs)
        if self.codec is None:
            return self.arrays["vectors"][rows], offsets
        codes, residuals = self.arrays["codes"][rows], self.arrays["residuals"][rows]
        if len(codes) and int(codes.max()) >= self.codec.ncentroids:
            raise IndexCorrupt(self.folder / "codes.npy", "names a centroid that does not exist")
        if isinstance(self.codec, ScaledCodec):
            return self.codec.decompress(codes, residuals, self.arrays["gains"][rows]), offsets
        return self.codec.decompress(codes, residuals), offsets


def open_codec(index: Path, row: CodecRow, dim: int) -> Codec | None:
    """The codec of the index's folder that a row lists; None for the one that keeps f32 vectors.

    Raises:
        IndexCorrupt: a file is missing, does not fit, or does not match its checksum.
    """
    if row.kind == "float32":
        return None
    folder = layout.codec_path(index, row.codec)
    if row.kind == "residual" and row.nbits in (1, 2, 4, 8):
        arrays = _codec_arrays(folder, row, residual_shapes(row.nbits, row.ncentroids, dim))
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise IndexCorrupt(folder / f"{name}.npy", "holds a number that is not finite")
        return ResidualCodec(**{name: array.astype(np.float32) for name, array in arrays.items()})
    if row.kind == "scaled":
        arrays = _codec_arrays(folder, row, scaled_shapes(row.ncentroids, dim))
        try:
            return ScaledCodec(**arrays).checked()
        except ValueError as error:
            raise IndexCorrupt(folder, str(error)) from error
    raise IndexCorrupt(layout.catalog_path(index), f"codec {row.codec} is of unknown kind {row.kind!r}")


def _codec_arrays(folder: Path, row: CodecRow, shapes: dict[str, tuple[int | None, ...]]) -> dict[str, Array]:
    """Read into memory: a codec is small, and every search uses all of it."""
    arrays = {}
    for name, dtype in layout.CODEC_ARRAYS[row.kind].items():
        array = layout.read_array(folder, name, dtype, shapes[name])
        if layout.checksum(array) != row.checksums.get(name):
            raise IndexCorrupt(folder / f"{name}.npy", "does not match its checksum")
        arrays[name] = np.array(array)
    return arrays


def open_segment(
    index: Path,
    row: SegmentRow,
    codec: Codec | None,
    dim: int,
    parts: Sequence[Part],
    *,
    lists: bool = True,
) -> Segment:
    """Map the arrays of a segment; all its documents count as alive.

    Args:
        index: the index's folder.
        row: what the catalog says of the segment.
        codec: its codec.
        dim: components per vector.
        parts: what it has besides its tokens.
        lists: False leaves the inverted file out, which can be made again from the rest.

    Raises:
        IndexCorrupt: a file is missing or does not fit. Checksums are not looked at.
    """
    folder = layout.segment_path(index, row.segment)
    n = row.ndocs
    arrays = {
        name: layout.read_array(folder, name, dtype, (n,)) for name, dtype in layout.DOCUMENT_ARRAYS.items()
    }
    offsets = offsets_of(arrays["doclens"])
    if offsets[-1] != row.ntokens:
        raise IndexCorrupt(folder / "doclens.npy", f"sums to {offsets[-1]}, expected {row.ntokens}")
    pids = arrays["pids"]
    if n and (pids[0] < 1 or (np.diff(pids) <= 0).any()):
        raise IndexCorrupt(folder / "pids.npy", "is not ascending")
    shapes = token_shapes(codec, dim)
    for name, dtype in layout.TOKEN_ARRAYS[kind_of(codec)].items():
        arrays[name] = layout.read_array(folder, name, dtype, (row.ntokens, *shapes[name]))
    if codec is not None and lists:
        arrays.update(_lists(folder, codec, n))
    for part in parts:
        arrays.update(part.open(folder, n))
    return Segment(folder, codec, offsets, pids, None, arrays)


def require_checksums(segment: Segment, row: SegmentRow, parts: Sequence[Part]) -> None:
    """Compare checksums, as far as that fits into the time to open an index.

    All of them in small segments; in larger ones those of the arrays that are read from end to end anyway.

    Raises:
        IndexCorrupt: an array does not match its checksum.
    """
    small = sum(array.nbytes for array in segment.arrays.values()) <= CHECKED_BYTES
    read_whole = {*READ_WHOLE, *(name for part in parts for name in part.read_whole)}
    for name, array in segment.arrays.items():
        if (small or name in read_whole) and layout.checksum(array) != row.checksums.get(name):
            raise IndexCorrupt(segment.folder / f"{name}.npy", "does not match its checksum")


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
