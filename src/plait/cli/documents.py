"""Commands on the documents of an index: delete, get, count."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plait.cli import options
from plait.cli.output import counted, note, print_document

if TYPE_CHECKING:
    from plait.types import Document


@click.command(cls=options.Command)
@options.folder
@options.argument("ids", "[ID]...", "Documents to delete.", nargs=-1)
@click.option("--ids-from", type=Path, metavar="FILE", help="A file with one id per line to delete as well.")
@options.filter_
@options.timeout
@options.no_compact
def delete(
    folder: Path,
    ids: tuple[str, ...],
    ids_from: Path | None,
    filter: dict[str, Any] | None,
    timeout: float,
    no_compact: bool,
) -> None:
    """Delete documents by id, by --filter, or those of the ids that match it.

    Ids that the index does not hold are passed over.
    """
    from plait import Index
    from plait.sources import read_lines

    if not ids and ids_from is None and filter is None:
        raise click.BadParameter("give at least one ID, or --ids-from, or --filter")
    wanted = {*ids}
    if ids_from is not None:
        wanted.update(line for _, line in read_lines(ids_from))
    given = None if not ids and ids_from is None else sorted(wanted)
    with Index.open(folder, auto_compact=not no_compact, timeout=timeout) as opened:
        deleted = opened.delete(given, filter=filter)
        click.echo(f"deleted {counted(deleted, 'document')} from {folder}, which now holds {len(opened):,}")
    if filter is None and deleted < len(wanted):
        note(f"{counted(len(wanted) - deleted, 'id')} not in the index")


@click.command(cls=options.Command)
@options.folder
@options.argument("ids", "[ID]...", "Documents to show.", nargs=-1)
@options.filter_
@options.as_json("Print a JSON object for each.")
def get(folder: Path, ids: tuple[str, ...], filter: dict[str, Any] | None, as_json: bool) -> None:
    """Show documents: id, metadata and text. Give ids, or --filter."""
    from plait import Index

    if bool(ids) == (filter is not None):
        raise click.BadParameter("give either IDs or --filter")
    with Index.open(folder) as opened:
        if not ids:
            _print_all(opened.documents(filter=filter), as_json)
            return
        found = opened.get(ids)
    _print_all((document for document in found if document is not None), as_json)
    missing = [key for key, document in zip(ids, found, strict=True) if document is None]
    for key in missing:
        note(f"error: {folder} holds no document with the id {key!r}")
    if missing:
        raise click.exceptions.Exit(1)


def _print_all(documents: Iterable[Document], as_json: bool) -> None:
    for place, document in enumerate(documents):
        if place and not as_json:
            click.echo()
        print_document(document, as_json=as_json)


@click.command(cls=options.Command)
@options.folder
@options.filter_
def count(folder: Path, filter: dict[str, Any] | None) -> None:
    """Say how many documents there are, or how many match --filter."""
    from plait import Index

    with Index.open(folder) as opened:
        click.echo(opened.count(filter))
