"""A source of any kind → queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plait.errors import BadRecord, EmptyCorpus, SourceError
from plait.sources.folders import beir_part
from plait.sources.json_lines import JSON_LINES, json_rows
from plait.sources.lines import STDIN, existing, read_lines, shown, suffix_of
from plait.sources.records import Row, id_of, text_of


def read_queries(source: str | Path) -> dict[str, str]:
    """Read queries, in the order of the file.

    Args:
        source: JSON lines with ``_id`` (or ``id``) and ``text``; a ``.tsv`` of ``id<TAB>text`` without a
            header; a folder in BEIR's form (``queries.jsonl``); or ``-``, JSON lines from the standard input.

    Returns:
        The text of each query by its id.

    Raises:
        SourceNotFound: there is nothing at that path.
        SourceError: it is of an unknown kind.
        BadRecord: a query is broken, or an id stands twice.
        EmptyCorpus: there is no query in it.
    """
    path = beir_part(source, "queries") if Path(source).is_dir() else str(source)
    rows = _query_rows(path)
    queries: dict[str, str] = {}
    for row in rows:
        if isinstance(row.found, str):
            raise BadRecord(row.path, row.line, row.found)
        try:
            key, text = id_of(row.found), text_of(row.found)
        except ValueError as error:
            raise BadRecord(row.path, row.line, str(error)) from None
        if key is None or key in queries:
            reason = "the query has no id" if key is None else f"the query id {key!r} was used before"
            raise BadRecord(row.path, row.line, reason)
        queries[key] = text
    if not queries:
        raise EmptyCorpus(f"{shown(path)} holds no query")
    return queries


def _query_rows(source: str) -> Iterator[Row]:
    suffix = suffix_of(Path(source))
    if source == STDIN or suffix in JSON_LINES:
        if source != STDIN:
            existing(source)
        return json_rows(source)
    existing(source)
    if suffix == ".tsv":
        return _tsv_query_rows(source)
    raise SourceError(f"{source}: an unknown kind of query file; expected is .jsonl, .ndjson, .json or .tsv")


def _tsv_query_rows(source: str) -> Iterator[Row]:
    for number, line in read_lines(source):
        key, tab, text = line.partition("\t")
        found = {"_id": key, "text": text} if tab else "expected is id<TAB>text, and there is no tab"
        yield Row(source, number, found)
