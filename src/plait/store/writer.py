"""Writing: token embeddings become a new immutable segment, and one transaction makes it live."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plait.codec import ResidualCodec, ResidualTokens
from plait.errors import DuplicateId, InvalidVectors
from plait.store import format as layout
from plait.store.catalog import Catalog, CodecRow
from plait.store.reader import Snapshot
from plait.types import Document, FloatArray, TokenEmbeddings

Progress = Callable[[str, int, int], None]

#: Below this many tokens an index keeps the original f32 vectors and scores them exactly: a codec
#: trained on so few would serve badly when the index grows.
MIN_CODEC_TOKENS = 32_768
#: When an index has grown by this factor since its codec was trained, new segments get a new codec.
RETRAIN_FACTOR = 8
#: Vectors held in memory to train a codec on, at most.
MAX_TRAINING_TOKENS = 2_097_152


@dataclass(slots=True)
class WriteOptions:
    """How a writer works; the contents of the index do not depend on ``threads`` or ``progress``."""

    threads: int | None = None
    progress: Progress | None = None


@dataclass(slots=True)
class IndexWriter:
    """One write transaction on an index; made by ``writing``."""

    folder: Path
    catalog: Catalog
    snapshot: Snapshot
    options: WriteOptions
    replaced_segments: bool = False
    _made: list[Path] = field(default_factory=list)

    def require_new(self, ids: Sequence[str]) -> None:
        """Raise DuplicateId if one of the ids is in the index."""
        taken = self.catalog.pids_of(ids)
        if taken:
            raise DuplicateId(f"the id {next(iter(taken))!r} is in the index already; nothing was added")

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id; unknown ids are passed over. Returns how many there were."""
        pids = sorted(self.catalog.pids_of(set(ids)).values())
        self.catalog.delete_documents(pids)
        return len(pids)

    def add(
        self,
        documents: Sequence[Document],
        chunks: Iterable[TokenEmbeddings],
        *,
        sample: Callable[[], FloatArray] | None = None,
    ) -> None:
        """Add documents with their embeddings as one segment.

        Args:
            documents: keys, texts and metadata.
            chunks: the embeddings of the documents, in order, in pieces of any size.
            sample: gives f32 ``[n, dim]`` to train a codec on, and is called only if one has to be
                trained; by default the first ``MAX_TRAINING_TOKENS`` vectors are held and used.
        """
        self.require_new([document.id for document in documents])
        stream = _Chunks(chunks, self.snapshot.dim)
        held = stream.take(1 if sample else MAX_TRAINING_TOKENS)
        codec_number, codec = self._choose_codec(held, sample, estimate=_estimate(held, len(documents)))
        parts = stream.after(held)
        first_pid = self.catalog.next_pid()
        pids = np.arange(first_pid, first_pid + len(documents), dtype=np.int64)
        if codec is None:
            self._write_exact(codec_number, list(parts), pids)
        else:
            self._write_residual(codec_number, codec, parts, pids)
        self.catalog.add_documents(first_pid, documents)

    # Codecs ----------------------------------------------------------------------------------

    def _choose_codec(
        self, held: list[TokenEmbeddings], sample: Callable[[], FloatArray] | None, estimate: int
    ) -> tuple[int, ResidualCodec | None]:
        """The codec for a new segment: the newest one, or a new one if the index outgrew it."""
        stored = sum(row.ntokens for row in self.catalog.segments())
        rows = self.catalog.codecs()
        total = stored + estimate
        newest = rows[-1] if rows else None
        if total < MIN_CODEC_TOKENS:
            return (newest.codec if newest else self.catalog.add_codec("float32", None, None, 0)), (
                self.snapshot.codec(newest.codec) if newest else None
            )
        if newest and newest.kind == "residual" and total < RETRAIN_FACTOR * newest.trained_for:
            return newest.codec, self.snapshot.codec(newest.codec)
        return self._train_codec(held, sample, total, rows)

    def _train_codec(
        self,
        held: list[TokenEmbeddings],
        sample: Callable[[], FloatArray] | None,
        total: int,
        rows: list[CodecRow],
    ) -> tuple[int, ResidualCodec]:
        settings = self.snapshot.settings
        new = sample() if sample else np.concatenate([chunk.vectors for chunk in held])
        progress = self.options.progress
        codec = ResidualCodec.fit(
            np.concatenate([self._stored_sample(len(new)), new]),
            nbits=settings["nbits"],
            ntokens=total,
            seed=settings["seed"],
            threads=self.options.threads,
            progress=(lambda done, all_: progress("train", done, all_)) if progress else None,
        )
        number = self.catalog.add_codec("residual", codec.nbits, codec.ncentroids, total)
        folder = layout.codec_path(self.folder, number)
        self._made.append(folder)
        arrays: dict[str, layout.Array] = {
            "centroids": codec.centroids,
            "cutoffs": codec.cutoffs,
            "weights": codec.weights,
        }
        checksums = layout.write_arrays(folder, arrays, layout.CODEC_ARRAYS)
        self.catalog.set_checksums("codec", number, checksums)
        if any(row.kind == "float32" for row in rows):
            self._compress_exact_segments(number, codec)
        return number, codec

    def _stored_sample(self, most: int) -> FloatArray:
        """Vectors of what the index holds already, as many as will be added at most."""
        rng = np.random.default_rng(self.snapshot.settings["seed"])
        found = [np.empty((0, self.snapshot.dim), dtype=np.float32)]
        total = sum(segment.ndocs for segment in self.snapshot.segments)
        tokens = sum(int(segment.offsets[-1]) for segment in self.snapshot.segments)
        share = min(1.0, most / max(1, tokens))
        for segment in self.snapshot.segments if total else []:
            count = int(np.ceil(share * segment.ndocs))
            docs = np.sort(rng.choice(segment.ndocs, size=count, replace=False)).astype(np.uint32)
            found.append(segment.vectors(docs)[0])
        return np.concatenate(found)

    def _compress_exact_segments(self, number: int, codec: ResidualCodec) -> None:
        """Rewrite the segments that hold f32 vectors, now that there is a codec."""
        for row, segment in zip(self.snapshot.segment_rows, self.snapshot.segments, strict=True):
            if segment.codec is not None:
                continue
            alive = np.arange(segment.ndocs) if segment.alive is None else np.flatnonzero(segment.alive)
            vectors, offsets = segment.vectors(alive.astype(np.uint32))
            self.catalog.remove_segment(row.segment)
            self.replaced_segments = True
            self.catalog.forget_tombstones(np.delete(segment.pids, alive).tolist())
            if len(alive):
                chunk = TokenEmbeddings(vectors, np.diff(offsets))
                self._write_residual(number, codec, [chunk], np.array(segment.pids[alive]))

    # Segments --------------------------------------------------------------------------------

    def _write_exact(self, codec: int, chunks: list[TokenEmbeddings], pids: npt.NDArray[np.int64]) -> None:
        arrays: dict[str, layout.Array] = {
            "vectors": np.concatenate([chunk.vectors for chunk in chunks]),
            "doclens": np.concatenate([chunk.doclens for chunk in chunks]),
            "pids": pids,
        }
        self._write_segment(codec, arrays, layout.SEGMENT_ARRAYS | layout.FLOAT32_ARRAYS)

    def _write_residual(
        self,
        number: int,
        codec: ResidualCodec,
        chunks: Iterable[TokenEmbeddings],
        pids: npt.NDArray[np.int64],
    ) -> None:
        parts: list[ResidualTokens] = []
        doclens: list[npt.NDArray[np.int64]] = []
        done = 0
        for chunk in chunks:
            parts.append(codec.compress(chunk.vectors, self.options.threads))
            doclens.append(chunk.doclens)
            done += len(chunk)
            if self.options.progress:
                self.options.progress("compress", done, len(pids))
        tokens = ResidualTokens.join(parts)
        lengths = np.concatenate(doclens)
        ivf_lengths, ivf_docs = invert(tokens.codes, lengths, codec.ncentroids)
        arrays: dict[str, layout.Array] = {
            "doclens": lengths,
            "pids": pids,
            "codes": tokens.codes,
            "residuals": tokens.residuals,
            "scales": tokens.scales,
            "ivf_lengths": ivf_lengths,
            "ivf_docs": ivf_docs,
        }
        self._write_segment(number, arrays, layout.SEGMENT_ARRAYS | layout.RESIDUAL_ARRAYS)

    def _write_segment(self, codec: int, arrays: dict[str, layout.Array], dtypes: dict[str, str]) -> None:
        lengths = arrays["doclens"]
        if len(lengths) != len(arrays["pids"]):
            raise InvalidVectors(
                f"vectors for {len(lengths)} documents were given, but there are {len(arrays['pids'])}"
            )
        segment = self.catalog.add_segment(codec, len(lengths), int(lengths.sum()))
        folder = layout.segment_path(self.folder, segment)
        self._made.append(folder)
        self.catalog.set_checksums("segment", segment, layout.write_arrays(folder, arrays, dtypes))

    def discard(self) -> None:
        """Remove the files of a transaction that was rolled back."""
        for folder in self._made:
            shutil.rmtree(folder, ignore_errors=True)


class _Chunks:
    """Checks embeddings as they stream by, and lets the first of them be looked at twice."""

    def __init__(self, chunks: Iterable[TokenEmbeddings], dim: int) -> None:
        self._source = iter(chunks)
        self._dim = dim

    def take(self, ntokens: int) -> list[TokenEmbeddings]:
        """Chunks until there are ``ntokens`` vectors, or no more."""
        taken: list[TokenEmbeddings] = []
        while sum(chunk.ntokens for chunk in taken) < ntokens:
            chunk = next(self._source, None)
            if chunk is None:
                break
            taken.append(self._checked(chunk))
        return taken

    def after(self, taken: list[TokenEmbeddings]) -> Iterator[TokenEmbeddings]:
        """Those taken, then the rest; each is let go before the next is asked for."""
        taken.reverse()
        while taken:
            yield taken.pop()
        for chunk in self._source:
            yield self._checked(chunk)

    def _checked(self, chunk: TokenEmbeddings) -> TokenEmbeddings:
        if chunk.dim != self._dim:
            raise InvalidVectors(f"vectors must have {self._dim} components each, but have {chunk.dim}")
        return chunk


@contextmanager
def writing(folder: Path, options: WriteOptions | None = None) -> Iterator[IndexWriter]:
    """One transaction on the index in ``folder``: all of it becomes visible at the end, or nothing.

    Raises:
        IndexLocked: another writer did not finish in time.
    """
    catalog = Catalog.open(folder)
    try:
        with catalog.transaction():
            sweep(folder, catalog)
            snapshot = Snapshot(folder)
            writer = IndexWriter(folder, catalog, snapshot, options or WriteOptions())
            try:
                yield writer
            except BaseException:
                writer.discard()
                raise
            finally:
                snapshot.close()
        if writer.replaced_segments:
            with catalog.transaction():
                sweep(folder, catalog)
    finally:
        catalog.close()


def sweep(folder: Path, catalog: Catalog) -> None:
    """Remove folders that the catalog does not list: replaced, or left by a writer that died.

    Only inside a write transaction, when no other writer can be making one. Readers that have an old
    snapshot keep their mapped files.
    """
    keep = {layout.segment_path(folder, row.segment) for row in catalog.segments()}
    keep |= {layout.codec_path(folder, row.codec) for row in catalog.codecs()}
    for path in layout.data_folders(folder):
        if path not in keep:
            shutil.rmtree(path, ignore_errors=True)


def invert(
    codes: npt.NDArray[np.uint32], doclens: npt.NDArray[np.int64], ncentroids: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The inverted file: which documents have a token at each centroid.

    Returns:
        Lengths ``[ncentroids]`` and documents, ascending and unique within each centroid's list.
    """
    docs = np.repeat(np.arange(len(doclens), dtype=np.int64), doclens)
    pairs = np.unique(codes.astype(np.int64) * max(1, len(doclens)) + docs)
    centroids, docs = np.divmod(pairs, max(1, len(doclens)))
    return np.bincount(centroids, minlength=ncentroids), docs


def _estimate(held: list[TokenEmbeddings], ndocs: int) -> int:
    """Tokens that ``ndocs`` documents will have, judged by those at hand."""
    documents = sum(len(chunk) for chunk in held)
    tokens = sum(chunk.ntokens for chunk in held)
    return tokens if documents >= ndocs else int(tokens * ndocs / max(1, documents))
