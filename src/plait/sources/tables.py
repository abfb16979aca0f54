"""CSV and TSV → records."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from plait.errors import BadRecord
from plait.sources.lines import raw_lines
from plait.sources.records import ID_KEYS, TEXT_KEYS, Row

_LONGEST_FIELD = 1 << 30


def table_rows(source: str, *, quoted: bool) -> Iterator[Row]:
    """Read the records of a CSV file, or of a TSV file, where nothing is quoted."""
    lines = (raw.decode(errors="surrogateescape") for _, raw in raw_lines(source))
    reader = (
        csv.reader(lines, strict=True)
        if quoted
        else csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
    )
    header: list[str] | None = None
    for number, cells in _cells(reader):
        if header is None and not quoted and _is_collection(cells):
            header = ["id", "text"]
        elif header is None:
            header = _header(source, number, cells)
            continue
        if isinstance(cells, str):
            yield Row(source, number, cells)
        elif cells and len(cells) != len(header):
            yield Row(source, number, f"{len(cells)} fields, but the first line has {len(header)}")
        elif cells:
            yield Row(source, number, dict(zip(header, cells, strict=True)))


def _is_collection(cells: list[str] | str) -> bool:
    """Tell whether a table's first line is a document already: an id and a text, not names of columns."""
    names = {*TEXT_KEYS, *ID_KEYS, "title"}
    return isinstance(cells, list) and len(cells) == 2 and (cells[0].isdecimal() or names.isdisjoint(cells))


def _header(source: str, number: int, cells: list[str] | str) -> list[str]:
    if isinstance(cells, str):
        raise BadRecord(source, number, cells)
    if not any(key in cells for key in TEXT_KEYS):
        found = ", ".join(repr(cell[:30]) for cell in cells) or "nothing"
        expected = f"the first line must be a header with one of {', '.join(TEXT_KEYS)}"
        raise BadRecord(source, number, f"{expected}, and it holds {found}")
    if len(set(cells)) != len(cells):
        raise BadRecord(source, number, "the header names a column twice")
    return cells


def _cells(reader: Any) -> Iterator[tuple[int, list[str] | str]]:
    """Read the first line and the cells of each record, or what is wrong with it."""
    while True:
        line = reader.line_num + 1
        limit = csv.field_size_limit(_LONGEST_FIELD)  # a setting of the whole process: put back at once
        try:
            cells: list[str] | str = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = f"not a readable row: {error}"
        finally:
            csv.field_size_limit(limit)
        yield line, cells
