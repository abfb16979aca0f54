"""What a caller gives to an index, checked before any work is done."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from plait.encoder import check_texts
from plait.errors import DuplicateId, EmptyCorpus, InvalidParameter
from plait.types import TokenEmbeddings


def as_k(k: int) -> int:
    """The number of hits wanted, or InvalidParameter."""
    try:
        number = operator.index(k)
    except TypeError as error:
        raise InvalidParameter(f"k must be a whole number of at least 1, not {k!r}") from error
    if number < 1:
        raise InvalidParameter(f"k must be at least 1, not {k}")
    return number


def as_texts(texts: Sequence[str], encoded: bool) -> list[str]:
    """All of them are checked before any is encoded."""
    if isinstance(texts, str):
        raise InvalidParameter("texts must be a list of strings, not one string")
    if encoded:
        return check_texts(texts, "texts")
    for position, text in enumerate(texts):
        require_string(text, f"texts[{position}]")
    return list(texts)


def require_string(value: object, name: str) -> None:
    """SQLite keeps UTF-8, which half of a surrogate pair has no form in."""
    if not isinstance(value, str):
        raise InvalidParameter(f"{name} must be a string, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter(f"{name} is not valid Unicode: {error}") from None


def count_documents(texts: list[str] | None, vectors: TokenEmbeddings | None) -> int:
    """How many documents are given, as texts, vectors or both; EmptyCorpus if none."""
    if texts is None and vectors is None:
        raise InvalidParameter("give texts, vectors, or both")
    count = len(texts) if texts is not None else len(vectors or [])
    if texts is not None and vectors is not None:
        require_lengths(count, vectors=vectors)
    if count == 0:
        raise EmptyCorpus("there are no documents to add")
    return count


def require_lengths(count: int, **others: Any) -> None:
    """Raise InvalidParameter unless each of the named lists has an entry per document."""
    for name, values in others.items():
        if values is not None and len(values) != count:
            raise InvalidParameter(f"{name} has {len(values)} entries, but there are {count} documents")


def as_id(key: str, position: int) -> str:
    """The key, if it is a string that is not empty."""
    require_string(key, f"ids[{position}]")
    if not key:
        raise InvalidParameter(f"ids[{position}] is empty")
    return key


def unique_ids(ids: Sequence[str]) -> list[str]:
    """The ids, if each is a string that is not empty and stands there once."""
    seen = set()
    for position, key in enumerate(ids):
        as_id(key, position)
        if key in seen:
            raise DuplicateId(f"the id {key!r} was given twice; nothing was added")
        seen.add(key)
    return list(ids)


def as_metadata(record: Mapping[str, Any] | None, position: int) -> dict[str, Any]:
    """One document's metadata as a dict that JSON can hold; InvalidParameter tells its place."""
    if record is None:
        return {}
    if not isinstance(record, Mapping) or not all(isinstance(name, str) for name in record):
        raise InvalidParameter(f"metadata[{position}] must be a dict with string keys, not {record!r}")
    try:
        json.dumps(dict(record), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidParameter(f"metadata[{position}] can't be kept as JSON: {error}") from error
    return dict(record)
