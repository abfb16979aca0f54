"""JSON lines → records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plait.errors import BadRecord
from plait.sources.lines import STDIN, Undecodable, decoded, existing, raw_lines, shown
from plait.sources.records import Row, kind_of

JSON_LINES = (".jsonl", ".ndjson", ".json")


def read_json_lines(source: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the number and the object of each line that is not blank.

    Args:
        source: a file, plain or compressed, or ``-``.

    Raises:
        SourceNotFound: there is no such file.
        BadRecord: a line is no JSON object; the file and the line are named.
    """
    for row in json_rows(str(source) if str(source) == STDIN else str(existing(source))):
        if isinstance(row.found, str):
            raise BadRecord(row.path, row.line, row.found)
        yield row.line, dict(row.found)


def json_rows(source: str) -> Iterator[Row]:
    """Read the records of JSON lines."""
    for number, raw in raw_lines(source):
        if raw.strip():
            yield Row(shown(source), number, _json_object(raw))


def _json_object(raw: bytes) -> dict[str, Any] | str:
    text = decoded(raw)
    if isinstance(text, Undecodable):
        return text
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return f"not valid JSON: {error.msg} at column {error.colno} (each line must be one JSON object)"
    except (ValueError, RecursionError) as error:
        return f"not usable JSON: {error}"
    if not isinstance(value, dict):
        return f"each line must be one JSON object, and this one is {kind_of(value)}"
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
