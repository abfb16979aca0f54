"""The file of a catalog: made, opened, copied."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

from plait.errors import IndexCorrupt, IndexNotFound, IndexTooNew, StoreError
from plait.store.conditions import index_expression
from plait.store.connection import connect, read_error
from plait.store.format import (
    APPLICATION_ID,
    FORMAT_VERSION,
    catalog_path,
    sync_file,
    sync_folder,
    unfinished_path,
)

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


def create_catalog(folder: Path, settings: dict[str, Any]) -> None:
    """Make the catalog of a new index, flushed with its folder; there is no index before it is whole.

    Each declared field that has an order gets an index of SQLite's.

    Raises:
        StoreError: the system refused.
    """
    path = catalog_path(folder)
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            _fill(connection, settings)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"{path} can't be made: {error}") from error
    for made in (folder, folder.parent):
        sync_folder(made)


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


def open_catalog(folder: Path) -> tuple[sqlite3.Connection, bool, int]:
    """A connection, whether it is for reading only, and the version of the format, which can be read.

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
    return connection, read_only, version


def copy_catalog(connection: sqlite3.Connection, folder: Path) -> None:
    """Write a copy into another folder; it has its name once it is whole and on the disk.

    Inside a read transaction the copy is of its moment, whatever others commit meanwhile.
    """
    path = catalog_path(folder)
    unfinished = unfinished_path(path)
    try:
        copy = sqlite3.connect(unfinished, isolation_level=None)
        try:
            copy.execute("PRAGMA synchronous = FULL")
            connection.backup(copy)
        finally:
            copy.close()
    except sqlite3.Error as error:
        raise StoreError(f"{path} can't be written: {error}") from error
    sync_file(unfinished)
    unfinished.replace(path)
    sync_folder(folder)


def _is_plain(kind: Any, sql: Any) -> bool:
    """Views, triggers and virtual tables run what somebody else wrote, and perhaps for ever."""
    if kind not in ("table", "index"):
        return False
    return sql is None or (isinstance(sql, str) and re.match(r"\s*CREATE\s+VIRTUAL\b", sql, re.I) is None)
