"""An open index: what it holds is read, from one committed state at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from plait.encoder import Encoder, load_encoder
from plait.encoders import require_match
from plait.errors import DimensionMismatch, InvalidParameter, InvalidVectors, NoEncoder, UnknownId
from plait.inputs import as_ids
from plait.store import Current, IndexStats, Snapshot, stats
from plait.types import Document, FloatArray, TokenEmbeddings

Vectors = TokenEmbeddings | Sequence[npt.ArrayLike]
Filter = Mapping[str, Any]


class OpenIndex:
    """What ``plait.Index`` can do without changing or searching anything."""

    def __init__(self, path: Path, encoder: Encoder | None, auto_refresh: bool = True) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._encoder = encoder
        self._current = Current(path, auto_refresh)
        self._reading = self._current.reading
        with self._reading(newest=False) as snapshot:
            self._dim = snapshot.dim
            self._encoder_record = snapshot.settings.get("encoder")
            self._fields: dict[str, str] = snapshot.settings.get("fields") or {}

    def close(self) -> None:
        """Let go of the files. The index can't be used afterwards."""
        self._current.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def refresh(self) -> None:
        """See what other writers have committed since the index was opened or last refreshed."""
        self._current.refresh()

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

    # Reading ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        with self._reading() as snapshot:
            return snapshot.ndocs

    def __contains__(self, key: object) -> bool:
        with self._reading() as snapshot:
            return isinstance(key, str) and bool(snapshot.pids_of([key]))

    def __iter__(self) -> Iterator[Document]:
        """All documents in order of insertion, as they were when the iteration began."""
        return self.documents()

    def documents(self, *, filter: Filter | None = None) -> Iterator[Document]:
        """The documents that match a filter, in order of insertion, as they were when the iteration began;
        they are read some at a time.
        """
        with self._reading() as snapshot:
            yield from snapshot.all_documents(filter)

    def ids(self, *, filter: Filter | None = None) -> Iterator[str]:
        """The ids of the documents that match a filter, in order of insertion."""
        return (document.id for document in self.documents(filter=filter))

    def count(self, filter: Filter | None = None) -> int:
        """How many documents match a filter; all, if none is given."""
        with self._reading() as snapshot:
            return snapshot.ndocs if filter is None else snapshot.count(filter)

    @overload
    def get(self, key: str) -> Document | None: ...  # type: ignore[overload-overlap]  # a string is a list of strings
    @overload
    def get(self, key: Sequence[str]) -> list[Document | None]: ...
    def get(self, key: str | Sequence[str]) -> Document | list[Document | None] | None:
        """The document of an id, or None; of several ids, a list with an entry for each."""
        keys = as_ids(key)
        with self._reading() as snapshot:
            pids = snapshot.pids_of(keys)
            documents = snapshot.documents(pids.values())
        found = [documents.get(pids.get(one, -1)) for one in keys]
        return found[0] if isinstance(key, str) else found

    def vectors(self, ids: Sequence[str]) -> TokenEmbeddings:
        """The vectors of documents as stored: reconstructed, where they are compressed.

        Args:
            ids: which documents, in the order wanted.

        Raises:
            UnknownId: an id is not in the index.
        """
        keys = as_ids(ids)
        with self._reading() as snapshot:
            pids = snapshot.pids_of(keys)
            missing = [key for key in keys if key not in pids]
            if missing:
                raise UnknownId(f"{missing[0]!r} is not in the index")
            found: dict[int, FloatArray] = {}
            wanted = np.array(sorted(set(pids.values())), dtype=np.int64)
            for segment in snapshot.segments:
                inside, docs, _ = np.intersect1d(segment.pids, wanted, return_indices=True)
                alive = np.ones(len(docs), bool) if segment.alive is None else segment.alive[docs] != 0
                rows, offsets = segment.vectors(docs[alive].astype(np.uint32))
                for place, pid in enumerate(inside[alive].tolist()):
                    found[pid] = rows[offsets[place] : offsets[place + 1]]
            return TokenEmbeddings.from_list([found[pids[key]] for key in keys], snapshot.dim)

    def __repr__(self) -> str:
        return f"plait.Index({str(self._path)!r})"

    @property
    def path(self) -> Path:
        """The index's folder."""
        return self._path

    @property
    def fields(self) -> dict[str, str]:
        """The declared fields of the metadata, and the name of the type of each."""
        return dict(self._fields)

    def setting(self, name: str) -> Any:
        """What is kept in the index under that name (docs/index-format.md), or None."""
        with self._reading() as snapshot:
            return snapshot.settings.get(name)

    def stats(self) -> IndexStats:
        """Figures about the index: documents, tokens, bytes ..."""
        with self._reading() as snapshot:
            return stats(snapshot)

    # Inputs ----------------------------------------------------------------------------------

    @property
    def encoder(self) -> Encoder | None:
        """The encoder of the index, loaded at first use; None for an index of vectors."""
        with self._lock, self._reading(newest=False):
            record = self._encoder_record
            if self._encoder is None and record is not None:
                self._encoder = self._require_match(load_encoder(record["path"]))
            return self._encoder

    def _require_encoder(self) -> Encoder:
        encoder = self.encoder
        if encoder is None:
            with self._reading(newest=False) as snapshot:
                origin = snapshot.settings.get("imported") or {}
            made = (
                f" by {origin.get('checkpoint') or 'its checkpoint'}, of {origin['tool']}" if origin else ""
            )
            raise NoEncoder(
                f"{self._path} was made for vectors{made} (dim=...): give vectors, not text, or open it with "
                f"model=, the checkpoint that they came from"
            )
        return encoder

    def _require_match(self, encoder: Encoder) -> Encoder:
        return require_match(self._path, self._encoder_record, self._dim, encoder)

    def _given_vectors(self, vectors: Vectors, what: str) -> TokenEmbeddings:
        if not isinstance(vectors, TokenEmbeddings):
            vectors = TokenEmbeddings.from_list(vectors, self._dim)
        if vectors.dim != self._dim:
            raise DimensionMismatch(expected=self._dim, given=vectors.dim, what=what)
        vectors.require_finite(what)
        if len(vectors) and not vectors.doclens.all():
            raise InvalidVectors(f"{what}[{int(np.argmin(vectors.doclens))}] has no vectors")
        return vectors

    def _query_vectors(
        self, queries: Sequence[Any] | TokenEmbeddings, threads: int | None
    ) -> list[FloatArray]:
        if isinstance(queries, str):
            raise InvalidParameter("queries must be a list; for one query use search")
        if isinstance(queries, Sequence) and queries and all(isinstance(query, str) for query in queries):
            return list(self._require_encoder().encode_queries(queries, threads=threads))
        return list(self._given_vectors(queries, "queries"))
