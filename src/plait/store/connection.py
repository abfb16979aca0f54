"""Connections to the catalog: for writing, for reading beside writers, and from read-only media."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from plait.errors import IndexCorrupt, StoreError

#: Seconds that SQLite itself waits for the short locks it takes to open and to tidy up.
BUSY_TIMEOUT = 30.0
#: What SQLite says where it can't make its side files.
NOT_WRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
#: What it says when the system refuses, whatever is in the file.
UNREADABLE = (
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_PERM,
    *NOT_WRITABLE,
)


def connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection, and whether it is for reading only.

    Three ways are tried. Reading and writing. Reading only, beside others who write: it needs SQLite's side
    files, which a user without permission to write in the folder can't make. Reading a file that nobody
    changes: read-only media, where the side files are not needed. The last one would not see commits that
    are still in the write-ahead log, so a log that can't be read is an error.

    Raises:
        sqlite3.DatabaseError: this is no database, or can't be read.
        IndexCorrupt: there are commits in a log that can't be read here.
    """
    uri = path.resolve().as_uri()
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        try:
            return _open(f"{uri}?mode=rw"), False
        except sqlite3.OperationalError as error:
            if not _is(error, *NOT_WRITABLE):
                raise
            # the permission is there, and the medium is read-only all the same
    try:
        return _open(f"{uri}?mode=ro"), True
    except sqlite3.OperationalError as error:
        if not _is(error, *NOT_WRITABLE):
            raise
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise IndexCorrupt(
                log,
                "holds commits that can't be read without permission to write beside it; "
                "open the index once with that permission, or copy the folder to where you have it",
            ) from None
        return _open(f"{uri}?mode=ro&immutable=1"), True


def read_error(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    """What to raise for SQLite's error: whether the catalog is damaged, or the system could not read it."""
    if isinstance(error, sqlite3.Error) and _is(error, *UNREADABLE):
        return StoreError(f"{path} can't be read: {error}")
    return IndexCorrupt(path, str(error))


def _is(error: sqlite3.Error, *codes: int) -> bool:
    """Whether an error is of one of SQLite's primary kinds."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF in codes


def _open(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        # As SQLite advises for files that may be damaged, or that somebody made who means harm.
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
