"""Connections to the catalog: for writing, for reading beside writers, and from read-only media."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from plait.errors import IndexCorrupt

#: Seconds that SQLite itself waits for the short locks it takes to open and to tidy up.
BUSY_TIMEOUT = 30.0


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
        except sqlite3.OperationalError:
            pass  # the permission is there, and the medium is read-only all the same
    try:
        return _open(f"{uri}?mode=ro"), True
    except sqlite3.OperationalError:
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise IndexCorrupt(
                log,
                "holds commits that can't be read without permission to write beside it; "
                "open the index once with that permission, or copy the folder to where you have it",
            ) from None
        return _open(f"{uri}?mode=ro&immutable=1"), True


def _open(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
