"""A source of any kind → documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from plait.errors import BadRecord, EmptyCorpus, SourceError
from plait.sources.folders import beir_file, beir_part, page_rows
from plait.sources.json_lines import JSON_LINES, json_rows
from plait.sources.lines import STDIN, existing, shown, suffix_of
from plait.sources.parquet import load_parquet, parquet_rows
from plait.sources.records import Row, parts_of
from plait.sources.tables import table_rows
from plait.types import Document


def read_documents(source: str | Path, *, skip_bad_lines: bool = False) -> Documents:
    """Open a corpus. The documents are read while you iterate.

    Args:
        source: a file or folder of a kind named at the top of ``plait.sources``, or ``-``.
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
            raise EmptyCorpus(f"{shown(self.source)} holds no document{reason}")

    def _document(self, row: Row, seen: dict[str, int | str]) -> Document:
        if isinstance(row.found, str):
            raise BadRecord(row.path, row.line, row.found)
        try:
            key, text, metadata = parts_of(row.found)
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


def _reader(source: str) -> Callable[[], Iterator[Row]]:
    """Choose what reads the records; errors about the source as a whole are raised here."""
    if source == STDIN:
        return lambda: json_rows(STDIN)
    path = existing(source)
    if path.is_dir():
        if beir_file(path, "corpus"):
            corpus = beir_part(path, "corpus")
            return lambda: json_rows(corpus)
        return lambda: page_rows(path)
    suffix = suffix_of(path)
    if suffix in JSON_LINES:
        return lambda: json_rows(source)
    if suffix in (".csv", ".tsv"):
        return lambda: table_rows(source, quoted=suffix == ".csv")
    if path.suffix == ".parquet":
        parquet = load_parquet()
        return lambda: parquet_rows(source, parquet)
    raise SourceError(
        f"{source}: an unknown kind of file; expected is .jsonl, .ndjson, .json, .csv or .tsv "
        f"(each also with .gz, .bz2 or .xz), .parquet, a folder, or - for JSON lines on the standard input"
    )
