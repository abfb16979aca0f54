"""The catalog: one SQLite file whose transaction is the commit point of an index."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait.errors import (
    DuplicateId,
    IndexCorrupt,
    IndexNotFound,
    IndexTooNew,
    InvalidFilter,
    StoreError,
)
from plait.store import lock
from plait.store.conditions import ALWAYS, Condition, condition_of, index_expression, register, undeclared
from plait.store.connection import connect, read_error
from plait.store.filters import parse_filter, require_types
from plait.store.format import (
    APPLICATION_ID,
    FORMAT_VERSION,
    catalog_path,
    sync_file,
    sync_folder,
    unfinished_path,
)
from plait.store.rows import CodecRow, Rows, SegmentRow
from plait.types import Document

#: Ids looked up in one statement.
IDS_PER_QUERY = 500
#: A catalog of up to so many bytes is checked by SQLite when it is opened.
CHECKED_BYTES = 1 << 20

SCHEMA = """
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE codec (
    codec INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    nbits INTEGER,
    ncentroids INTEGER,
    trained_for INTEGER NOT NULL,
    checksums TEXT NOT NULL
);
CREATE TABLE segment (
    segment INTEGER PRIMARY KEY AUTOINCREMENT,
    codec INTEGER NOT NULL REFERENCES codec,
    ndocs INTEGER NOT NULL,
    ntokens INTEGER NOT NULL,
    checksums TEXT NOT NULL
);
CREATE TABLE document (
    pid INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    text TEXT,
    metadata TEXT
);
CREATE TABLE tombstone (pid INTEGER PRIMARY KEY);
"""


class Catalog:
    """A connection to the catalog of one index. Not shared between threads without a lock."""

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
    def create(cls, folder: Path, settings: dict[str, Any]) -> None:
        """Make the catalog of a new index, flushed with its folder; there is no index before it is whole.

        Each declared field that has an order gets an index of SQLite's.

        Raises:
            StoreError: the system refused.
        """
        path = catalog_path(folder)
        try:
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                cls._fill(connection, settings)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreError(f"{path} can't be made: {error}") from error
        for made in (folder, folder.parent):
            sync_folder(made)

    @staticmethod
    def _fill(connection: sqlite3.Connection, settings: dict[str, Any]) -> None:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript("BEGIN IMMEDIATE;" + SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        values = [(key, json.dumps(value)) for key, value in settings.items()]
        connection.executemany("INSERT INTO setting VALUES (?, ?)", values)
        for number, (name, kind) in enumerate(settings.get("fields", {}).items(), start=1):
            if kind != "list":
                connection.execute(f"CREATE INDEX field_{number} ON document ({index_expression(name)})")
        connection.execute("COMMIT")

    @classmethod
    def open(cls, folder: Path) -> Catalog:
        """Connect, checking that this is an index of a version that can be read.

        Raises:
            IndexNotFound, IndexTooNew, IndexCorrupt.
        """
        path = catalog_path(folder)
        if not path.is_file():
            what = "is not a plait index" if folder.exists() else "does not exist"
            raise IndexNotFound(f"{folder} {what}: there is no {path.name} in it")
        try:
            connection, read_only = connect(path)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            things = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise read_error(path, error) from error
        if application != APPLICATION_ID:
            connection.close()
            what = "another program's database" if things else "empty, as if making it was cut short"
            raise IndexNotFound(f"{folder} is not a plait index: {path.name} is {what}")
        if version < 1:
            connection.close()
            raise IndexCorrupt(path, f"has the format version {version}")
        if version > FORMAT_VERSION:
            connection.close()
            raise IndexTooNew(
                f"{folder} has format version {version}; this plait reads up to {FORMAT_VERSION}: "
                f"install a newer plait"
            )
        if strange := [name for kind, name, sql in things if not _is_plain(kind, sql)]:
            connection.close()
            raise IndexCorrupt(path, f"holds {strange[0]!r}, which is not a table or an index of one")
        return cls(folder, connection, read_only, version)

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

    @contextmanager
    def transaction(self, timeout: float | None = None, doing: str = "writing") -> Iterator[None]:
        """One write transaction: all of it becomes visible at its end, or nothing.

        Args:
            timeout: seconds to wait for another writer; None for ``lock.LOCK_TIMEOUT``.
            doing: what is being done, for a writer that waits for this one.

        Raises:
            IndexLocked: another writer did not finish in time.
        """
        if self.read_only:
            raise StoreError(f"{self.folder} can't be written to: read-only, or no permission")
        lock.begin(self._connection, self.folder, timeout)
        try:
            with lock.named(self.folder, doing):
                yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"writing {self.path} failed, nothing was changed: {error}") from error
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Part of a transaction: if the block raises, what it did is undone, and the rest is kept."""
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO part")
                self._connection.execute("RELEASE part")
            raise
        self._connection.execute("RELEASE part")

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
            for part in _parts(pids):
                marks = ",".join("?" * len(part))
                query = f"SELECT pid, id, text, metadata FROM document WHERE pid IN ({marks})"
                for pid, key, text, metadata in self._connection.execute(query, part):
                    found[pid] = self._rows_as.document(pid, key, text, metadata)
        return found

    def ids_of(self, pids: Iterable[int]) -> dict[int, str]:
        """pid -> id of the live ones among these pids."""
        found = {}
        with self.reading():
            for part in _parts(pids):
                marks = ",".join("?" * len(part))
                query = f"SELECT pid, id FROM document WHERE pid IN ({marks})"
                for pid, key in self._connection.execute(query, part):
                    found[pid] = self._rows_as.text(key, f"the id of the document with the pid {pid}")
        return found

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
            for part in _parts(ids):
                marks = ",".join("?" * len(part))
                found.update(
                    self._connection.execute(f"SELECT id, pid FROM document WHERE id IN ({marks})", part)
                )
        return found

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with its file."""
        with self.reading():
            rows = self._connection.execute("PRAGMA integrity_check(20)").fetchall()
        return [str(text) for (text,) in rows if text != "ok"]

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
        """Live documents as far as SQLite can read them, by pid, ascending; and what it could not read.

        From the first on, and from the last back, so that one broken page costs what is on it.
        """
        found: dict[int, Document] = {}
        ids: set[str] = set()
        damage: list[str] = []
        for order in ("ASC", "DESC"):
            query = f"SELECT pid, id, text, metadata FROM document ORDER BY pid {order}"
            try:
                for pid, key, text, metadata in self._connection.execute(query):
                    if pid in found:
                        continue
                    document, fault = _as_found(key, text, metadata)
                    if fault or key in ids:
                        damage.append(f"{self.path}: pid {pid}: {fault or f'the id {key!r} is used twice'}")
                    if document and key not in ids:
                        found[pid] = document
                        ids.add(key)
                break
            except sqlite3.DatabaseError as error:
                damage.append(f"{self.path}: {error}")
        return dict(sorted(found.items())), damage

    def copy_to(self, folder: Path) -> None:
        """Write a copy into another folder; it has its name once it is whole and on the disk.

        Inside a read transaction the copy is of its moment, whatever others commit meanwhile.
        """
        path = catalog_path(folder)
        unfinished = unfinished_path(path)
        try:
            copy = sqlite3.connect(unfinished, isolation_level=None)
            try:
                copy.execute("PRAGMA synchronous = FULL")
                self._connection.backup(copy)
            finally:
                copy.close()
        except sqlite3.Error as error:
            raise StoreError(f"{path} can't be written: {error}") from error
        sync_file(unfinished)
        unfinished.replace(path)
        sync_folder(folder)

    def shrink(self) -> None:
        """Write the file anew without the room that deleted rows left; readers keep what they see.

        The room is free when the last of them closes.

        Not inside a transaction. Passed over while somebody else writes: it is no loss.

        Raises:
            StoreError: the system refused, a full disk for example; nothing was changed.
        """
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise StoreError(f"{self.path} could not be made smaller: {error}") from error

    # Writing, inside a transaction -----------------------------------------------------------

    def set_setting(self, key: str, value: Any) -> None:
        """Keep a value that JSON can hold."""
        self._connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, json.dumps(value)))

    def renew(self) -> None:
        """Say that the index is of the newest format version; older plaits refuse it then."""
        self._connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        self.format_version = FORMAT_VERSION

    def next_pid(self) -> int:
        """The pid that the next document will get: larger than any there ever was."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'document'").fetchone()
        return self._rows_as.number(row[0], "the largest pid") + 1 if row else 1

    def add_codec(self, kind: str, nbits: int | None, ncentroids: int | None, trained_for: int) -> int:
        """Register a codec; its number names its folder."""
        cursor = self._connection.execute(
            "INSERT INTO codec (kind, nbits, ncentroids, trained_for, checksums) VALUES (?, ?, ?, ?, '{}')",
            (kind, nbits, ncentroids, trained_for),
        )
        return int(cursor.lastrowid or 0)

    def add_segment(self, codec: int) -> int:
        """Register an empty segment; its number names its folder."""
        cursor = self._connection.execute(
            "INSERT INTO segment (codec, ndocs, ntokens, checksums) VALUES (?, 0, 0, '{}')", (codec,)
        )
        return int(cursor.lastrowid or 0)

    def set_segment(self, segment: int, ndocs: int, ntokens: int, checksums: dict[str, int]) -> None:
        """Record what a segment holds, and the CRC-32 of each of its arrays."""
        self._connection.execute(
            "UPDATE segment SET ndocs = ?, ntokens = ? WHERE segment = ?", (ndocs, ntokens, segment)
        )
        self.set_checksums("segment", segment, checksums)

    def set_checksums(self, table: str, number: int, checksums: dict[str, int]) -> None:
        """Record the CRC-32 of each array of a "codec" or "segment"."""
        self._connection.execute(
            f"UPDATE {table} SET checksums = ? WHERE {table} = ?", (json.dumps(checksums), number)
        )

    def remove_segment(self, segment: int) -> None:
        """Take a segment out of the list; its files stay until they are swept."""
        self._connection.execute("DELETE FROM segment WHERE segment = ?", (segment,))

    def remove_codec(self, codec: int) -> None:
        """Take a codec out of the list; its files stay until they are swept."""
        self._connection.execute("DELETE FROM codec WHERE codec = ?", (codec,))

    def add_documents(self, first_pid: int, documents: Iterable[Document]) -> None:
        """Insert documents with consecutive pids.

        Raises:
            DuplicateId: one of the ids is there already.
        """
        rows = (
            (pid, doc.id, doc.text, _metadata_text(doc.metadata))
            for pid, doc in enumerate(documents, start=first_pid)
        )
        try:
            self._connection.executemany("INSERT INTO document VALUES (?, ?, ?, ?)", rows)
        except sqlite3.IntegrityError as error:
            raise DuplicateId(f"an id is in the index already ({error}); nothing was added") from error

    def set_metadata(self, records: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Replace the metadata of documents, by pid."""
        rows = ((_metadata_text(record), pid) for pid, record in records)
        self._connection.executemany("UPDATE document SET metadata = ? WHERE pid = ?", rows)

    def delete_documents(self, pids: Iterable[int]) -> None:
        """Remove the rows and leave tombstones."""
        for part in _parts(pids):
            marks = ",".join("?" * len(part))
            self._connection.execute(f"DELETE FROM document WHERE pid IN ({marks})", part)
            self._connection.executemany("INSERT INTO tombstone VALUES (?)", [(pid,) for pid in part])

    def forget_tombstones(self, pids: Iterable[int]) -> None:
        """Drop tombstones of documents that are in no segment any more."""
        for part in _parts(pids):
            marks = ",".join("?" * len(part))
            self._connection.execute(f"DELETE FROM tombstone WHERE pid IN ({marks})", part)


def _is_plain(kind: Any, sql: Any) -> bool:
    """Views, triggers and virtual tables run what somebody else wrote, and perhaps for ever."""
    if kind not in ("table", "index"):
        return False
    return sql is None or (isinstance(sql, str) and re.match(r"\s*CREATE\s+VIRTUAL\b", sql, re.I) is None)


def _metadata_text(record: Mapping[str, Any]) -> str | None:
    return json.dumps(record, ensure_ascii=False) if record else None


def _as_found(key: Any, text: Any, metadata: Any) -> tuple[Document | None, str | None]:
    """A document of a damaged catalog, if it has an id, and what is wrong with it."""
    if not isinstance(key, str) or not key:
        return None, f"the id is {key!r}"
    fault = None
    try:
        record = json.loads(metadata) if metadata else {}
    except (ValueError, TypeError):
        record = None
    if not isinstance(record, dict):
        record, fault = {}, f"the metadata of the document {key!r} is lost"
    if not isinstance(text, str | None):
        text, fault = None, f"the text of the document {key!r} is lost"
    return Document(key, text, record), fault


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    everything = list(values)
    for start in range(0, len(everything), IDS_PER_QUERY):
        yield everything[start : start + IDS_PER_QUERY]
