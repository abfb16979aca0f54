"""Writing one segment: rows of tokens go to the disk as they come, the lists are made at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec import Codec, ResidualCodec, ResidualTokens, ScaledCodec, ScaledTokens
from plait.codec.subdivide import Children, Decode, Load, subdivide, worthwhile
from plait.errors import InvalidVectors
from plait.store import format as layout
from plait.threads import row_blocks
from plait.types import Document, TokenEmbeddings, offsets_of

if TYPE_CHECKING:
    from plait.store.opening import Segment
    from plait.store.parts import Encode, Part, PartWriter

#: Rows copied from mapped arrays before their pages are given back.
ROWS_PER_VISIT = 1 << 21


def kind_of(codec: Codec | None) -> str:
    """The name of a codec's kind in the catalog."""
    if codec is None:
        return "float32"
    return "residual" if isinstance(codec, ResidualCodec) else "scaled"


def token_shapes(codec: Codec | None, dim: int) -> dict[str, tuple[int, ...]]:
    """The shape of one row of each array that has a row per token."""
    if codec is None:
        return {"vectors": (dim,)}
    one = "scales" if isinstance(codec, ResidualCodec) else "gains"
    return {"codes": (), "residuals": (codec.row_bytes,), one: ()}


@dataclass(slots=True)
class SegmentWriter:
    """The files of a segment that is being written; holds no more than one chunk of vectors.

    Attributes:
        folder: made, or emptied if a dead writer left it.
        codec: None keeps the vectors as they are.
        dim: components per vector.
        parts: what the segment has besides its tokens.
        documents: finds documents by their pids, whose parts can't be copied.
        encode: makes the vectors for those parts of the texts; None for the vectors that are stored.
    """

    folder: Path
    codec: Codec | None
    dim: int
    parts: Sequence[Part] = ()
    documents: Callable[[list[int]], list[Document]] | None = None
    encode: Encode | None = None
    _streams: dict[str, layout.ArrayStream] = field(default_factory=dict)
    _doclens: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _parts: list[PartWriter] = field(default_factory=list)

    def __post_init__(self) -> None:
        layout.empty_folder(self.folder)
        shapes = token_shapes(self.codec, self.dim)
        for name, dtype in layout.TOKEN_ARRAYS[kind_of(self.codec)].items():
            self._streams[name] = layout.ArrayStream(self.folder, name, dtype, shapes[name])
        self._parts = [part.writer(self.folder) for part in self.parts]

    @property
    def ndocs(self) -> int:
        """Documents so far."""
        return sum(map(len, self._doclens))

    def add(self, chunk: TokenEmbeddings, documents: Sequence[Document], threads: int | None) -> None:
        """Append new documents."""
        self._compress(chunk, threads)
        for part in self._parts:
            part.add(documents, lambda: chunk)

    def adopt(
        self,
        tokens: ResidualTokens | ScaledTokens,
        doclens: npt.NDArray[np.int64],
        documents: Sequence[Document],
    ) -> None:
        """Append new documents that the segment's codec has compressed already."""
        self._append_tokens(tokens, doclens)

        def embeddings() -> TokenEmbeddings:
            assert isinstance(tokens, ResidualTokens)
            assert isinstance(self.codec, ResidualCodec)
            return TokenEmbeddings(self.codec.decompress(tokens.codes, tokens.residuals), doclens)

        for part in self._parts:
            part.add(documents, embeddings)

    def copy(self, segment: Segment, docs: npt.NDArray[np.uint32]) -> None:
        """Append documents, ascending, of a segment of the same codec, as they are."""
        rows, offsets = segment.rows_of(docs)
        self.append({name: segment.arrays[name][rows] for name in self._streams}, np.diff(offsets))
        layout.let_go(*(segment.arrays[name] for name in self._streams))
        self._copy_parts(segment, docs)

    def compress(self, segment: Segment, docs: npt.NDArray[np.uint32], threads: int | None) -> None:
        """Append documents, ascending, of a segment of another codec."""
        vectors, offsets = segment.vectors(docs)
        self._compress(TokenEmbeddings(vectors, np.diff(offsets)), threads)
        self._copy_parts(segment, docs)

    def _copy_parts(self, segment: Segment, docs: npt.NDArray[np.uint32]) -> None:
        for part, writer in zip(self.parts, self._parts, strict=True):
            if segment.has(part.name):
                writer.copy(segment, docs)
                continue
            assert self.documents is not None
            documents = self.documents(segment.pids[docs].tolist())
            if self.encode is None:
                writer.add(documents, partial(segment.embeddings, docs))
            else:
                writer.add(documents, partial(self.encode, [document.text or "" for document in documents]))

    def _compress(self, chunk: TokenEmbeddings, threads: int | None) -> None:
        if self.codec is None:
            self._doclens.append(chunk.doclens)
            self._streams["vectors"].append(chunk.vectors)
            return
        self._append_tokens(self.codec.compress(chunk.vectors, threads), chunk.doclens)

    def _append_tokens(self, tokens: ResidualTokens | ScaledTokens, doclens: npt.NDArray[np.int64]) -> None:
        self.append({name: getattr(tokens, name) for name in self._streams}, doclens)

    def append(self, rows: Mapping[str, layout.Array], doclens: npt.NDArray[np.int64]) -> None:
        """Append the tokens of documents as they are stored.

        Args:
            rows: the rows of each array that has a row per token, ``[sum of doclens, ...]``.
            doclens: i64 ``[ndocs]``, tokens of each document.

        Raises:
            InvalidVectors: arrays of other lengths, or codes that the codec does not have.
        """
        count = int(doclens.sum())
        for name in self._streams:
            if len(rows[name]) != count:
                raise InvalidVectors(f"{name} has {len(rows[name])} rows, but doclens sums to {count}")
        if self.codec is not None and count and int(rows["codes"].max()) >= self.codec.ncentroids:
            raise InvalidVectors(f"a code is {rows['codes'].max()}, of {self.codec.ncentroids} centroids")
        self._doclens.append(doclens)
        for name, stream in self._streams.items():
            stream.append(rows[name])

    def finish(
        self, pids: npt.NDArray[np.int64], threads: int | None = None, seed: int = 0
    ) -> tuple[int, dict[str, int]]:
        """Write what is left. Returns the number of tokens, and the checksum of each array."""
        lengths = np.concatenate([np.empty(0, dtype=np.int64), *self._doclens])
        if len(lengths) != len(pids):
            raise InvalidVectors(
                f"vectors for {len(lengths)} documents were given, but there are {len(pids)}"
            )
        checksums = {name: stream.close() for name, stream in self._streams.items()}
        arrays: dict[str, tuple[layout.Array, str]] = {
            name: (array, layout.DOCUMENT_ARRAYS[name])
            for name, array in (("doclens", lengths), ("pids", pids))
        }
        if self.codec is not None:
            arrays.update(self._lists(self.codec, lengths, threads, seed))
        for name, (array, dtype) in arrays.items():
            checksums[name] = layout.write_array(self.folder, name, array, dtype)
        for part in self._parts:
            checksums.update(part.finish())
        layout.sync_folder(self.folder)
        layout.sync_folder(self.folder.parent)
        return int(lengths.sum()), checksums

    def _lists(
        self, codec: Codec, lengths: npt.NDArray[np.int64], threads: int | None, seed: int
    ) -> dict[str, tuple[layout.Array, str]]:
        """The inverted file, from the tokens as they are on the disk."""
        offsets = offsets_of(lengths)
        tokens = self._written(codec, int(offsets[-1]))
        if isinstance(codec, ResidualCodec):
            return _inverted(tokens["codes"], offsets, codec.ncentroids, 4, "<u4")
        nbytes, dtype = layout.list_form(len(lengths))
        if not worthwhile(codec, len(tokens["codes"])):
            lists = _inverted(tokens["codes"], offsets, codec.ncentroids, nbytes, dtype)
            return {**lists, **_no_children(codec)}
        with layout.scratch_array(self.folder, "<u4", len(tokens["codes"])) as children:
            finer = subdivide(
                codec,
                tokens["codes"],
                _loader(codec, tokens),
                children,
                seed=seed,
                threads=threads,
                rest=lambda: layout.let_go(children, tokens["codes"]),
            )
            lists = _inverted(children, offsets, len(finer.rows), nbytes, dtype)
        return {**lists, **_child_arrays(finer)}

    def _written(self, codec: Codec, ntokens: int) -> dict[str, layout.Array]:
        """The rows of tokens that are on the disk by now."""
        shapes = token_shapes(codec, self.dim)
        return {
            name: layout.read_array(self.folder, name, dtype, (ntokens, *shapes[name]))
            for name, dtype in layout.TOKEN_ARRAYS[kind_of(codec)].items()
        }

    def abandon(self) -> None:
        """Let go of unfinished files."""
        for stream in self._streams.values():
            stream.abandon()
        for part in self._parts:
            part.abandon()


def _inverted(
    codes: layout.Array, offsets: npt.NDArray[np.int64], nlists: int, nbytes: int, dtype: str
) -> dict[str, tuple[layout.Array, str]]:
    lengths, docs = kernels.invert(codes, offsets, nlists, nbytes)
    return {"ivf_lengths": (lengths, "<u4"), "ivf_docs": (docs, dtype)}


def _loader(codec: ScaledCodec, tokens: dict[str, layout.Array]) -> Load:
    def load(numbers: npt.NDArray[np.int64]) -> Decode:
        codes, residuals, gains = (_taken(tokens[name], numbers) for name in ("codes", "residuals", "gains"))
        return lambda places: kernels.decode_scaled(
            codes[places], residuals[places], gains[places], *codec.kernel_arrays
        )

    return load


def _taken(array: layout.Array, numbers: npt.NDArray[np.int64]) -> layout.Array:
    """Some rows of a mapped array, in ascending order; not more of it stays in memory than they need."""
    taken = np.empty((len(numbers), *array.shape[1:]), dtype=array.dtype)
    for rows in row_blocks(len(numbers), ROWS_PER_VISIT):
        taken[rows] = array[numbers[rows]]
        layout.let_go(array)
    return taken


def _child_arrays(children: Children) -> dict[str, tuple[layout.Array, str]]:
    arrays: dict[str, layout.Array] = {
        "child_centroids": children.rows,
        "child_scales": children.scales,
        "child_counts": children.counts,
    }
    return {name: (array, layout.CHILD_ARRAYS[name]) for name, array in arrays.items()}


def _no_children(codec: ScaledCodec) -> dict[str, tuple[layout.Array, str]]:
    rows, none = np.empty((0, codec.width), dtype=np.uint8), np.empty(0, dtype=np.float32)
    return _child_arrays(Children(rows, none, np.empty(0, dtype=np.uint32)))
