"""One record → id, text and metadata, or what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

TEXT_KEYS = ("text", "contents", "body")
ID_KEYS = ("_id", "id", "docid")


class Row(NamedTuple):
    """One record as found: where it stands, and its fields or the reason why it can't be read."""

    path: str
    line: int
    found: Mapping[str, Any] | str


def parts_of(record: Mapping[str, Any]) -> tuple[str | None, str, dict[str, Any]]:
    """Take a record apart: id, text, metadata. A ValueError says why it can't be used."""
    title = record.get("title") or ""
    if not isinstance(title, str):
        raise ValueError(f"the title must be a string, not {kind_of(title)}")
    text = text_of(record, title)
    used = {*_first(record, TEXT_KEYS), *_first(record, ID_KEYS), "title"}
    nested = record.get("metadata")
    metadata: dict[str, Any] = {}
    if isinstance(nested, Mapping):
        metadata.update(nested)
        used.add("metadata")
    if isinstance(record.get("vectors"), list):
        used.add("vectors")
    if title.strip():
        metadata["title"] = title
    metadata.update((key, value) for key, value in record.items() if key not in used)
    if metadata:
        _require_unicode(json.dumps(metadata, ensure_ascii=False), "the metadata")
    return id_of(record), text, metadata


def text_of(record: Mapping[str, Any], title: str = "") -> str:
    """Find the text, behind its title. A ValueError says what is wrong with it."""
    key = next(iter(_first(record, TEXT_KEYS)), None)
    if key is None:
        fields = ", ".join(record) or "nothing"
        raise ValueError(f"there is no text: expected is {', '.join(TEXT_KEYS)}, and there is {fields}")
    text = record[key]
    if not isinstance(text, str):
        raise ValueError(f"{key} must be a string, not {kind_of(text)}")
    text = " ".join(part for part in (title, text) if part.strip())
    if not text:
        raise ValueError("the text is empty")
    _require_unicode(text, "the text")
    return text


def id_of(record: Mapping[str, Any]) -> str | None:
    """Find the id, or None. A ValueError says what is wrong with it."""
    key = next(iter(_first(record, ID_KEYS)), None)
    if key is None:
        return None
    value = record[key]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{key} must be a string or an integer, not {kind_of(value)}")
    if not str(value).strip():
        raise ValueError(f"{key} is empty")
    _require_unicode(str(value), key)
    return str(value)


def _first(record: Mapping[str, Any], keys: tuple[str, ...]) -> list[str]:
    """Find the first of the keys that the record has: a list of one or none."""
    return [key for key in keys if key in record][:1]


def _require_unicode(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not valid UTF-8") from None


def kind_of(value: object) -> str:
    """Name a JSON value's type as JSON does."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)
