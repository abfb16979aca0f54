"""Indexes of RAGatouille: those of colbert-ai, with texts, document ids and metadata beside them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from plait.errors import ForeignIndexError
from plait.importers import colbert_ai
from plait.importers.collection import checked_texts
from plait.importers.foreign import ForeignIndex, read_json
from plait.types import Document

IDS = "pid_docid_map.json"
TEXTS = "collection.json"
METADATA = "docid_metadata_map.json"


def recognise(folder: Path) -> bool:
    """Whether the folder looks like such an index."""
    return (folder / IDS).exists()


def read(folder: Path) -> ForeignIndex:
    """Open an index.

    A document that RAGatouille has split becomes several, called ``ID#0``, ``ID#1``, ...; each has the
    document's metadata and ``document_id``.
    """
    opened = colbert_ai.read(folder, "RAGatouille")
    names = _names(folder / IDS, len(opened.doclens))
    texts = _texts(folder / TEXTS, names, len(opened.doclens))
    facts = read_json(folder / METADATA, dict) if (folder / METADATA).exists() else {}
    parts = Counter(names.values())
    seen: Counter[str] = Counter()
    documents: list[Document | None] = [None] * len(opened.doclens)
    for pid, name in sorted(names.items()):
        own = facts.get(name) or {}
        if not isinstance(own, dict):
            raise ForeignIndexError(folder / METADATA, f"the metadata of {name!r} is not an object")
        split = parts[name] > 1
        key = f"{name}#{seen[name]}" if split else name
        seen[name] += 1
        documents[pid] = Document(key, texts.get(pid), {**own, "document_id": name} if split else own)
    return ForeignIndex(
        opened.tool, opened.codec, opened.doclens, opened.chunks, documents, opened.checkpoint
    )


def _names(path: Path, count: int) -> dict[int, str]:
    """pid -> id of its document; those that are missing have been deleted."""
    names: dict[int, str] = {}
    for key, name in read_json(path, dict).items():
        if not key.isdecimal() or int(key) >= count:
            raise ForeignIndexError(path, f"names the passage {key!r}, but the index has {count}")
        if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            raise ForeignIndexError(path, f"the id of passage {key} is {name!r}")
        names[int(key)] = str(name)
    return names


def _texts(path: Path, names: dict[int, str], count: int) -> dict[int, str]:
    """pid -> text. After a deletion RAGatouille drops texts from the list, but keeps the numbers."""
    if not path.exists():  # colbert-ai needs no texts, nor does a plait index that was written this way
        return {}
    texts: list[Any] = read_json(path, list)
    pids = sorted(names) if len(texts) == len(names) else list(range(count))
    return dict(zip(pids, checked_texts(texts, len(pids), path), strict=True))
