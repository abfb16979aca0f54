"""Read documents and queries from the files people have.

A document record has a text, usually an id, sometimes a title, and anything else:

=========  ===============================  ====================================================
part       key (the first that is present)  meaning
=========  ===============================  ====================================================
text       ``text``, ``contents``, ``body`` required; a string
id         ``_id``, ``id``, ``docid``       a string or an integer; give it to all records or to none
title      ``title``                        put before the text ("title text"), and kept as metadata
metadata   ``metadata``, if an object       its entries become the document's metadata
vectors    ``vectors``, if a list           left out: token vectors, as ``plait export --vectors`` writes
any other                                   metadata under its own name
=========  ===============================  ====================================================

Kinds of sources: ``.jsonl``, ``.ndjson`` and ``.json`` (one JSON object per line); ``.csv`` and ``.tsv``
with a header row (a .tsv has no quoting: tabs and line ends separate, everything else is text); a ``.tsv``
of ``id<TAB>text`` without a header, such as ColBERT's ``collection.tsv`` (its first line has two fields, and
either the first is a number or none is a name of the table above); ``.parquet``; a folder in BEIR's form
(``corpus.jsonl``); a folder of ``.txt`` and ``.md`` files, whose id is the path inside the folder; ``-``,
JSON lines from the standard input. Text files may be compressed: ``.gz``, ``.bz2`` and ``.xz``.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import importlib
import json
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from plait.errors import BadRecord, EmptyCorpus, MissingExtra, SourceError, SourceNotFound
from plait.types import Document

TEXT_KEYS = ("text", "contents", "body")
ID_KEYS = ("_id", "id", "docid")
STDIN = "-"

_COMPRESSIONS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_PAGES = (".txt", ".md")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_FIELD = 1 << 30


class _Row(NamedTuple):
    """One record as found: where it stands, and its fields or the reason why it can't be read."""

    path: str
    line: int
    found: Mapping[str, Any] | str


def read_documents(source: str | Path, *, skip_bad_lines: bool = False) -> Documents:
    """Open a corpus. The documents are read while you iterate.

    Args:
        source: a file or folder of a kind named at the top of this module, or ``-``.
        skip_bad_lines: leave broken records out and count them, instead of raising at the first one.

    Raises:
        SourceNotFound: there is nothing at that path.
        SourceError: it is of an unknown kind.
        MissingExtra: a Parquet file was given, and pyarrow is not installed.
    """
    return Documents(source, skip_bad_lines=skip_bad_lines)


class Documents:
    """The documents of one source. Each iteration reads it from the start (``-`` can be read once).

    Attributes:
        source: what was given.
        skipped: how many broken records the last iteration left out.
        first_skipped: the first of them, as the error it would have been.
        numbered: True after an iteration in which no record had an id. The documents' ids are then their
            positions, and an index may give them others.

    Iterating raises BadRecord (the file, the line and what is wrong), unless ``skip_bad_lines``, and
    EmptyCorpus when the source holds no document at all.
    """

    def __init__(self, source: str | Path, *, skip_bad_lines: bool = False) -> None:
        self.source = str(source)
        self.skip_bad_lines = skip_bad_lines
        self._rows = _reader(self.source)
        self._start()

    def _start(self) -> None:
        self.skipped = 0
        self.first_skipped: BadRecord | None = None
        self.numbered = False

    def __iter__(self) -> Iterator[Document]:
        self._start()
        seen: dict[str, int | str] = {}  # id -> where it stood; a line of the source is told by its number
        for row in self._rows():
            try:
                document = self._document(row, seen)
            except BadRecord as error:
                if not self.skip_bad_lines:
                    error.add_note("skip_bad_lines leaves such records out")
                    raise
                self.skipped += 1
                self.first_skipped = self.first_skipped or error
                continue
            seen[document.id] = row.line if row.path == self.source else f"{row.path}, line {row.line}"
            yield document
        if not seen:
            reason = (
                f"; records that can't be used: {self.skipped}, the first: {self.first_skipped}"
                if self.skipped
                else ""
            )
            raise EmptyCorpus(f"{_shown(self.source)} holds no document{reason}")

    def _document(self, row: _Row, seen: dict[str, int | str]) -> Document:
        if isinstance(row.found, str):
            raise BadRecord(row.path, row.line, row.found)
        try:
            key, text, metadata = _parts(row.found)
        except ValueError as error:
            raise BadRecord(row.path, row.line, str(error)) from None
        if not seen:
            self.numbered = key is None
        elif self.numbered != (key is None):
            odd, others = ("no", "have one") if key is None else ("an", "have none")
            raise BadRecord(row.path, row.line, f"the record has {odd} id, but those before it {others}")
        key = str(len(seen)) if key is None else key
        if key in seen:
            where = seen[key] if isinstance(seen[key], str) else f"{self.source}, line {seen[key]}"
            raise BadRecord(row.path, row.line, f"the id {key!r} was used before ({where})")
        return Document(key, text, metadata)


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
    path = _beir_part(source, "queries") if Path(source).is_dir() else str(source)
    rows = _query_rows(path)
    queries: dict[str, str] = {}
    for row in rows:
        if isinstance(row.found, str):
            raise BadRecord(row.path, row.line, row.found)
        try:
            key, text = _id_of(row.found), _text_of(row.found)
        except ValueError as error:
            raise BadRecord(row.path, row.line, str(error)) from None
        if key is None or key in queries:
            reason = "the query has no id" if key is None else f"the query id {key!r} was used before"
            raise BadRecord(row.path, row.line, reason)
        queries[key] = text
    if not queries:
        raise EmptyCorpus(f"{_shown(path)} holds no query")
    return queries


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Read the number and the content of each line that is not blank, of a file that may be compressed.

    Raises:
        SourceNotFound: there is no such file.
        BadRecord: a line is not UTF-8, or the compression is damaged.
    """
    for number, raw in _raw_lines(_existing(path)):
        text = _decoded(raw)
        if isinstance(text, _Undecodable):
            raise BadRecord(path, number, text)
        if text.strip():
            yield number, text.rstrip("\r\n")


# ---- from a record to a document -------------------------------------------------------------------------


def _parts(record: Mapping[str, Any]) -> tuple[str | None, str, dict[str, Any]]:
    """Take a record apart: id, text, metadata. A ValueError says why it can't be used."""
    title = record.get("title") or ""
    if not isinstance(title, str):
        raise ValueError(f"the title must be a string, not {_kind(title)}")
    text = _text_of(record, title)
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
    return _id_of(record), text, metadata


def _text_of(record: Mapping[str, Any], title: str = "") -> str:
    key = next(iter(_first(record, TEXT_KEYS)), None)
    if key is None:
        fields = ", ".join(record) or "nothing"
        raise ValueError(f"there is no text: expected is {', '.join(TEXT_KEYS)}, and there is {fields}")
    text = record[key]
    if not isinstance(text, str):
        raise ValueError(f"{key} must be a string, not {_kind(text)}")
    text = " ".join(part for part in (title, text) if part.strip())
    if not text:
        raise ValueError("the text is empty")
    _require_unicode(text, "the text")
    return text


def _id_of(record: Mapping[str, Any]) -> str | None:
    key = next(iter(_first(record, ID_KEYS)), None)
    if key is None:
        return None
    value = record[key]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{key} must be a string or an integer, not {_kind(value)}")
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


def _kind(value: object) -> str:
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


# ---- from a source to records ----------------------------------------------------------------------------


def _reader(source: str) -> Callable[[], Iterator[_Row]]:
    """Choose what reads the records; errors about the source as a whole are raised here."""
    if source == STDIN:
        return lambda: _json_rows(STDIN)
    path = _existing(source)
    if path.is_dir():
        if _beir_file(path, "corpus"):
            corpus = _beir_part(path, "corpus")
            return lambda: _json_rows(corpus)
        return lambda: _page_rows(path)
    suffix = _suffix(path)
    if suffix in _JSON_LINES:
        return lambda: _json_rows(source)
    if suffix in (".csv", ".tsv"):
        return lambda: _table_rows(source, quoted=suffix == ".csv")
    if path.suffix == ".parquet":
        parquet = _parquet()
        return lambda: _parquet_rows(source, parquet)
    raise SourceError(
        f"{source}: an unknown kind of file; expected is .jsonl, .ndjson, .json, .csv or .tsv "
        f"(each also with .gz, .bz2 or .xz), .parquet, a folder, or - for JSON lines on the standard input"
    )


def _existing(source: str | Path) -> Path:
    path = Path(source)
    if not path.exists():
        raise SourceNotFound(f"{source}: there is no such file or folder")
    return path


def _suffix(path: Path) -> str:
    """Find the ending that tells the kind: of ``a.jsonl.gz`` it is ``.jsonl``."""
    return Path(path.stem).suffix if path.suffix in _COMPRESSIONS else path.suffix


def _shown(source: str) -> str:
    return "the standard input" if source == STDIN else source


def _beir_file(folder: Path, part: str) -> Path | None:
    names = [f"{part}.jsonl{compression}" for compression in ("", *_COMPRESSIONS)]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _beir_part(folder: str | Path, part: str) -> str:
    found = _beir_file(Path(folder), part)
    if found is None:
        raise SourceNotFound(f"{folder}: the folder holds no {part}.jsonl")
    return str(found)


def _raw_lines(source: str | Path) -> Iterator[tuple[int, bytes]]:
    """Read the number and the bytes of each line. Damaged compression can't be skipped."""
    number = 0
    if str(source) == STDIN:
        yield from enumerate(sys.stdin.buffer, start=1)
        return
    with _opened(Path(source)) as file:
        try:
            for raw in file:
                number += 1
                yield number, raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
        except (OSError, *_DAMAGED) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's trouble, not the file's
            reason = f"the compressed file is damaged after this line: {error}"
            raise BadRecord(source, number, reason) from None


def _opened(path: Path) -> IO[bytes]:
    opened: IO[bytes] = _COMPRESSIONS.get(path.suffix, open)(path, "rb")
    return opened


class _Undecodable(str):
    """The reason why a line is not text."""


def _decoded(raw: bytes) -> str | _Undecodable:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        return _Undecodable(f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line")


def read_json_lines(source: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the number and the object of each line that is not blank.

    Args:
        source: a file, plain or compressed, or ``-``.

    Raises:
        SourceNotFound: there is no such file.
        BadRecord: a line is no JSON object; the file and the line are named.
    """
    for row in _json_rows(str(source) if str(source) == STDIN else str(_existing(source))):
        if isinstance(row.found, str):
            raise BadRecord(row.path, row.line, row.found)
        yield row.line, dict(row.found)


def _json_rows(source: str) -> Iterator[_Row]:
    for number, raw in _raw_lines(source):
        if raw.strip():
            yield _Row(_shown(source), number, _json_object(raw))


def _json_object(raw: bytes) -> dict[str, Any] | str:
    text = _decoded(raw)
    if isinstance(text, _Undecodable):
        return text
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return f"not valid JSON: {error.msg} at column {error.colno} (each line must be one JSON object)"
    except (ValueError, RecursionError) as error:
        return f"not usable JSON: {error}"
    if not isinstance(value, dict):
        return f"each line must be one JSON object, and this one is {_kind(value)}"
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _table_rows(source: str, *, quoted: bool) -> Iterator[_Row]:
    lines = (raw.decode(errors="surrogateescape") for _, raw in _raw_lines(source))
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
            yield _Row(source, number, cells)
        elif cells and len(cells) != len(header):
            yield _Row(source, number, f"{len(cells)} fields, but the first line has {len(header)}")
        elif cells:
            yield _Row(source, number, dict(zip(header, cells, strict=True)))


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


def _parquet() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtra("pyarrow", "parquet") from None


def _parquet_rows(source: str, parquet: Any) -> Iterator[_Row]:
    """Read the records of a Parquet file; the 'line' is the row, counted from 1."""
    number = 0
    try:
        with parquet.ParquetFile(source) as file:
            for batch in file.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield _Row(source, number, _plain(record))
    except importlib.import_module("pyarrow").ArrowException as error:
        raise SourceError(f"{source}: not a readable Parquet file: {error}") from None


def _plain(record: dict[str, Any]) -> dict[str, Any] | str:
    """Turn the record into JSON's types: dates and decimals become strings."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(record, default=str, allow_nan=False))
    except (TypeError, ValueError) as error:
        return f"a value can't be kept as JSON: {error}"
    return plain


def _page_rows(folder: Path) -> Iterator[_Row]:
    """One record for each .txt and .md file below the folder, sorted by path; hidden ones are left alone."""
    pages = sorted(_pages(folder), key=lambda path: path.relative_to(folder).parts)
    if not pages:
        raise EmptyCorpus(f"{folder}: the folder holds no corpus.jsonl and no .txt or .md file")
    for path in pages:
        text = _decoded(path.read_bytes().removeprefix(_BYTE_ORDER_MARK))
        identity = path.relative_to(folder).as_posix()
        if isinstance(text, _Undecodable):
            yield _Row(str(path), 1, "the file is not UTF-8")
        else:
            yield _Row(str(path), 1, {"_id": identity, "text": text})


def _pages(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix in _PAGES:
                yield Path(here, name)


def _query_rows(source: str) -> Iterator[_Row]:
    suffix = _suffix(Path(source))
    if source == STDIN or suffix in _JSON_LINES:
        if source != STDIN:
            _existing(source)
        return _json_rows(source)
    _existing(source)
    if suffix == ".tsv":
        return _tsv_query_rows(source)
    raise SourceError(f"{source}: an unknown kind of query file; expected is .jsonl, .ndjson, .json or .tsv")


def _tsv_query_rows(source: str) -> Iterator[_Row]:
    for number, line in read_lines(source):
        key, tab, text = line.partition("\t")
        found = {"_id": key, "text": text} if tab else "expected is id<TAB>text, and there is no tab"
        yield _Row(source, number, found)
