"""Commands that put the documents of a source into an index: index, add, upsert."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plait.cli import options
from plait.cli.output import counted, note
from plait.cli.progress import progress_bars

if TYPE_CHECKING:
    from plait.index import Index
    from plait.sources import Documents
    from plait.types import Document


@click.command(cls=options.Command)
@options.source
@click.option("-o", "--output", type=Path, metavar="DIR", required=True, help="The new index's folder.")
@click.option(
    "--level",
    metavar="NAME",
    help="How faithfully vectors are kept: compact, balanced or precise.",
    show_default="balanced",
)
@click.option(
    "--nbits",
    type=int,
    metavar="N",
    help="Use ColBERTv2's residual codec, with 1, 2, 4 or 8 bits per dimension.",
)
@click.option(
    "--model",
    metavar="CHECKPOINT",
    help="Folder of a checkpoint, or its name on the Hugging Face hub.",
    show_default="the built-in model",
)
@options.threads
@options.skip_bad_lines
def index(
    source: str,
    output: Path,
    level: str | None,
    nbits: int | None,
    model: str | None,
    threads: int | None,
    skip_bad_lines: bool,
) -> None:
    """Make an index of the documents in SOURCE.

    A record has a text (text, contents or body) and may have an id (_id, id or docid), a title and metadata.
    All documents are added, or none: after an error there is no index.
    """
    documents, found = _read(source, skip_bad_lines)
    with _new_index(output, model, level, nbits) as new:
        _add(new, documents, found, threads)
    click.echo(f"indexed {counted(len(found), 'document')} in {output}")
    _report_skipped(documents)


@click.command(cls=options.Command)
@options.folder
@options.source
@options.model
@options.threads
@options.no_compact
@options.skip_bad_lines
def add(
    folder: Path,
    source: str,
    model: str | None,
    threads: int | None,
    no_compact: bool,
    skip_bad_lines: bool,
) -> None:
    """Add the documents in SOURCE to an index: all of them, or none."""
    from plait import Index

    with Index.open(folder, model=model, auto_compact=not no_compact) as opened:
        documents, found = _read(source, skip_bad_lines)
        _add(opened, documents, found, threads)
        click.echo(f"added {counted(len(found), 'document')} to {folder}, which now holds {len(opened):,}")
    _report_skipped(documents)


@click.command(cls=options.Command)
@options.folder
@options.source
@options.threads
@options.no_compact
@options.skip_bad_lines
def upsert(folder: Path, source: str, threads: int | None, no_compact: bool, skip_bad_lines: bool) -> None:
    """Add the documents in SOURCE to an index, in the place of those that have the same ids."""
    from plait import Index

    with Index.open(folder, auto_compact=not no_compact) as opened:
        documents, found = _read(source, skip_bad_lines)
        if documents.numbered:
            raise click.BadParameter(f"{source}: the records have no ids, by which they could replace others")
        with progress_bars() as progress:
            replaced = opened.upsert(
                [document.text or "" for document in found],
                ids=[document.id for document in found],
                metadata=[document.metadata for document in found],
                threads=threads,
                progress=progress,
            )
        click.echo(
            f"added {counted(len(found) - replaced, 'document')} to {folder} and replaced {replaced:,}; "
            f"it now holds {len(opened):,}"
        )
    _report_skipped(documents)


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
def _new_index(folder: Path, model: str | None, level: str | None, nbits: int | None) -> Iterator[Index]:
    """Make an index that is taken away again when the block fails, so that the next try finds no remains."""
    from plait import Index
    from plait.errors import IndexAlreadyExists

    clear_remains(folder)
    ours = not folder.exists()
    try:
        with Index.create(folder, model, level=level, nbits=nbits) as created:
            ours = True
            yield created
    except IndexAlreadyExists:
        raise
    except BaseException:
        if ours:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def clear_remains(folder: Path) -> None:
    """Remove an index without documents, left by a run that was killed; refuse one that holds some."""
    from plait.errors import IndexAlreadyExists, IndexNotFound
    from plait.store import writing
    from plait.store.format import CATALOG, CODECS, SEGMENTS

    try:
        with writing(folder) as writer:  # after anybody else who is filling it at this moment
            if held := writer.snapshot.ndocs:
                raise IndexAlreadyExists(
                    f"{folder} exists already and holds {counted(held, 'document')}: "
                    f"use `plait add`, or choose another folder"
                )
            remains = [*folder.iterdir()]
            if all(path.name.startswith((CATALOG, CODECS, SEGMENTS)) for path in remains):
                for path in remains:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    except IndexNotFound:
        return  # nothing is there, or something else, which Index.create refuses
