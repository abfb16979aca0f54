"""An open index that is looked after: merged, measured, checked, copied."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TextIO

from plait.analysis import BM25
from plait.collection import Collection
from plait.encoder import Encoder
from plait.encoders import encoder_of
from plait.errors import EmptyText, IndexLocked, InvalidParameter, StoreError
from plait.export import export_documents
from plait.ingest import encoding, stored_queries
from plait.inputs import as_k
from plait.opened import Vectors
from plait.search import SCAN_TOKENS, Calibration, RecallReport, SearchParams, calibrate, measure_recall
from plait.settings import bi_encoder_setting, bm25_setting
from plait.store import (
    CompactionReport,
    IndexWriter,
    Problem,
    RepairReport,
    Snapshot,
    WriteOptions,
    add_part,
    backup,
    compact,
    due,
    merge,
    repair,
    retrain,
    shrink,
    verify,
)
from plait.types import Progress

#: Documents whose tokens stand for queries when an index measures itself.
CALIBRATION_QUERIES = 48


class MaintainedIndex(Collection):
    """What ``plait.Index`` is made of, but for searching. Changes merge segments and measure recall."""

    def __init__(
        self,
        path: Path,
        encoder: Encoder | None,
        auto_refresh: bool = True,
        auto_compact: bool = True,
        timeout: float | None = None,
    ) -> None:
        self._auto_compact = auto_compact
        super().__init__(path, encoder, auto_refresh, timeout)

    def _committed(self, writer: IndexWriter) -> None:
        super()._committed(writer)
        self._compact_if_due(writer.options)
        if writer.added:
            with suppress(IndexLocked):  # it is the next one's turn
                self._calibrate_if_grown(writer.options.threads)

    def _compact_if_due(self, options: WriteOptions) -> None:
        """One merge, if one is due; its own commit looks for the next."""
        with self._reading() as snapshot:
            if not self._auto_compact or not due(snapshot):
                return
        options = WriteOptions(options.threads, options.progress, 0, "merging segments")
        try:
            with self._transactions(options) as writer:
                merge(writer, due(writer.snapshot)[:1])
        except IndexLocked:
            return  # whoever writes now will look in turn
        except StoreError as error:
            warnings.warn(
                f"the change is committed, but merging segments failed: {error}", RuntimeWarning, stacklevel=2
            )

    def compact(
        self, *, retrain: bool = False, threads: int | None = None, progress: Progress | None = None
    ) -> CompactionReport:
        """Merge segments until there is one for each codec, and let go of what was deleted.

        Hits and scores stay the same. Readers keep what they have open. Each merge is a commit of its own: an
        interruption loses the one at work, never the documents. Changes do a part of this by themselves when
        there are too many segments.

        Args:
            retrain: encode all texts again, in one commit, and compress them as a fresh build would: for an
                index that grew in many small changes, or into other subjects. Takes about as long as adding
                the documents did; other writers wait meanwhile, readers don't. Scores change.
            threads: None for all cores.
            progress: called with "merge" or another stage, how much is done, and how much there is.

        Raises:
            InvalidParameter: ``retrain``, and the index has no encoder.
            EmptyText: ``retrain``, and a document has no text to encode.
            CheckpointError: ``retrain``, and the encoder can't be loaded.
            IndexLocked: another writer did not finish in time.
            IndexCorrupt: a segment does not match its checksums; it is left as it is.
        """
        retrained, gone = self._retrain(threads, progress) if retrain else (0, 0)
        report = compact(partial(self._writing, "merging segments", threads, progress))
        report.retrained = retrained
        report.deleted += gone
        if report.deleted and not self._transactions.begun:
            shrink(self._path)
        return report

    def _retrain(self, threads: int | None, progress: Progress | None) -> tuple[int, int]:
        """How many documents were encoded, and how many that were deleted are gone."""
        encoder = self.encoder
        if encoder is None:
            raise InvalidParameter(
                f"{self._path} was made for vectors and has no encoder, so nothing can be encoded again: "
                f"build a new index of the vectors"
            )
        with self._writing("training the compression anew", threads, progress) as writer:
            _require_texts(writer.snapshot)
            gone = len(writer.snapshot.tombstones)
            done = retrain(writer, encoding(encoder, writer.options, writer.snapshot.ndocs))
        with self._reading() as snapshot:
            measured = snapshot.settings.get("calibration") is not None
        if measured and done:
            self.calibrate(threads=threads)
        return done, gone if done else 0

    def add_bm25(
        self,
        bm25: bool | BM25 = True,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Count the words of all texts, in an index that was made without BM25, in one commit.

        Nothing is encoded again, but all segments are copied. The index becomes one of the newest format
        version, which older versions of plait do not open.

        Args:
            bm25: True, or a ``plait.BM25`` that says how words are counted.
            threads, progress: as for ``compact``.

        Raises:
            InvalidParameter: the index has BM25 already.
            IndexLocked, IndexCorrupt: nothing was changed.
        """
        setting = bm25_setting(bm25)
        if not setting:
            raise InvalidParameter("bm25 must be True or a plait.BM25")
        with self._writing("counting words", threads, progress) as writer:
            _require_without(writer, "bm25", "BM25")
            add_part(writer, "bm25", setting["bm25"])

    def add_bi_encoder(self, *, threads: int | None = None, progress: Progress | None = None) -> None:
        """Make one vector for each document, in an index that was made without them, in one commit.

        The index's encoder encodes all texts again, which takes about as long as adding them did; other
        writers wait meanwhile, and readers don't. Token vectors stay, but all segments are copied. Without an
        encoder the vectors are the means of the token vectors as they are stored. The index becomes one of
        the newest format version, which older versions of plait do not open.

        Args:
            threads: None for all cores.
            progress: called with "encode" and "merge", how many documents are done, and how many there are.

        Raises:
            InvalidParameter: the index has such vectors already.
            EmptyText: there is an encoder, but a document without a text to encode.
            CheckpointError: the encoder can't be loaded.
            IndexLocked, IndexCorrupt.

        After an error, or an interruption, nothing was changed.
        """
        encoder = self.encoder
        setting = bi_encoder_setting(True, encoder, self._dim)
        with self._writing("encoding documents", threads, progress) as writer:
            _require_without(writer, "bi_encoder", "a bi-encoder's vectors")
            if encoder is not None:
                _require_texts(writer.snapshot)
            ndocs = writer.snapshot.ndocs
            encode = None if encoder is None else encoding(encoder, writer.options, ndocs)
            add_part(writer, "bi_encoder", setting["bi_encoder"], encode)

    def calibrate(self, queries: Sequence[str] | Vectors | None = None, threads: int | None = None) -> None:
        """Measure what ``recall_target`` takes, and keep it in the index.

        Adding documents does it when an index has doubled; call it to measure on your own queries.

        Args:
            queries: texts or vectors; by default token vectors of randomly chosen documents.
            threads: None for all cores.
        """
        with self._reading() as snapshot:
            vectors = (
                stored_queries(snapshot, CALIBRATION_QUERIES)
                if queries is None
                else self._query_vectors(queries, threads)
            )
            if not vectors:
                raise InvalidParameter("there are no queries to measure with")
            found = calibrate(snapshot, vectors, threads)
        with self._writing("measuring recall") as writer:
            writer.catalog.set_setting("calibration", found.as_json())

    def _calibrate_if_grown(self, threads: int | None) -> None:
        with self._reading() as snapshot:
            tokens = sum(row.ntokens for row in snapshot.segment_rows)
            stored = Calibration.from_json(snapshot.settings.get("calibration"))
            grown = stored is None or snapshot.ndocs >= 2 * stored.documents
        if grown and tokens > SCAN_TOKENS:
            self.calibrate(threads=threads)

    def recall(
        self,
        queries: Sequence[str] | Vectors | None = None,
        k: int = 10,
        *,
        sample: int = 100,
        params: SearchParams | None = None,
        threads: int | None = None,
    ) -> RecallReport:
        """Measure how much of a full scan's best ``k`` the search finds.

        Args:
            queries: texts or vectors; by default up to 32 token vectors of randomly chosen documents.
            k: hits compared.
            sample: how many documents to take queries from, when none are given.
            params: those to be measured.
            threads: None for all cores.
        """
        k = as_k(k)
        with self._reading() as snapshot:
            if queries is None:
                vectors, source = stored_queries(snapshot, sample), "tokens of random documents"
            else:
                vectors, source = self._query_vectors(queries, threads), "given"
            params = params or SearchParams.for_k(k, snapshot.ndocs)
            return measure_recall(snapshot, vectors, k, params, source, threads)

    def verify(self) -> list[Problem]:
        """Check every checksum and every cross-reference; reads the whole index.

        Returns:
            What is wrong; nothing if the index is sound. For an index that can't be opened there is
            ``plait.store.verify(path)``.
        """
        return verify(self._path)

    @staticmethod
    def repair(
        source: str | Path,
        destination: str | Path,
        *,
        model: str | Path | Encoder | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> RepairReport:
        """Make a new index of what can be saved of a damaged one, which is not touched.

        Documents whose tokens are lost are encoded again from their texts, if the encoder can be loaded.

        Args:
            source: the damaged index.
            destination: a folder that does not exist yet.
            model: the encoder of the index, when it has moved.
            threads: None for all cores.
            progress: called with a stage, how much is done, and how much there is.

        Returns:
            What was saved and what is lost.

        Raises:
            IndexAlreadyExists: something is at ``destination``.
            IndexNotFound, IndexTooNew, IndexCorrupt: nothing can be read.
            EncoderMismatch: ``model`` is not the encoder that the index was made with.
        """
        options = WriteOptions(threads, progress, doing="repairing")
        encoder = encoder_of(Path(source), model)
        encode = partial(encoder.encode_documents, threads=threads) if encoder else None
        return repair(Path(source), Path(destination), encode=encode, options=options)

    def backup(self, path: str | Path, *, hard_links: bool = False, progress: Progress | None = None) -> None:
        """Copy the newest committed state into a new folder, while others search and write.

        The copy is an index like any other. One that was cut off can't be opened.

        Args:
            path: a folder that does not exist yet.
            hard_links: share the files of segments instead of copying them, where the system can: they never
                change. Damage to the disk then meets both.
            progress: called with "copy", how many bytes are done, and how many there are.

        Raises:
            IndexAlreadyExists: something is at ``path``.
            IndexCorrupt: a file does not match its checksum.
        """
        backup(self._path, Path(path), hard_links=hard_links, progress=progress)

    def export(
        self, file: str | Path | TextIO, *, vectors: bool = False, progress: Progress | None = None
    ) -> int:
        """Write all documents as JSON lines, in order of insertion: id, text and metadata.

        ``plait index`` and ``plait.sources.read_documents`` read them back.

        Args:
            file: a path, which gets its name once it is whole, or a text file that is open for writing.
            vectors: write the token vectors as well, as they are stored: lists of ``dim`` numbers.
            progress: called with "export", how many documents are done, and how many there are.

        Returns:
            How many documents were written.
        """
        with self._reading() as snapshot:
            return export_documents(snapshot, file, vectors=vectors, progress=progress)


def _require_without(writer: IndexWriter, name: str, what: str) -> None:
    if any(part.name == name for part in writer.snapshot.parts):
        raise InvalidParameter(f"{writer.folder} has {what} already")


def _require_texts(snapshot: Snapshot) -> None:
    for document in snapshot.all_documents():
        if not (document.text or "").strip():
            raise EmptyText(
                f"the document {document.id!r} was added with vectors of its own and has no text to encode: "
                f"delete it, or upsert it with a text, and try again"
            )
