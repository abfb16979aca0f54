"""What a caller gives to an index, checked before any work is done."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plait.encoder import check_texts
from plait.errors import DuplicateId, EmptyCorpus, InvalidParameter
from plait.store import nameable
from plait.types import TokenEmbeddings

#: What a declared field may hold, by the name of its type.
_ALLOWED: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list, tuple),
}


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


def as_ids(ids: str | Iterable[str]) -> list[str]:
    """One id or several, as a list."""
    if isinstance(ids, str):
        ids = [ids]
    keys = list(ids) if isinstance(ids, Iterable) else [ids]
    for position, key in enumerate(keys):
        require_string(key, f"ids[{position}]")
    return keys


def as_fields(fields: Mapping[str, type]) -> dict[str, str]:
    """Declared fields as they are kept: the name of each type."""
    for name, kind in fields.items():
        if not isinstance(name, str) or not nameable(name):
            raise InvalidParameter(
                f"fields: a name must be a string without quotes, backslashes and control "
                f"characters, not {name!r}"
            )
        require_string(name, "a name in fields")
        if getattr(kind, "__name__", None) not in _ALLOWED:
            raise InvalidParameter(f"fields[{name!r}] must be int, float, str, bool or list, not {kind!r}")
    return {name: kind.__name__ for name, kind in fields.items()}


def require_fields(record: Mapping[str, Any], fields: Mapping[str, str], what: str) -> None:
    """Raise InvalidParameter if a declared field holds something else; None and nothing are allowed."""
    for name, kind in fields.items():
        value = record.get(name)
        if value is None:
            continue
        if not isinstance(value, _ALLOWED[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise InvalidParameter(f"{what}[{name!r}] is declared as {kind}, but is {value!r}")
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise InvalidParameter(f"{what}[{name!r}] does not fit into 64 bits: {value!r}")
        if isinstance(value, str) and "\x00" in value:
            raise InvalidParameter(f"{what}[{name!r}] holds a NUL, which a declared field can't: {value!r}")


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


def merged_metadata(stored: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a record in the place of those of the same name; None takes that one away."""
    merged = {**stored, **record}
    return {name: value for name, value in merged.items() if name not in record or value is not None}
