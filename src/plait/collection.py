"""An open index whose documents are added, replaced, changed and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from itertools import count, repeat
from pathlib import Path
from typing import Any, overload

from plait.encoder import Encoder
from plait.errors import EmptyCorpus, InvalidParameter, UnknownId
from plait.ingest import CHARACTERS_PER_TOKEN, write_documents
from plait.inputs import (
    as_id,
    as_ids,
    as_metadata,
    as_texts,
    count_documents,
    merged_metadata,
    require_fields,
    require_lengths,
    unique_ids,
)
from plait.opened import Filter, OpenIndex, Vectors
from plait.store import IndexWriter, Transactions, WriteOptions
from plait.streaming import (
    BATCH,
    Item,
    VectorStream,
    as_document,
    batches,
    expected_documents,
    further,
    numbered,
    require_batch_size,
)
from plait.types import Document, Progress, TokenEmbeddings


class Collection(OpenIndex):
    """What ``plait.Index`` is made of, but for searching and upkeep."""

    def __init__(
        self, path: Path, encoder: Encoder | None, auto_refresh: bool = True, timeout: float | None = None
    ) -> None:
        super().__init__(path, encoder, auto_refresh)
        self._timeout = timeout
        self._transactions = Transactions(path, self._current.latest, self._committed)

    @contextmanager
    def transaction(self, *, timeout: float | None = None) -> Iterator[None]:
        """Make all changes of the block one commit: all of them, or none if it raises.

        A change that raises is undone alone if the block catches its error. Reading and searching inside
        the block see the state before it. Changes by other threads wait for its end.

        Args:
            timeout: seconds to wait for another writer; by default that of the index.

        Raises:
            IndexLocked: another process or thread is writing, and did not end in time.
        """
        timeout = self._timeout if timeout is None else timeout
        with self._transactions(WriteOptions(timeout=timeout, doing="a transaction")):
            yield

    @contextmanager
    def _writing(
        self, doing: str, threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[IndexWriter]:
        with self._transactions(WriteOptions(threads, progress, self._timeout, doing)) as writer:
            yield writer

    def _committed(self, writer: IndexWriter) -> None:
        self.refresh()

    @overload
    def add(  # type: ignore[overload-overlap]  # a list is an iterable too
        self,
        texts: Sequence[str] | None = None,
        *,
        vectors: Vectors | None = None,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> list[str]: ...
    @overload
    def add(
        self,
        texts: Iterable[Item],
        *,
        batch_size: int | None = None,
        skip_existing: bool = False,
        expected: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> int: ...
    def add(
        self,
        texts: Sequence[str] | Iterable[Item] | None = None,
        *,
        vectors: Vectors | None = None,
        ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        batch_size: int | None = None,
        skip_existing: bool = False,
        expected: int | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> list[str] | int:
        """Add documents: a list in one commit, or a stream of any length in batches.

        Lists: all documents are added, or none if anything is wrong.

        Streams, such as a generator: documents are read as they are needed, a batch at a time and never
        further, and each batch is a commit. After an error or a kill the batches before it are there; add the
        same stream with ``skip_existing`` to go on.

        Args:
            texts: one string per document; may be left out when ``vectors`` are given. Or an iterator of
                documents: strings, ``plait.Document``, or dicts with "text", "id" and "metadata"; those
                without an id are numbered. A list of them is one commit; with ``batch_size``,
                ``skip_existing`` or ``expected`` it is taken as a stream.
            vectors: token vectors of each document, instead of encoding the texts: TokenEmbeddings,
                or a list of ``[ntokens, dim]`` arrays. Expected to be of length 1.
            ids: keys of the documents, strings; by default the numbers "0", "1", ... in order of
                insertion.
            metadata: one dict per document, of values that JSON can hold.
            batch_size: documents of a stream per commit; 10,000 by default.
            skip_existing: leave out documents of a stream whose id is in the index, instead of refusing them.
            expected: how many documents the stream has; sets the number of centroids and the progress.
            threads: None for all cores.
            progress: called with a stage ("encode", "train", "compress"), how much is done, and how
                much there is.

        Returns:
            The ids of the documents; of a stream, or of a list of Documents, how many were added.

        Raises:
            EmptyCorpus, EmptyText, DuplicateId, DimensionMismatch, NonFiniteVectors, NoEncoder,
            InvalidParameter, IndexLocked: nothing was added; of a stream, nothing of the batch.
        """
        if isinstance(texts, Sized) and any(isinstance(text, Document | Mapping) for text in texts):
            batch_size = max(1, len(texts)) if batch_size is None else batch_size  # a list is one commit
        streamed = batch_size is not None or skip_existing or expected is not None
        if texts is not None and (streamed or not isinstance(texts, Sized)):
            if vectors is not None or ids is not None or metadata is not None:
                raise InvalidParameter(
                    "ids, metadata and vectors belong to lists; the documents of a stream have their own ids "
                    "and metadata (for vectors use add_stream)"
                )
            size = require_batch_size(BATCH if batch_size is None else batch_size)
            return self._add_batches(texts, size, skip_existing, expected, threads, progress)
        if streamed:
            raise InvalidParameter("batch_size, skip_existing and expected belong to streams of documents")
        documents, given = self._documents_of(texts, vectors, ids, metadata)  # type: ignore[arg-type]
        with self._writing("adding documents", threads, progress) as writer:
            documents = numbered(documents, writer.catalog.next_pid() - 1)
            keys = [document.id for document in documents]
            writer.require_new(keys)  # before the long work
            write_documents(writer, documents, self._require_encoder() if given is None else given)
        return keys

    def _add_batches(
        self,
        items: Iterable[Item],
        size: int,
        skip_existing: bool,
        expected: int | None,
        threads: int | None,
        progress: Progress | None,
    ) -> int:
        if isinstance(items, str):
            raise InvalidParameter("texts must be a list of strings, not one string")
        encoder = self._require_encoder()
        added = done = 0
        for batch in batches(items, size):
            documents = self._checked_batch(batch, done, skip_existing)
            if documents:
                further_progress = further(progress, done, expected)
                with self._writing("adding documents", threads, further_progress) as writer:
                    documents = numbered(documents, writer.catalog.next_pid() - 1)
                    writer.require_new([document.id for document in documents])
                    total = expected_documents(expected, done, len(batch), size)
                    write_documents(writer, documents, encoder, total)
            added += len(documents)
            done += len(batch)
        if not done:
            raise EmptyCorpus("there are no documents to add")
        return added

    def _checked_batch(self, batch: list[Item], start: int, skip_existing: bool) -> list[Document]:
        """The documents of a batch, without those that are there already if they are to be skipped."""
        documents = [as_document(item, place) for place, item in enumerate(batch, start=start)]
        for place, document in enumerate(documents, start=start):
            require_fields(document.metadata, self._fields, f"the metadata of document {place}")
        unique_ids([document.id for document in documents if document.id])
        if not skip_existing:
            return documents
        if not all(document.id for document in documents):
            raise InvalidParameter("skip_existing needs documents with ids")
        held = self._held([document.id for document in documents])
        return [document for document in documents if document.id not in held]

    def _held(self, keys: Sequence[str]) -> set[str]:
        with self._reading() as snapshot:
            return set(snapshot.pids_of(keys))

    def train(
        self,
        texts: Sequence[str] | None = None,
        *,
        vectors: Vectors | None = None,
        expected: int,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Train the compression on a sample of what will be added, in a commit of its own.

        For streams whose first documents are no fair sample of the rest; otherwise adding does it.

        Args:
            texts, vectors: some of the documents, chosen at random.
            expected: how many documents will be added; sets the number of centroids.
            threads, progress: as for ``add``.

        Returns:
            False if nothing was trained: so few documents are kept as they are, or the index has a
            compression that will do, as after a build that was cut off.
        """
        documents, given = self._documents_of(texts, vectors, None, None)
        with self._writing("training the compression", threads, progress) as writer:
            if given is None:
                texts = [document.text or "" for document in documents]
                about = sum(map(len, texts)) // CHARACTERS_PER_TOKEN
                if not writer.wants_codec(about * expected // len(texts)):
                    return False
                given = self._require_encoder().encode_documents(texts, threads=threads)
            return writer.train(given.vectors, given.ntokens * expected // len(given))

    def upsert(
        self,
        texts: Sequence[str] | None = None,
        *,
        ids: Sequence[str],
        vectors: Vectors | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Add documents in one commit; those whose id is in the index replace the ones that have it.

        A document that replaces another one has its text, vectors and metadata and nothing of the other's,
        and counts as added now: of equal scores it is the last.

        Args:
            ids: keys of the documents.
            texts, vectors, metadata, threads, progress: as for ``add``.

        Returns:
            How many documents were replaced.

        Raises:
            The errors of ``add``; DuplicateId if an id is given twice. Nothing was changed.
        """
        documents, given = self._documents_of(texts, vectors, ids, metadata)
        with self._writing("replacing documents", threads, progress) as writer:
            replaced = writer.delete([document.id for document in documents])
            write_documents(writer, documents, self._require_encoder() if given is None else given)
        return replaced

    def _documents_of(
        self,
        texts: Sequence[str] | None,
        vectors: Vectors | None,
        ids: Sequence[str] | None,
        metadata: Sequence[Mapping[str, Any] | None] | None,
    ) -> tuple[list[Document], TokenEmbeddings | None]:
        """Checked documents, with empty ids if none are given, and checked vectors."""
        given = None if vectors is None else self._given_vectors(vectors, "vectors")
        texts = None if texts is None else as_texts(texts, encoded=given is None)
        number = count_documents(texts, given)
        require_lengths(number, ids=ids, metadata=metadata)
        keys = [""] * number if ids is None else unique_ids(ids)
        records = self._records(metadata or [None] * number)
        if given is None:
            self._require_encoder()
        documents = map(Document, keys, texts or repeat(None, number), records)
        return list(documents), given

    def _records(self, metadata: Iterable[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
        records = [as_metadata(record, place) for place, record in enumerate(metadata)]
        for place, record in enumerate(records):
            require_fields(record, self._fields, f"metadata[{place}]")
        return records

    def add_stream(
        self,
        chunks: Iterable[TokenEmbeddings],
        *,
        ids: Iterable[str] | None = None,
        expected: int | None = None,
        batch_size: int | None = None,
        skip_existing: bool = False,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Add documents whose vectors come in chunks, in a fixed amount of memory.

        The first two million vectors are held to train the compression on, if it has to be: they should be
        a fair sample of what follows; otherwise see ``train``.

        Args:
            chunks: token vectors of some documents at a time; read once, as they are needed.
            ids: keys of the documents, in the same order, read as they are needed; by default the numbers
                "0", "1", ... in order of insertion.
            expected: how many documents there will be; sets the number of centroids and the progress.
            batch_size: documents per commit, rounded up to whole chunks; None for one commit of all.
            skip_existing: leave out documents whose id is in the index, instead of refusing them: a stream
                that was cut off goes on where it was.
            threads, progress: as for ``add``.

        Returns:
            How many documents were added.

        Raises:
            EmptyCorpus, DuplicateId, DimensionMismatch, NonFiniteVectors, InvalidVectors,
            InvalidParameter, IndexLocked: nothing was added; with batch_size, nothing of the batch.
        """
        size = None if batch_size is None else require_batch_size(batch_size)
        if skip_existing and ids is None:
            raise InvalidParameter("skip_existing needs ids")
        checked = (self._given_vectors(chunk, "vectors") for chunk in chunks)
        keys = repeat("") if ids is None else map(as_id, ids, count())
        stream = VectorStream(checked, keys, self._held if skip_existing else None)
        added = 0
        while stream.more():
            with self._writing("adding documents", threads, further(progress, added, expected)) as writer:
                documents, some = stream.batch(size)
                if ids is None:
                    first = writer.catalog.next_pid() - 1
                    documents = map(Document, map(str, count(first)))
                left = None if expected is None else max(1, expected - added)
                added += writer.add(documents, some, expected=left, endless=True)
                if ids is not None and not stream.more():
                    stream.require_no_more_keys()
        if not added and not skip_existing:
            raise EmptyCorpus("there are no documents to add")
        return added

    def update_metadata(
        self,
        ids: str | Sequence[str],
        metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        replace: bool = False,
    ) -> None:
        """Change the metadata of documents in one commit; texts and vectors stay.

        Args:
            ids: the key of a document, or of several.
            metadata: a dict for all of them, or one for each. Its entries are put in the place of those of
                the same name; an entry of None takes the one of that name away.
            replace: put the dict in the place of all that there was.

        Raises:
            UnknownId: one of the ids is not in the index; nothing was changed.
            InvalidParameter: as for ``add``.
        """
        keys = unique_ids(as_ids(ids))
        if isinstance(metadata, Mapping):
            metadata = [metadata] * len(keys)
        require_lengths(len(keys), metadata=metadata)
        records = self._records(metadata)
        with self._writing("changing metadata") as writer:
            pids = writer.catalog.pids_of(keys)
            missing = next((key for key in keys if key not in pids), None)
            if missing is not None:
                raise UnknownId(f"there is no document with the id {missing!r}; nothing was changed")
            if not replace:
                stored = writer.catalog.documents(pids.values())
                records = [
                    merged_metadata(stored[pids[key]].metadata, record)
                    for key, record in zip(keys, records, strict=True)
                ]
            writer.catalog.set_metadata(
                (pids[key], record) for key, record in zip(keys, records, strict=True)
            )

    def delete(self, ids: str | Iterable[str] | None = None, *, filter: Filter | None = None) -> int:
        """Delete documents in one commit: those of the ids, those that match the filter, or those of the ids
        that match it.

        Args:
            ids: the key of a document, or of several; unknown ones are passed over.
            filter: on metadata, see docs/filters.md. An empty one, which would delete everything, is refused.

        Returns:
            How many there were.

        Raises:
            InvalidParameter, InvalidFilter, IndexLocked: nothing was deleted.
        """
        if ids is None and filter is None:
            raise InvalidParameter("give ids=, filter=, or both")
        if filter is not None and not filter:
            raise InvalidParameter("the filter is empty and would delete every document of the index")
        keys = None if ids is None else as_ids(ids)
        with self._writing("deleting documents") as writer:
            return writer.delete(keys, filter)
