"""The table of metadata that fast-plaid and next-plaid keep in an SQLite file, a row for each document."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from plait.errors import ForeignIndexError

TABLE, PLACE = "METADATA", "_subset_"
#: next-plaid may keep long columns in a table of their own.
CONTENT, CONTENT_ID = "METADATA_CONTENT", "_content_id_"


def read_metadata(path: Path, count: int) -> dict[int, dict[str, Any]]:
    """Place of a document -> its columns that hold something; nothing if there is no such file.

    Raises:
        ForeignIndexError: the file is damaged, or has rows for documents that are not there.
    """
    if not path.is_file():
        return {}
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as connection:
            rows = _rows(connection)
    except sqlite3.Error as error:
        raise ForeignIndexError(path, f"can't be read: {error}") from error
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        place = row.pop(PLACE, None)
        row.pop(CONTENT_ID, None)
        if not isinstance(place, int) or not 0 <= place < count or place in found:
            raise ForeignIndexError(
                path,
                f"has a row for the document {place!r}, but the index has the documents 0 to {count - 1}",
            )
        found[place] = {name: _plain(value) for name, value in row.items() if value is not None}
    return found


def _rows(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if TABLE not in tables:
        return []
    joined = f" LEFT JOIN {CONTENT} USING ({CONTENT_ID})" if CONTENT in tables else ""
    cursor = connection.execute(f"SELECT * FROM {TABLE}{joined} ORDER BY {PLACE}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not math.isfinite(value) else value
