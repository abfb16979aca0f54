"""Writing: token embeddings become a new immutable segment, and one transaction makes it live."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.codec import Codec, ResidualCodec, ResidualTokens
from plait.errors import DuplicateId, InvalidVectors, StoreError
from plait.store import format as layout
from plait.store.catalog_writer import CatalogWriter
from plait.store.choice import MAX_TRAINING_TOKENS, CodecChoice
from plait.store.parts import Encode, Part
from plait.store.reader import Snapshot
from plait.store.segment import SegmentWriter, kind_of
from plait.types import Document, FloatArray, Progress, TokenEmbeddings

#: A stream of unknown length that goes on after those is taken to be so many times as long.
UNKNOWN_LENGTH = 8


@dataclass(slots=True)
class WriteOptions:
    """How a writer works; the contents of the index do not depend on ``threads`` or ``progress``."""

    #: For all work on arrays; None for all cores.
    threads: int | None = None
    progress: Progress | None = None
    #: Seconds to wait for another writer; None for ``lock.LOCK_TIMEOUT``.
    timeout: float | None = None
    #: What a writer that waits is told about this one.
    doing: str = "writing"


@dataclass(slots=True)
class IndexWriter:
    """One write transaction on an index; made by ``writing``."""

    folder: Path
    catalog: CatalogWriter
    options: WriteOptions
    replaced_segments: bool = False
    added: bool = False
    #: What new segments have besides their tokens; None for what the index has.
    parts: Sequence[Part] | None = None
    #: Makes the vectors for parts that segments lack of the texts; None for the vectors that are stored.
    encode: Encode | None = None
    _earlier: Snapshot | None = None
    _snapshot: Snapshot | None = None
    _made: list[Path] = field(default_factory=list)

    @property
    def snapshot(self) -> Snapshot:
        """What the index holds at this point of the transaction.

        Made when it is asked for, and again after a change: adding to a large index needs none of it.
        """
        if self._snapshot is None:
            self._snapshot = Snapshot(self.folder, self.catalog, self._earlier)
        return self._snapshot

    def changed(self) -> None:
        """Let the next look at the snapshot see what was written."""
        if self._snapshot is not None:
            self._earlier, self._snapshot = self._snapshot, None

    @contextmanager
    def part(self) -> Iterator[None]:
        """One of several changes: if the block raises, this one is undone, and the others are kept."""
        made = len(self._made)
        try:
            with self.catalog.savepoint():
                yield
        except BaseException:
            for folder in self._made[made:]:
                shutil.rmtree(folder, ignore_errors=True)
            del self._made[made:]
            raise
        finally:
            self.changed()

    def require_new(self, ids: Sequence[str]) -> None:
        """Raise DuplicateId if one of the ids is in the index."""
        taken = self.catalog.pids_of(ids)
        if taken:
            raise DuplicateId(f"the id {next(iter(taken))!r} is in the index already; nothing was added")

    def delete(self, ids: Iterable[str] | None = None, filter: Mapping[str, Any] | None = None) -> int:
        """Delete documents by id, by what their metadata holds, or by both; unknown ids are passed over.

        Returns:
            How many there were.
        """
        pids = (
            None if ids is None else np.array(sorted(self.catalog.pids_of(set(ids)).values()), dtype=np.int64)
        )
        if filter is not None:
            matching = self.catalog.pids_where(self.catalog.condition(filter))
            pids = matching if pids is None else np.intersect1d(pids, matching, assume_unique=True)
        if pids is None:
            return 0
        self.catalog.delete_documents(pids.tolist())
        self.changed()
        return len(pids)

    def add(
        self,
        documents: Iterable[Document],
        chunks: Iterable[TokenEmbeddings],
        *,
        expected: int | None = None,
        endless: bool = False,
        sample: Callable[[], FloatArray] | None = None,
    ) -> int:
        """Add documents with their embeddings as one segment; both are read as they are needed.

        Args:
            documents: keys, texts and metadata.
            chunks: the embeddings of the documents, in order, in pieces of any size.
            expected: how many documents there will be, if that is known; sets the number of centroids.
            endless: there are always more documents than vectors; else that is an error.
            sample: gives f32 ``[n, dim]`` to train a codec on, and is called only if one has to be
                trained; by default the first ``MAX_TRAINING_TOKENS`` vectors are held and used.

        Returns:
            How many documents were added.

        Raises:
            DuplicateId: an id is in the index, or came twice.
            InvalidVectors: there are more documents than embeddings, or fewer.
        """
        stream = _Chunks(chunks, self.snapshot.dim)
        held = stream.take(1 if sample else MAX_TRAINING_TOKENS)
        number, codec = CodecChoice(self, held, sample, stream.estimate(held, expected)).codec()
        first_pid = self.catalog.next_pid()
        rows = iter(documents)
        with self.new_segment(number, codec) as segment:
            for chunk in stream.after(held):
                some = _next_documents(rows, len(chunk))
                segment.add(chunk, some, self.options.threads)
                self.catalog.add_documents(first_pid + segment.ndocs - len(chunk), some)
                if self.options.progress:
                    self.options.progress("compress", segment.ndocs, expected or segment.ndocs)
            if not endless and next(rows, None) is not None:
                raise InvalidVectors(f"there are more documents than vectors: those are of {segment.ndocs}")
            self.finish(segment, np.arange(first_pid, first_pid + segment.ndocs, dtype=np.int64))
        self.added = True
        self.changed()
        return segment.ndocs

    def adopt(
        self,
        codec: ResidualCodec,
        ntokens: int,
        chunks: Iterable[tuple[ResidualTokens, npt.NDArray[np.int64]]],
        documents: Iterable[Document],
        *,
        stage: str = "compress",
        expected: int | None = None,
    ) -> int:
        """Add documents whose tokens another tool has compressed, as one segment with its codec.

        Args:
            codec: what the tokens were compressed with; becomes the index's newest.
            ntokens: how many there are in all.
            chunks: the tokens of some documents at a time, and the lengths i64 of these documents.
            documents: keys, texts and metadata, one for each length; both are read as they are needed.
            stage: what the work is called in reports of progress.
            expected: how many documents there will be, for the same.

        Returns:
            How many documents were added.

        Raises:
            DuplicateId: an id came twice, or is in the index.
        """
        number = self.list_codec(codec, ntokens)
        first_pid = self.catalog.next_pid()
        rows = iter(documents)
        with self.new_segment(number, codec) as segment:
            for tokens, doclens in chunks:
                some = _next_documents(rows, len(doclens))
                self.catalog.add_documents(first_pid + segment.ndocs, some)
                segment.adopt(tokens, doclens, some)
                if self.options.progress:
                    self.options.progress(stage, segment.ndocs, expected or segment.ndocs)
            self.finish(segment, np.arange(first_pid, first_pid + segment.ndocs, dtype=np.int64))
        self.added = True
        self.changed()
        return segment.ndocs

    # Codecs and segments ---------------------------------------------------------------------

    def train(self, sample: FloatArray, ntokens: int) -> bool:
        """Train a codec before anything is added, unless the newest one will do.

        Args:
            sample: f32 ``[n, dim]``, some of the vectors that will be added.
            ntokens: how many there will be.

        Returns:
            Whether one was trained.
        """
        if not self.wants_codec(ntokens):
            return False
        CodecChoice(self, [], lambda: sample, ntokens).codec()
        self.changed()
        return True

    def wants_codec(self, ntokens: int) -> bool:
        """Whether a codec would be trained if so many tokens were added, whatever they are."""
        return CodecChoice(self, [], None, ntokens).wanted()

    def list_codec(self, codec: Codec, total: int) -> int:
        """Write the codec's arrays and list it; returns its number."""
        kind = kind_of(codec)
        nbits = codec.nbits if isinstance(codec, ResidualCodec) else None
        number = self.catalog.add_codec(kind, nbits, codec.ncentroids, total)
        folder = layout.codec_path(self.folder, number)
        self._made.append(folder)
        dtypes = layout.CODEC_ARRAYS[kind]
        arrays: dict[str, layout.Array] = {name: getattr(codec, name) for name in dtypes}
        self.catalog.set_checksums("codec", number, layout.write_arrays(folder, arrays, dtypes))
        return number

    @contextmanager
    def new_segment(
        self,
        number: int,
        codec: Codec | None,
        documents: Callable[[list[int]], list[Document]] | None = None,
    ) -> Iterator[SegmentWriter]:
        """Files of a segment whose number in the catalog is that of the folder.

        Args:
            number: of the codec.
            codec: None keeps the vectors as they are.
            documents: finds documents whose parts can't be copied, by their pids; by default in the catalog.
        """
        dim = self.snapshot.dim  # of the state before the new segment is listed
        parts = self.snapshot.parts if self.parts is None else self.parts
        segment = self.catalog.add_segment(number)
        folder = layout.segment_path(self.folder, segment)
        self._made.append(folder)
        writer = SegmentWriter(folder, codec, dim, parts, documents or self._documents, self.encode)
        try:
            yield writer
        finally:
            writer.abandon()

    def _documents(self, pids: list[int]) -> list[Document]:
        found = self.catalog.documents(pids)
        return [found[pid] for pid in pids]

    def finish(self, writer: SegmentWriter, pids: npt.NDArray[np.int64]) -> None:
        """Write what is left of a new segment, and record what it holds."""
        seed = self.snapshot.settings["seed"]
        ntokens, checksums = writer.finish(pids, self.options.threads, seed)
        self.catalog.set_segment(int(writer.folder.name), len(pids), ntokens, checksums)

    def discard(self) -> None:
        """Remove the files of a transaction that was rolled back."""
        for folder in self._made:
            shutil.rmtree(folder, ignore_errors=True)


def _next_documents(rows: Iterator[Document], count: int) -> list[Document]:
    documents = list(islice(rows, count))
    if len(documents) < count:
        raise InvalidVectors(f"there are vectors for more documents than the {len(documents)} given last")
    return documents


class _Chunks:
    """Checks embeddings as they stream by, and lets the first of them be looked at twice."""

    def __init__(self, chunks: Iterable[TokenEmbeddings], dim: int) -> None:
        self._source = iter(chunks)
        self._dim = dim
        self._ended = False

    def take(self, ntokens: int) -> list[TokenEmbeddings]:
        """Chunks until there are ``ntokens`` vectors, or no more."""
        taken: list[TokenEmbeddings] = []
        while sum(chunk.ntokens for chunk in taken) < ntokens:
            chunk = next(self._source, None)
            if chunk is None:
                self._ended = True
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

    def estimate(self, held: list[TokenEmbeddings], expected: int | None) -> int:
        """Tokens there will be, judged by those at hand."""
        documents = sum(len(chunk) for chunk in held)
        tokens = sum(chunk.ntokens for chunk in held)
        if expected is None:
            return tokens if self._ended else UNKNOWN_LENGTH * tokens
        return tokens if documents >= expected else int(tokens * expected / max(1, documents))

    def _checked(self, chunk: TokenEmbeddings) -> TokenEmbeddings:
        if chunk.dim != self._dim:
            raise InvalidVectors(f"vectors must have {self._dim} components each, but have {chunk.dim}")
        return chunk


@contextmanager
def writing(
    folder: Path, options: WriteOptions | None = None, earlier: Snapshot | None = None
) -> Iterator[IndexWriter]:
    """One transaction on the index in ``folder``: all of it becomes visible at the end, or nothing.

    Args:
        folder: of the index.
        options: how to work, and how long to wait.
        earlier: a snapshot of the same index, whose codecs and segments need not be opened again.

    Raises:
        IndexLocked: another writer did not finish in time.
    """
    options = options or WriteOptions()
    catalog = CatalogWriter.open(folder)
    try:
        with catalog.transaction(options.timeout, options.doing):
            sweep(folder, catalog)
            writer = IndexWriter(folder, catalog, options, _earlier=earlier)
            try:
                yield writer
            except BaseException:
                writer.discard()
                raise
        if writer.replaced_segments:
            # If somebody else writes already, or the system refuses, the next writer will do it.
            with suppress(StoreError), catalog.transaction(0, "removing replaced files"):
                sweep(folder, catalog)
    finally:
        catalog.close()


def sweep(folder: Path, catalog: CatalogWriter) -> None:
    """Remove folders that the catalog does not list: replaced, or left by a writer that died.

    Only inside a write transaction, when no other writer can be making one. Readers that have an old
    snapshot keep their mapped files.
    """
    keep = {layout.segment_path(folder, row.segment) for row in catalog.segments()}
    keep |= {
        layout.codec_path(folder, row.codec) for row in catalog.codecs() if row.kind in layout.CODEC_ARRAYS
    }
    for path in layout.data_folders(folder):
        if path not in keep:
            shutil.rmtree(path, ignore_errors=True)
