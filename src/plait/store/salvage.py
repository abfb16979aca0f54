"""Documents of a damaged catalog, as far as they can be read."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from plait.types import Document


def readable_documents(connection: sqlite3.Connection, path: Path) -> tuple[dict[int, Document], list[str]]:
    """Live documents as far as SQLite can read them, by pid, ascending; and what it could not read.

    From the first on, and from the last back, so that one broken page costs what is on it.
    """
    found: dict[int, Document] = {}
    ids: set[str] = set()
    damage: list[str] = []
    for order in ("ASC", "DESC"):
        query = f"SELECT pid, id, text, metadata FROM document ORDER BY pid {order}"
        try:
            for pid, key, text, metadata in connection.execute(query):
                if pid in found:
                    continue
                document, fault = _as_found(key, text, metadata)
                if fault or key in ids:
                    damage.append(f"{path}: pid {pid}: {fault or f'the id {key!r} is used twice'}")
                if document and key not in ids:
                    found[pid] = document
                    ids.add(key)
            break
        except sqlite3.DatabaseError as error:
            damage.append(f"{path}: {error}")
    return dict(sorted(found.items())), damage


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
