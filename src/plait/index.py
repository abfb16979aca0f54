"""The facade: text in, hits out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np
import numpy.typing as npt

from plait import search as engine
from plait.analysis import BM25
from plait.codec import require_level, require_nbits
from plait.collection import Collection, Filter, Vectors, allowed_pids
from plait.encoder import Encoder, lasting_name, load_encoder
from plait.errors import (
    CheckpointError,
    DimensionMismatch,
    EncoderMismatch,
    IndexAlreadyExists,
    IndexLocked,
    InvalidParameter,
    InvalidVectors,
    NonFiniteVectors,
    PartMissing,
    StoreError,
)
from plait.export import export_documents
from plait.ingest import stored_queries
from plait.inputs import as_fields, as_ids, as_k
from plait.search import SCAN_TOKENS, Calibration, SearchParams, calibrate, require_recall
from plait.store import (
    Catalog,
    CompactionReport,
    IndexStats,
    IndexWriter,
    Problem,
    RepairReport,
    Snapshot,
    WriteOptions,
    add_part,
    backup,
    compact,
    create_catalog,
    due,
    merge,
    repair,
    shrink,
    stats,
    verify,
)
from plait.store.bi_encoder import BiEncoderPart
from plait.store.bm25 import BM25Part
from plait.streaming import Progress
from plait.threads import map_threads
from plait.types import FloatArray, Hit, TokenEmbeddings

#: Documents whose tokens stand for queries when an index measures itself.
CALIBRATION_QUERIES = 48


@dataclass(frozen=True, slots=True)
class RecallReport:
    """How much of a full scan's result the search finds.

    Attributes:
        search_recall: mean overlap of the best k with those of a scan over the same stored
            vectors, 1.0 if always the same.
        k: hits compared.
        nqueries: queries asked.
        queries: where they came from.
    """

    search_recall: float
    k: int
    nqueries: int
    queries: str


class Index(Collection):
    """A late-interaction index in one folder.

    Made by ``Index.create`` or ``Index.open``. Searching is safe from several threads; each search
    sees one committed state. A context manager: ``with plait.Index.open(path) as index``.
    """

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

    # Making and opening ----------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        model: str | Path | Encoder | None = None,
        *,
        dim: int | None = None,
        level: str | None = None,
        nbits: int | None = None,
        seed: int = 0,
        fields: Mapping[str, type] | None = None,
        bm25: bool | BM25 | None = None,
        bi_encoder: bool | int | None = None,
        auto_refresh: bool = True,
        auto_compact: bool = True,
        timeout: float | None = None,
    ) -> Self:
        """Make an empty index.

        Args:
            path: a folder that does not exist yet, or is empty.
            model: an encoder, or the folder of one; the built-in model by default.
            dim: make an index without an encoder, for your own vectors of this many components.
            level: how faithfully vectors are kept: "compact", "balanced" (default) or "precise".
            nbits: use ColBERTv2's residual codec instead, with 1, 2, 4 or 8 bits per dimension.
            seed: of the training of the compression; same seed, same documents: same index.
            fields: names of metadata fields and the type of each: int, float, str, bool, or list. Filters on
                them use an index, and a document whose field is of another type is refused.
            bm25: count the words of texts for ``search_bm25``: True, False, or a ``plait.BM25`` that says
                how; by default with English stems if there is an encoder, and not for ``dim``.
            bi_encoder: keep one vector for each document, for ``search_bi_encoder``: True, False, or the
                number of components of vectors of your own (``TokenEmbeddings.pooled``); by default True if
                there is an encoder, and not for ``dim``.
            auto_refresh, auto_compact, timeout: as for ``open``.

        Raises:
            IndexAlreadyExists: something is at ``path``.
            InvalidParameter: ``level``, ``nbits`` or ``dim`` is out of range, or two are given that exclude
                each other.
            CheckpointError: the model can't be loaded.
        """
        path = Path(path)
        level = _require_codec(level, nbits)
        declared = as_fields(fields or {})
        encoder = None
        if dim is None:
            encoder = _as_encoder(model)
        elif model is not None:
            raise InvalidParameter("give model= for text or dim= for your own vectors, not both")
        elif not isinstance(dim, int) or dim < 1:
            raise InvalidParameter(f"dim must be a whole number of at least 1, not {dim!r}")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise IndexAlreadyExists(f"{path} exists already; open it, or choose another folder")
        path.mkdir(parents=True, exist_ok=True)
        create_catalog(
            path,
            {
                "dim": encoder.dim if encoder else dim,
                "level": level,
                "nbits": nbits,
                "seed": seed,
                "encoder": _encoder_record(encoder, model),
                **({"fields": declared} if declared else {}),
                **_bm25_record(encoder is not None if bm25 is None else bm25),
                **_bi_encoder_record(encoder is not None if bi_encoder is None else bi_encoder, encoder, dim),
            },
        )
        return cls(path, encoder, auto_refresh, auto_compact, timeout)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        model: str | Path | Encoder | None = None,
        auto_refresh: bool = True,
        auto_compact: bool = True,
        timeout: float | None = None,
    ) -> Self:
        """Open an index.

        Args:
            path: its folder.
            model: the encoder to use when the one it was made with has moved; it must be the same.
            auto_refresh: see what others have committed at the next reading or search, at the cost of a few
                microseconds each; False keeps what there is now until ``refresh()`` or an own change.
            auto_compact: merge segments after a change by this object that left too many of them.
            timeout: seconds that a change waits while another process or thread writes; None for 30.

        Raises:
            IndexNotFound, IndexTooNew, IndexCorrupt.
            EncoderMismatch: ``model`` is not the encoder that the index was made with.
        """
        index = cls(Path(path), None, auto_refresh, auto_compact, timeout)
        if model is not None:
            try:
                index._encoder = index._require_match(_as_encoder(model))
            except BaseException:
                index.close()
                raise
        return index

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

    def compact(self, *, threads: int | None = None, progress: Progress | None = None) -> CompactionReport:
        """Merge segments until there is one for each codec, and let go of what was deleted.

        Hits and scores stay the same. Readers keep what they have open. Each merge is a commit of its own: an
        interruption loses the one at work, never the documents. Changes do a part of this by themselves when
        there are too many segments.

        Args:
            threads: None for all cores.
            progress: called with "merge", how many documents are done, and how many there are.

        Raises:
            IndexLocked: another writer did not finish in time.
            IndexCorrupt: a segment does not match its checksums; it is left as it is.
        """
        report = compact(partial(self._writing, "merging segments", threads, progress))
        if report.deleted and not self._transactions.begun:
            shrink(self._path)
        return report

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
        record = _bm25_record(bm25)
        if not record:
            raise InvalidParameter("bm25 must be True or a plait.BM25")
        with self._writing("counting words", threads, progress) as writer:
            if any(part.name == "bm25" for part in writer.snapshot.parts):
                raise InvalidParameter(f"{self._path} has BM25 already")
            add_part(writer, "bm25", record["bm25"])

    # Searching -------------------------------------------------------------------------------

    def search(
        self,
        query: str | npt.ArrayLike,
        k: int = 10,
        *,
        filter: Filter | None = None,
        ids: Iterable[str] | None = None,
        params: SearchParams | None = None,
        recall_target: float | None = None,
        threads: int | None = None,
        texts: bool = True,
    ) -> list[Hit]:
        """The best documents for a query.

        Args:
            query: a text, or its token vectors ``[nq, dim]``.
            k: hits wanted.
            filter: only documents whose metadata matches may be found, such as ``{"year": {"$gte": 2020}}``;
                see docs/filters.md. A filter that matches nothing finds nothing.
            ids: only these documents may be found; unknown ids match nothing. None allows all.
            params: how far to look; ``SearchParams.for_k(k, len(index))`` by default.
            recall_target: instead of params, the share of a full scan's hits that should be found on average,
                up to 1. What it takes was measured when the documents were added.
            threads: for scanning; None for all cores. The result does not depend on it.
            texts: False leaves texts and metadata out of the hits: faster where there are hundreds.

        Returns:
            Exactly ``min(k, number of live documents allowed)`` hits: unique, best first, ties in
            order of insertion.

        Raises:
            InvalidParameter, InvalidFilter, EmptyText, NoEncoder, DimensionMismatch, NonFiniteVectors.
        """
        k = as_k(k)
        with self._reading() as snapshot:
            vectors = self._query_vectors([query] if isinstance(query, str) else [np.asarray(query)], 1)[0]
            allowed = allowed_pids(snapshot, ids, filter)
            params = self._params(snapshot, k, params, recall_target, allowed)
            found = engine.search(snapshot, vectors, k, params, allowed=allowed, threads=threads)
            return _hits(snapshot, found, texts)

    def score(
        self, query: str | npt.ArrayLike, ids: Sequence[str], k: int | None = None
    ) -> dict[str, float | None]:
        """MaxSim of some documents with a query, on the vectors as stored; texts and metadata are not read.

        Args:
            query: a text, or its token vectors ``[nq, dim]``.
            ids: which documents; ids that are not in the index are left out.
            k: only the best so many get a score, which is faster; None for all.

        Returns:
            Id -> score: the best first, ties in order of insertion, then the other ids of the index with
            None.

        Raises:
            As ``search``.
        """
        keys = as_ids(ids)
        k = max(1, len(keys)) if k is None else as_k(k)
        with self._reading() as snapshot:
            vectors = self._query_vectors([query] if isinstance(query, str) else [np.asarray(query)], 1)[0]
            pids = snapshot.pids_of(set(keys))
            allowed = np.array(sorted(pids.values()), dtype=np.int64)
            found = engine.search(snapshot, vectors, k, SearchParams(scan=True), allowed=allowed)
        key_of = {pid: key for key, pid in pids.items()}
        best: dict[str, float | None] = {key_of[pid]: score for pid, score in found}
        return best | {key: None for key in pids if key not in best}

    @contextmanager
    def snapshot(self, shared: Snapshot | None = None) -> Iterator[Snapshot]:
        """Searches and readings of this thread inside the block see one committed state.

        For several searches that belong together, such as the stages of a pipeline. Own changes inside the
        block are committed as ever, and seen after it.

        Args:
            shared: what the block of another thread was given, to see the same state; that block must not
                end before this one.
        """
        with self._current.holding(shared) as snapshot:
            yield snapshot

    def search_bm25(
        self,
        query: str,
        k: int = 10,
        *,
        filter: Filter | None = None,
        ids: Iterable[str] | None = None,
        texts: bool = True,
    ) -> list[Hit]:
        """The best documents by the words that they share with a query (BM25, as Lucene computes it).

        Scores are those of an index of the live documents alone, however they came to be there.

        Args:
            query: a text; a word that is there twice counts twice.
            k: hits wanted.
            filter, ids: as for ``search``; scores do not depend on them.
            texts: as for ``search``.

        Returns:
            The ``k`` best of the documents allowed that share a word with the query, or all if there are
            fewer: best first, ties in order of insertion.

        Raises:
            PartMissing: the index was made without BM25.
            InvalidParameter, InvalidFilter.
        """
        k = as_k(k)
        if not isinstance(query, str):
            raise InvalidParameter(f"the query of search_bm25 must be a text, not {type(query).__name__}")
        with self._reading() as snapshot:
            part = next((part for part in snapshot.parts if isinstance(part, BM25Part)), None)
            if part is None:
                raise PartMissing(
                    f"{self._path} was made without BM25: index.add_bm25() or `plait compact --bm25` adds it"
                )
            allowed = allowed_pids(snapshot, ids, filter)
            return _hits(snapshot, engine.search_bm25(snapshot, part, query, k, allowed=allowed), texts)

    def search_bi_encoder(
        self,
        query: str | npt.ArrayLike,
        k: int = 10,
        *,
        filter: Filter | None = None,
        ids: Iterable[str] | None = None,
        threads: int | None = None,
        texts: bool = True,
    ) -> list[Hit]:
        """The best documents by one vector for each (a bi-encoder): fast, and less accurate than ``search``.

        The score is the cosine of the query's vector and the document's, which is kept in 4 bits per
        dimension. Every document is scored.

        Args:
            query: a text; or its one vector ``[d]``; or, where that is the mean of the token vectors, these
                ``[nq, dim]``.
            k: hits wanted.
            filter, ids, texts: as for ``search``.
            threads: for scanning; None for all cores. The result does not depend on it.

        Returns:
            Exactly ``min(k, number of live documents allowed)`` hits, best first, ties in order of insertion.
            A document that was added with token vectors of its own and no ``pooled`` one has a score of 0,
            if the index keeps no mean of token vectors.

        Raises:
            PartMissing: the index was made without a bi-encoder's vectors.
            InvalidParameter, InvalidFilter, EmptyText, NoEncoder, DimensionMismatch, NonFiniteVectors.
        """
        k = as_k(k)
        with self._reading() as snapshot:
            part = next((part for part in snapshot.parts if isinstance(part, BiEncoderPart)), None)
            if part is None:
                raise PartMissing(
                    f"{self._path} was made without a bi-encoder's vectors: make the index anew with "
                    f"bi_encoder=True from what `plait export` writes"
                )
            vector = self._single_vector(query, part)
            allowed = allowed_pids(snapshot, ids, filter)
            found = engine.search_bi_encoder(snapshot, vector, k, allowed=allowed, threads=threads)
            return _hits(snapshot, found, texts)

    def _single_vector(self, query: str | npt.ArrayLike, part: BiEncoderPart) -> FloatArray:
        """A query's one vector f32 ``[part.dim]``."""
        vector: FloatArray
        if isinstance(query, str):
            vector = self._require_encoder().encode_queries([query], threads=1).single_vectors()[0]
        else:
            given = np.asarray(query, dtype=np.float32)
            if given.ndim == 2 and part.dim == self._dim:
                given = self._given_vectors([given], "queries").single_vectors()[0]
            if given.ndim != 1:
                raise InvalidVectors(
                    f"the query of search_bi_encoder must be a text or one vector [{part.dim}], but has the "
                    f"shape {given.shape}"
                )
            vector = given
        if len(vector) != part.dim:
            raise DimensionMismatch(part.dim, len(vector), "the query's single vector")
        if not np.isfinite(vector).all():
            raise NonFiniteVectors("the query's single vector holds a NaN or an infinity")
        return vector

    def search_all(
        self,
        queries: Sequence[str] | Vectors,
        k: int = 10,
        *,
        filter: Filter | None = None,
        ids: Iterable[str] | None = None,
        params: SearchParams | None = None,
        recall_target: float | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> list[list[Hit]]:
        """``[search(query, k) for query in queries]`` on all cores; the same bits.

        Args:
            queries: texts, or token vectors: TokenEmbeddings or a list of ``[nq, dim]`` arrays.
            k, filter, ids, params, recall_target: as for ``search``.
            threads: None for all cores.
            progress: called with "search", how many are done, and how many there are.
        """
        k = as_k(k)
        with self._reading() as snapshot:
            vectors = self._query_vectors(queries, threads)
            allowed = allowed_pids(snapshot, ids, filter)
            params = self._params(snapshot, k, params, recall_target, allowed)
            together = engine.query_batches(snapshot, len(vectors), params, allowed=allowed, threads=threads)

            def answer(rows: slice) -> list[list[Hit]]:
                found = engine.search_batch(snapshot, vectors[rows], k, params, allowed=allowed)
                return [_hits(snapshot, one) for one in found]

            def report(done: int) -> None:
                if progress:
                    progress("search", together[done - 1].stop, len(vectors))

            return [hits for some in map_threads(answer, together, threads, report) for hits in some]

    def _params(
        self,
        snapshot: Snapshot,
        k: int,
        params: SearchParams | None,
        recall_target: float | None,
        allowed: npt.NDArray[np.int64] | None = None,
    ) -> SearchParams:
        share = 1.0 if allowed is None else len(allowed) / max(1, snapshot.ndocs)
        if recall_target is None:
            return params or SearchParams.for_k(k, snapshot.ndocs, share=share)
        if params is not None:
            raise InvalidParameter("give params= or recall_target=, not both")
        target = require_recall(recall_target)
        stored = Calibration.from_json(snapshot.settings.get("calibration"))
        if stored is None:  # a small index, or one made by an older version
            everything = SearchParams(scan=True)
            return SearchParams.for_k(k, snapshot.ndocs, share=share) if target < 1 else everything
        return stored.params(k, snapshot.ndocs, target).among(share)

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
        encoder = _encoder_of(Path(source), model)
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

    def setting(self, name: str) -> Any:
        """What is kept in the index under that name (docs/index-format.md), or None."""
        with self._reading() as snapshot:
            return snapshot.settings.get(name)

    def stats(self) -> IndexStats:
        """Figures about the index: documents, tokens, bytes ..."""
        with self._reading() as snapshot:
            return stats(snapshot)

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

            def overlaps_of(rows: slice) -> list[float]:
                full = engine.scan_batch(snapshot, vectors[rows], k)
                found = engine.search_batch(snapshot, vectors[rows], k, params)
                return [_overlap(*pair) for pair in zip(full, found, strict=True)]

            everything = SearchParams(scan=True)
            together = engine.query_batches(snapshot, len(vectors), everything, threads=threads)
            overlaps = [share for some in map_threads(overlaps_of, together, threads) for share in some]
        mean = float(np.mean(overlaps)) if overlaps else 1.0
        return RecallReport(mean, k, len(overlaps), source)

    def _query_vectors(
        self, queries: Sequence[Any] | TokenEmbeddings, threads: int | None
    ) -> list[FloatArray]:
        if isinstance(queries, str):
            raise InvalidParameter("queries must be a list; for one query use search")
        if isinstance(queries, Sequence) and queries and all(isinstance(query, str) for query in queries):
            return list(self._require_encoder().encode_queries(queries, threads=threads))
        return list(self._given_vectors(queries, "queries"))


def _require_codec(level: str | None, nbits: int | None) -> str | None:
    """The level of the scaled codec; None for the residual codec."""
    if nbits is None:
        require_level(level or "balanced")
        return level or "balanced"
    if level is not None:
        raise InvalidParameter("give level= or nbits= (ColBERTv2's residual codec), not both")
    require_nbits(nbits)
    return None


def _as_encoder(model: str | Path | Encoder | None) -> Encoder:
    if model is None or isinstance(model, str | Path):
        return load_encoder(model)
    return model


def _encoder_of(folder: Path, model: str | Path | Encoder | None) -> Encoder | None:
    """The encoder that an index was made with, which may be damaged; None if it has none, or it is gone."""
    catalog = Catalog.open(folder)
    try:
        record = catalog.settings().get("encoder")
    finally:
        catalog.close()
    if record is None:
        return None if model is None else _as_encoder(model)
    try:
        encoder = _as_encoder(record["path"] if model is None else model)
    except CheckpointError:
        if model is not None:
            raise
        return None
    if encoder.fingerprint != record["fingerprint"]:
        if model is None:
            return None
        raise EncoderMismatch(f"{folder} was made with the encoder {record['name']!r}, not {encoder.name!r}")
    return encoder


def _encoder_record(encoder: Encoder | None, model: str | Path | Encoder | None) -> dict[str, Any] | None:
    if encoder is None:
        return None
    path = lasting_name(model) if isinstance(model, str | Path) else None
    return {"name": encoder.name, "fingerprint": encoder.fingerprint, "path": path}


def _bm25_record(bm25: bool | BM25) -> dict[str, Any]:
    if not isinstance(bm25, bool | BM25):
        raise InvalidParameter(f"bm25 must be True, False or a plait.BM25, not {bm25!r}")
    if bm25 is False:
        return {}
    return {"bm25": (BM25() if bm25 is True else bm25).as_json()}


def _bi_encoder_record(wanted: bool | int, encoder: Encoder | None, dim: int | None) -> dict[str, Any]:
    if wanted is False:
        return {}
    if encoder is not None and wanted is not True:
        raise InvalidParameter(f"bi_encoder must be True or False with an encoder, not {wanted!r}")
    width: Any = wanted
    if wanted is True:
        width = dim if encoder is None else getattr(encoder, "pooled_dim", encoder.dim)
    part = BiEncoderPart.from_json(BiEncoderPart(width).as_json())
    return {part.name: part.as_json()}


def _hits(snapshot: Snapshot, found: list[tuple[int, float]], texts: bool = True) -> list[Hit]:
    if not texts:
        keys = snapshot.ids_of(pid for pid, _ in found)
        return [Hit(rank, keys[pid], score) for rank, (pid, score) in enumerate(found, start=1)]
    documents = snapshot.documents(pid for pid, _ in found)
    return [
        Hit(rank, documents[pid].id, score, documents[pid].text, documents[pid].metadata)
        for rank, (pid, score) in enumerate(found, start=1)
    ]


def _overlap(full: list[tuple[int, float]], found: list[tuple[int, float]]) -> float:
    wanted = {pid for pid, _ in full}
    return len(wanted & {pid for pid, _ in found}) / max(1, len(wanted))
