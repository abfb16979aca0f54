"""The facade: text in, hits out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from plait import search as engine
from plait.analysis import BM25
from plait.encoder import Encoder
from plait.encoders import as_encoder
from plait.errors import (
    DimensionMismatch,
    IndexAlreadyExists,
    InvalidParameter,
    InvalidVectors,
    NonFiniteVectors,
    PartMissing,
)
from plait.inputs import as_ids, as_k
from plait.opened import Filter, Vectors
from plait.search import SearchParams, params_for
from plait.settings import new_settings
from plait.store import Snapshot, create_catalog
from plait.store.bi_encoder import BiEncoderPart
from plait.store.bm25 import BM25Part
from plait.threads import map_threads
from plait.types import FloatArray, Hit, Progress
from plait.upkeep import MaintainedIndex


class Index(MaintainedIndex):
    """A late-interaction index in one folder.

    Made by ``Index.create`` or ``Index.open``. Searching is safe from several threads; each search
    sees one committed state. A context manager: ``with plait.Index.open(path) as index``.
    """

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
        encoder, settings = new_settings(
            model,
            dim=dim,
            level=level,
            nbits=nbits,
            seed=seed,
            fields=fields,
            bm25=bm25,
            bi_encoder=bi_encoder,
        )
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise IndexAlreadyExists(f"{path} exists already; open it, or choose another folder")
        path.mkdir(parents=True, exist_ok=True)
        create_catalog(path, settings)
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
                index._encoder = index._require_match(as_encoder(model))
            except BaseException:
                index.close()
                raise
        return index

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
            allowed = _allowed_pids(snapshot, ids, filter)
            params = params_for(snapshot, k, params, recall_target, allowed)
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
            allowed = _allowed_pids(snapshot, ids, filter)
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
                    f"{self._path} was made without a bi-encoder's vectors: index.add_bi_encoder() or "
                    f"`plait compact --bi-encoder` adds them"
                )
            vector = self._single_vector(query, part)
            allowed = _allowed_pids(snapshot, ids, filter)
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
            allowed = _allowed_pids(snapshot, ids, filter)
            params = params_for(snapshot, k, params, recall_target, allowed)
            together = engine.query_batches(snapshot, len(vectors), params, allowed=allowed, threads=threads)

            def answer(rows: slice) -> list[list[Hit]]:
                found = engine.search_batch(snapshot, vectors[rows], k, params, allowed=allowed)
                return [_hits(snapshot, one) for one in found]

            def report(done: int) -> None:
                if progress:
                    progress("search", together[done - 1].stop, len(vectors))

            return [hits for some in map_threads(answer, together, threads, report) for hits in some]


def _allowed_pids(
    snapshot: Snapshot, ids: Iterable[str] | None, filter: Filter | None
) -> npt.NDArray[np.int64] | None:
    """i64, ascending: the documents that a search may find; None for all."""
    if ids is None:
        return None if filter is None else snapshot.matching(filter)
    if isinstance(ids, str):
        raise InvalidParameter("ids must be a list of ids, not one string")
    listed = np.array(sorted(set(snapshot.pids_of(set(ids)).values())), dtype=np.int64)
    if filter is None:
        return listed
    return np.intersect1d(listed, snapshot.matching(filter), assume_unique=True)


def _hits(snapshot: Snapshot, found: list[tuple[int, float]], texts: bool = True) -> list[Hit]:
    if not texts:
        keys = snapshot.ids_of(pid for pid, _ in found)
        return [Hit(rank, keys[pid], score) for rank, (pid, score) in enumerate(found, start=1)]
    documents = snapshot.documents(pid for pid, _ in found)
    return [
        Hit(rank, documents[pid].id, score, documents[pid].text, documents[pid].metadata)
        for rank, (pid, score) in enumerate(found, start=1)
    ]
