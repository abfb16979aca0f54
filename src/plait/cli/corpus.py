"""Commands that put the documents of a source into an index: index, add, upsert."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
@options.level
@click.option(
    "--nbits",
    type=int,
    metavar="N",
    help="Use ColBERTv2's residual codec, with 1, 2, 4 or 8 bits per dimension.",
)
@options.new_model
@options.fields
@click.option("--no-bm25", is_flag=True, help="Do not count words: no BM25, and less room on the disk.")
@click.option(
    "--no-bi-encoder",
    is_flag=True,
    help="Keep no single vector of each text: no bi-encoder, and less room on the disk.",
)
@options.language
@options.batch_size
@options.resume
@options.threads
@options.skip_bad_lines
def index(
    source: str,
    output: Path,
    level: str | None,
    nbits: int | None,
    model: str | None,
    fields: dict[str, type] | None,
    no_bm25: bool,
    no_bi_encoder: bool,
    language: str | None,
    batch_size: int,
    resume: bool,
    threads: int | None,
    skip_bad_lines: bool,
) -> None:
    """Make an index of the documents in SOURCE.

    A record has a text (text, contents or body) and may have an id (_id, id or docid), a title and metadata.
    The whole source is checked before anything is written. What was committed before an interruption stays,
    and --resume goes on from there; without any commit there is no index.
    """
    documents, survey = _survey(source, skip_bad_lines)
    if no_bm25 and language:
        raise click.BadParameter("give --language or --no-bm25, not both")
    bm25 = False if no_bm25 else options.bm25_of(language) if language else None
    made_with = {"level": level, "nbits": nbits, "fields": fields, "bm25": bm25}
    made_with["bi_encoder"] = False if no_bi_encoder else None
    with _new_index(output, model, made_with, resume) as new:
        with progress_bars() as progress:
            if survey is not None and survey.count > batch_size:
                new.train(survey.sample, expected=survey.count, threads=threads, progress=progress)
            added = new.add(
                iter(documents),
                batch_size=batch_size,
                skip_existing=resume,
                expected=None if survey is None else survey.count,
                threads=threads,
                progress=progress,
            )
        held = len(new)
    click.echo(f"indexed {counted(added, 'document')} in {output}" + _of(held, added))
    _report_skipped(documents)


def _of(held: int, added: int) -> str:
    return f", which now holds {held:,}" if held != added else ""


@click.command(cls=options.Command)
@options.folder
@options.source
@options.batch_size
@options.resume
@options.model
@options.timeout
@options.threads
@options.no_compact
@options.skip_bad_lines
def add(
    folder: Path,
    source: str,
    batch_size: int,
    resume: bool,
    model: str | None,
    timeout: float,
    threads: int | None,
    no_compact: bool,
    skip_bad_lines: bool,
) -> None:
    """Add the documents in SOURCE to an index.

    The whole source is checked before anything is written. Up to --batch-size documents are one commit: all
    of them are added, or none.
    """
    from plait import Index

    with Index.open(folder, model=model, auto_compact=not no_compact, timeout=timeout) as opened:
        documents, survey = _survey(source, skip_bad_lines)
        if resume and survey is not None and documents.numbered:
            raise click.BadParameter(f"{source}: the records have no ids to tell those by that were added")
        with progress_bars() as progress:
            added = opened.add(
                _without_numbers(documents),
                batch_size=batch_size,
                skip_existing=resume,
                expected=None if survey is None else survey.count,
                threads=threads,
                progress=progress,
            )
        click.echo(f"added {counted(added, 'document')} to {folder}, which now holds {len(opened):,}")
    _report_skipped(documents)


@click.command(cls=options.Command)
@options.folder
@options.source
@options.model
@options.timeout
@options.threads
@options.no_compact
@options.skip_bad_lines
def upsert(
    folder: Path,
    source: str,
    model: str | None,
    timeout: float,
    threads: int | None,
    no_compact: bool,
    skip_bad_lines: bool,
) -> None:
    """Add the documents in SOURCE to an index, in the place of those that have the same ids: one commit."""
    from plait import Index
    from plait.sources import read_documents

    with Index.open(folder, model=model, auto_compact=not no_compact, timeout=timeout) as opened:
        documents = read_documents(source, skip_bad_lines=skip_bad_lines)
        found = list(documents)
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


@dataclass(frozen=True)
class _Survey:
    """What a first reading of a source found: how many documents, and some of their texts."""

    count: int
    sample: list[str]


def _survey(source: str, skip_bad_lines: bool) -> tuple[Documents, _Survey | None]:
    """Read the whole source once, so that a broken record is met before anything is written.

    The standard input can be read only once: nothing is known of it beforehand.
    """
    from plait.ingest import surveyed
    from plait.sources import STDIN, read_documents

    documents = read_documents(source, skip_bad_lines=skip_bad_lines)
    if source == STDIN:
        return documents, None
    return documents, _Survey(*surveyed(documents))


def _without_numbers(documents: Documents) -> Iterator[Document | dict[str, Any]]:
    """The documents, without ids where the source has none: the index numbers them."""
    for document in documents:
        if documents.numbered:
            yield {"text": document.text, "metadata": document.metadata}
        else:
            yield document


def _report_skipped(documents: Documents) -> None:
    if documents.skipped:
        note(f"skipped {counted(documents.skipped, 'bad record')}; the first: {documents.first_skipped}")


@contextmanager
def _new_index(folder: Path, model: str | None, made_with: dict[str, Any], resume: bool) -> Iterator[Index]:
    """Make an index, or open the one to be resumed. When the block fails before its first commit the index is
    taken away again, so that the next try finds no remains.
    """
    from plait import Index
    from plait.errors import IndexAlreadyExists

    if resume and folder.exists():
        with Index.open(folder, model=model) as opened:
            _require_same(opened, made_with)
            yield opened
        return
    clear_remains(folder)
    ours = not folder.exists()
    held = 0
    try:
        with Index.create(folder, model, **made_with) as created:
            ours = True
            try:
                yield created
            finally:
                held = len(created)
    except IndexAlreadyExists:
        raise
    except BaseException:
        if held:
            note(f"{counted(held, 'document')} are in {folder}; --resume goes on from there")
        elif ours:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _require_same(opened: Index, made_with: dict[str, Any]) -> None:
    """Refuse to go on with an index that was made in another way."""
    made = opened.stats()
    there = {"level": made.level, "nbits": made.nbits, "fields": opened.fields}
    for name, given in made_with.items():
        if name in ("bm25", "bi_encoder"):
            given = None  # the index knows how it counts words, and whether it keeps single vectors
        if name == "fields" and given is not None:
            given = {field: kind.__name__ for field, kind in given.items()}
        if given is not None and given != there[name]:
            raise click.BadParameter(f"the index {made.path} was made with {name} {there[name]}, not {given}")


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
                    f"use --resume, `plait add`, or choose another folder"
                )
            remains = [*folder.iterdir()]
            if all(path.name.startswith((CATALOG, CODECS, SEGMENTS)) for path in remains):
                for path in remains:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    except IndexNotFound:
        return  # nothing is there, or something else, which Index.create refuses
