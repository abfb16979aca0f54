"""The catalog, to be changed: its transaction is the commit point of an index."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from plait.errors import DuplicateId, StoreError
from plait.store import lock
from plait.store.catalog import Catalog, in_parts
from plait.store.format import FORMAT_VERSION
from plait.types import Document


class CatalogWriter(Catalog):
    """A catalog that can be changed: everything here but ``shrink`` belongs into a ``transaction``."""

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

    def set_setting(self, key: str, value: Any) -> None:
        """Keep a value that JSON can hold."""
        self._connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, json.dumps(value)))

    def renew(self) -> None:
        """Say that the index is of the newest format version; older plaits refuse it then."""
        self._connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        self.format_version = FORMAT_VERSION

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
        for part in in_parts(pids):
            marks = ",".join("?" * len(part))
            self._connection.execute(f"DELETE FROM document WHERE pid IN ({marks})", part)
            self._connection.executemany("INSERT INTO tombstone VALUES (?)", [(pid,) for pid in part])

    def forget_tombstones(self, pids: Iterable[int]) -> None:
        """Drop tombstones of documents that are in no segment any more."""
        for part in in_parts(pids):
            marks = ",".join("?" * len(part))
            self._connection.execute(f"DELETE FROM tombstone WHERE pid IN ({marks})", part)

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


def _metadata_text(record: Mapping[str, Any]) -> str | None:
    return json.dumps(record, ensure_ascii=False) if record else None
