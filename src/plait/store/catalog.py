"""The catalog: one SQLite file that says which documents, segments and codecs an index has."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from plait.errors import IndexCorrupt, InvalidFilter
from plait.store.catalog_file import copy_catalog, open_catalog
from plait.store.conditions import ALWAYS, Condition, condition_of, register, undeclared
from plait.store.connection import read_error
from plait.store.filters import parse_filter, require_types
from plait.store.format import catalog_path
from plait.store.rows import CodecRow, Rows, SegmentRow
from plait.store.salvage import readable_documents
from plait.types import Document

#: Ids looked up in one statement.
IDS_PER_QUERY = 500
#: A catalog of up to so many bytes is checked by SQLite when it is opened.
CHECKED_BYTES = 1 << 20


class Catalog:
    """A connection to the catalog of one index, to read. Not shared between threads without a lock."""

    def __init__(
        self, folder: Path, connection: sqlite3.Connection, read_only: bool, format_version: int
    ) -> None:
        self.folder = folder
        self.read_only = read_only
        self.format_version = format_version
        self.path = catalog_path(folder)
        self._connection = connection
        self._rows_as = Rows(self.path)
        register(connection)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Connect, checking that this is an index of a version that can be read.

        Raises:
            IndexNotFound, IndexTooNew, IndexCorrupt.
        """
        return cls(folder, *open_catalog(folder))

    def close(self) -> None:
        """Close the connection, ending its snapshot or transaction."""
        self._connection.close()

    def version(self) -> tuple[int, ...] | None:
        """Numbers that differ from earlier ones if anybody committed in between; a few microseconds.

        SQLite's ``data_version`` changes with every commit of another connection, unless this one is pinned.
        The number of the file tells whether another index was put in its place. A catalog that is read as a
        file that nobody changes is known by its times and sizes. None if the file is gone.
        """
        with self.reading():
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        try:
            file = self.path.stat()
        except FileNotFoundError:
            return None
        if not self.read_only:
            return version, file.st_ino
        log = self.path.with_name(self.path.name + "-wal")
        files = [file, log.stat()] if log.exists() else [file]
        return version, *(number for it in files for number in (it.st_ino, it.st_size, it.st_mtime_ns))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn SQLite's errors into plait's."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise read_error(self.path, error) from error

    def pin(self) -> None:
        """Begin a read transaction: everything read from now on is of one moment."""
        with self.reading():
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT count(*) FROM setting").fetchone()

    # Reading ---------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """What was fixed when the index was made: dim, nbits, seed, encoder."""
        with self.reading():
            rows = self._connection.execute("SELECT key, value FROM setting").fetchall()
        return {key: self._rows_as.json(value, f"the setting {key}") for key, value in rows}

    def codecs(self) -> list[CodecRow]:
        """All codecs, oldest first."""
        names = "codec, kind, nbits, ncentroids, trained_for, checksums"
        return [self._rows_as.codec(*row) for row in self._rows("codec", names)]

    def segments(self) -> list[SegmentRow]:
        """The live segments, oldest first."""
        names = "segment, codec, ndocs, ntokens, checksums"
        return [self._rows_as.segment(*row) for row in self._rows("segment", names)]

    def _rows(self, table: str, names: str) -> list[tuple[Any, ...]]:
        with self.reading():
            return self._connection.execute(f"SELECT {names} FROM {table} ORDER BY 1").fetchall()

    def tombstones(self) -> list[int]:
        """pids of deleted documents whose tokens are still in a segment, ascending."""
        return [
            self._rows_as.number(row[0], "the pid of a tombstone") for row in self._rows("tombstone", "pid")
        ]

    def ndocs(self) -> int:
        """Live documents."""
        with self.reading():
            return int(self._connection.execute("SELECT count(*) FROM document").fetchone()[0])

    def documents(self, pids: Iterable[int]) -> dict[int, Document]:
        """The live ones among these pids."""
        found = {}
        with self.reading():
            for part in in_parts(pids):
                marks = ",".join("?" * len(part))
                query = f"SELECT pid, id, text, metadata FROM document WHERE pid IN ({marks})"
                for pid, key, text, metadata in self._connection.execute(query, part):
                    found[pid] = self._rows_as.document(pid, key, text, metadata)
        return found

    def ids_of(self, pids: Iterable[int]) -> dict[int, str]:
        """pid -> id of the live ones among these pids."""
        found = {}
        with self.reading():
            for part in in_parts(pids):
                marks = ",".join("?" * len(part))
                query = f"SELECT pid, id FROM document WHERE pid IN ({marks})"
                for pid, key in self._connection.execute(query, part):
                    found[pid] = self._rows_as.text(key, f"the id of the document with the pid {pid}")
        return found

    def next_pid(self) -> int:
        """The pid that the next document will get: larger than any there ever was."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'document'").fetchone()
        return self._rows_as.number(row[0], "the largest pid") + 1 if row else 1

    # Filters ---------------------------------------------------------------------------------

    def condition(self, given: Mapping[str, Any]) -> Condition:
        """A filter as SQL.

        Raises:
            InvalidFilter: it is malformed, compares a declared field with what it can't hold, or tests a
                field that is not declared and that no document has.
        """
        fields = self.settings().get("fields", {})
        node = parse_filter(given)
        require_types(node, fields)
        for leaf, present in undeclared(node, fields):
            if not self._any(present) and self._any(ALWAYS):
                known = f"; declared are {', '.join(fields)}" if fields else ""
                raise InvalidFilter(leaf.where, f"tests a field that no document has{known}")
        return condition_of(node, fields)

    def _any(self, condition: Condition) -> bool:
        query = f"SELECT 1 FROM document WHERE {condition.sql} LIMIT 1"
        with self.reading():
            return self._connection.execute(query, condition.parameters).fetchone() is not None

    def pids_where(self, condition: Condition) -> npt.NDArray[np.int64]:
        """i64, ascending: the live documents that match."""
        query = f"SELECT pid FROM document WHERE {condition.sql}"
        with self.reading():
            rows = self._connection.execute(query, condition.parameters)
            return np.sort(np.fromiter((row[0] for row in rows), dtype=np.int64))

    def count_where(self, condition: Condition) -> int:
        """How many live documents match."""
        query = f"SELECT count(*) FROM document WHERE {condition.sql}"
        with self.reading():
            return int(self._connection.execute(query, condition.parameters).fetchone()[0])

    def page(self, after: int, size: int, condition: Condition) -> dict[int, Document]:
        """pid -> document: the first ``size`` that match among those with a larger pid, in order."""
        query = (
            f"SELECT pid, id, text, metadata FROM document "
            f"WHERE pid > ? AND ({condition.sql}) ORDER BY pid LIMIT ?"
        )
        with self.reading():
            rows = self._connection.execute(query, (after, *condition.parameters, size)).fetchall()
            return {row[0]: self._rows_as.document(*row) for row in rows}

    def pids_of(self, ids: Iterable[str]) -> dict[str, int]:
        """id -> pid of the live ones among these ids."""
        found: dict[str, int] = {}
        with self.reading():
            for part in in_parts(ids):
                marks = ",".join("?" * len(part))
                found.update(
                    self._connection.execute(f"SELECT id, pid FROM document WHERE id IN ({marks})", part)
                )
        return found

    # The whole file --------------------------------------------------------------------------

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with its file."""
        with self.reading():
            rows = self._connection.execute("PRAGMA integrity_check(20)").fetchall()
        lines = [line for (text,) in rows for line in str(text).splitlines() if line != "ok"]
        found = [line for line in lines if not line.startswith("*** in database")]
        # Pages that a broken one pointed at are told of one by one.
        return [line for line in found if not line.endswith("is never used")] or found

    def require_sound_if_small(self) -> None:
        """Let SQLite check a catalog of up to ``CHECKED_BYTES``, which takes a few milliseconds.

        Raises:
            IndexCorrupt: its pages or indexes are damaged.
        """
        with self.reading():
            pages, size = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "page_size")
            )
        if pages * size <= CHECKED_BYTES and (found := self.integrity()):
            raise IndexCorrupt(self.path, found[0])

    def pids(self) -> npt.NDArray[np.int64]:
        """i64 ``[ndocs]``: of all live documents, ascending."""
        with self.reading():
            cursor = self._connection.execute("SELECT pid FROM document ORDER BY pid")
            return np.fromiter((row[0] for row in cursor), dtype=np.int64)

    def ids_with_broken_metadata(self, most: int) -> list[str]:
        """Some documents whose metadata is not a JSON object."""
        query = (
            "SELECT id FROM document WHERE metadata IS NOT NULL "
            "AND CASE WHEN json_valid(metadata) THEN json_type(metadata) <> 'object' ELSE 1 END LIMIT ?"
        )
        with self.reading():
            return [row[0] for row in self._connection.execute(query, (most,))]

    def readable_documents(self) -> tuple[dict[int, Document], list[str]]:
        """Live documents of a damaged catalog; see ``salvage.readable_documents``."""
        return readable_documents(self._connection, self.path)

    def copy_to(self, folder: Path) -> None:
        """Write a copy into another folder; see ``copy_catalog``."""
        copy_catalog(self._connection, folder)


def in_parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    """As many values at a time as one statement takes."""
    everything = list(values)
    for start in range(0, len(everything), IDS_PER_QUERY):
        yield everything[start : start + IDS_PER_QUERY]
