"""Indexes of PyLate: one of fast-plaid (in older versions of colbert-ai's layout), and maps of ids."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from plait.errors import ForeignIndexError
from plait.importers import colbert_ai, fast_plaid
from plait.importers.foreign import ForeignIndex
from plait.importers.plain_pickle import plain_value, read_plain_pickle
from plait.types import Document

#: Place in the index -> id; a pickle, or in older versions an SQLite table of pickles.
IDS = ("plaid_ids_to_documents_ids.pkl", "plaid_ids_to_documents_ids.sqlite")
INSIDE = "fast_plaid_index"


def recognise(folder: Path) -> bool:
    """Whether the folder looks like such an index."""
    return any((folder / name).exists() for name in IDS) or (folder / INSIDE).is_dir()


def read(folder: Path) -> ForeignIndex:
    """Open an index; its documents are called as PyLate's caller did.

    Of documents that were added twice under one id, PyLate finds both; the later one is taken.
    """
    inside = folder / INSIDE
    opened = fast_plaid.read(inside) if inside.is_dir() else colbert_ai.read(folder)
    path = folder / IDS[1 if (folder / IDS[1]).exists() and not (folder / IDS[0]).exists() else 0]
    names = _names(
        path, read_plain_pickle(path) if path.suffix == ".pkl" else _table(path), len(opened.doclens)
    )
    latest = {name: place for place, name in sorted(names.items())}
    documents: list[Document | None] = [None] * len(opened.doclens)
    for name, place in latest.items():
        documents[place] = replace(opened.documents[place] or Document(name), id=name)
    notes = list(opened.notes)
    if len(latest) < len(names):
        notes.append(
            f"{len(names) - len(latest)} documents were added again later under the same id: left out"
        )
    return replace(opened, tool="PyLate", documents=documents, notes=notes)


def _names(path: Path, values: Any, count: int) -> dict[int, str]:
    if not isinstance(values, dict):
        raise ForeignIndexError(path, f"must hold a dict, not {type(values).__name__}")
    names = {}
    for place, name in values.items():
        if type(place) is not int or not 0 <= place < count:
            raise ForeignIndexError(path, f"names the document {place!r}, but the index has {count}")
        if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            raise ForeignIndexError(path, f"the id of the document {place} is {name!r}")
        names[place] = str(name)
    return names


def _table(path: Path) -> dict[int, Any]:
    """A table that the package sqlitedict wrote: keys as text, values pickled."""
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as connection:
            rows = connection.execute("SELECT key, value FROM unnamed").fetchall()
        return {int(key): plain_value(value, path) for key, value in rows}
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise ForeignIndexError(path, f"can't be read: {error}") from error
