"""Commands that change or read what is in an index: index, add, delete, get."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plait.cli.output import counted, note, print_document
from plait.cli.progress import progress_bars

if TYPE_CHECKING:
    from plait.index import Index
    from plait.sources import Documents
    from plait.types import Document

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The index's folder.")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Documents: a .jsonl, .csv, .tsv or .parquet file, a folder of .txt and .md files, "
        "a folder in BEIR's form, or - for JSON lines on the standard input.",
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="CPU threads to use.", show_default="all cores")
]
SkipBadLines = Annotated[
    bool,
    typer.Option("--skip-bad-lines", help="Leave broken records out and say how many, instead of stopping."),
]


def index(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The new index's folder.")],
    nbits: Annotated[
        int, typer.Option(metavar="N", help="Bits per dimension of a stored vector: 1, 2, 4 or 8.")
    ] = 4,
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of a checkpoint.", show_default="the built-in model"),
    ] = None,
    threads: Threads = None,
    skip_bad_lines: SkipBadLines = False,
) -> None:
    """Make an index of the documents in SOURCE.

    A record has a text (text, contents or body) and may have an id (_id, id or docid), a title and metadata.
    All documents are added, or none: after an error there is no index.
    """
    documents, found = _read(source, skip_bad_lines)
    with _new_index(output, model, nbits) as new:
        _add(new, documents, found, threads)
    typer.echo(f"indexed {counted(len(found), 'document')} in {output}")
    _report_skipped(documents)


def add(
    folder: Folder, source: Source, threads: Threads = None, skip_bad_lines: SkipBadLines = False
) -> None:
    """Add the documents in SOURCE to an index: all of them, or none."""
    from plait import Index

    with Index.open(folder) as opened:
        documents, found = _read(source, skip_bad_lines)
        _add(opened, documents, found, threads)
        typer.echo(f"added {counted(len(found), 'document')} to {folder}, which now holds {len(opened):,}")
    _report_skipped(documents)


def delete(
    folder: Folder,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Documents to delete.")] = None,
    ids_from: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with one id per line to delete as well.")
    ] = None,
) -> None:
    """Delete documents by id. Ids that the index does not hold are passed over."""
    from plait import Index
    from plait.sources import read_lines

    if not ids and ids_from is None:
        raise typer.BadParameter("give at least one ID, or --ids-from")
    wanted = {*(ids or [])}
    if ids_from is not None:
        wanted.update(line for _, line in read_lines(ids_from))
    with Index.open(folder) as opened:
        deleted = opened.delete(sorted(wanted))
        typer.echo(f"deleted {counted(deleted, 'document')} from {folder}, which now holds {len(opened):,}")
    if deleted < len(wanted):
        note(f"{counted(len(wanted) - deleted, 'id')} not in the index")


def get(
    folder: Folder,
    key: Annotated[str, typer.Argument(metavar="ID", help="The document's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Show one document: its id, metadata and text."""
    from plait import Index

    with Index.open(folder) as opened:
        document = opened.get(key)
    if document is None:
        note(f"error: {folder} holds no document with the id {key!r}")
        raise typer.Exit(1)
    print_document(document, as_json=as_json)


def _read(source: str, skip_bad_lines: bool) -> tuple[Documents, list[Document]]:
    """Read the whole source, before anything is written."""
    from plait.sources import read_documents

    documents = read_documents(source, skip_bad_lines=skip_bad_lines)
    return documents, list(documents)


def _add(opened: Index, documents: Documents, found: list[Document], threads: int | None) -> None:
    with progress_bars() as progress:
        opened.add(
            [document.text or "" for document in found],
            ids=None if documents.numbered else [document.id for document in found],
            metadata=[document.metadata for document in found],
            threads=threads,
            progress=progress,
        )


def _report_skipped(documents: Documents) -> None:
    if documents.skipped:
        note(f"skipped {counted(documents.skipped, 'bad record')}; the first: {documents.first_skipped}")


@contextmanager
def _new_index(folder: Path, model: Path | None, nbits: int) -> Iterator[Index]:
    """Make an index that is taken away again when the block fails, so that the next try finds no remains."""
    from plait import Index
    from plait.errors import IndexAlreadyExists

    ours = not folder.exists()
    try:
        with Index.create(folder, model, nbits=nbits) as created:
            ours = True
            yield created
    except IndexAlreadyExists:
        raise
    except BaseException:
        if ours:
            shutil.rmtree(folder, ignore_errors=True)
        raise
