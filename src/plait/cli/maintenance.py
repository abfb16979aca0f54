"""Commands that look after an index as a whole: compact, verify, repair, backup, export."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from plait.cli import options
from plait.cli.output import counted, note, print_json
from plait.cli.progress import progress_bars

if TYPE_CHECKING:
    from plait.store import RepairReport


@click.command(cls=options.Command)
@options.folder
@click.option("--bm25", is_flag=True, help="Count the words of the texts first, if the index has no BM25.")
@options.language
@click.option(
    "--bi-encoder",
    is_flag=True,
    help="Encode all texts again first, if the index has no bi-encoder's vectors.",
)
@click.option(
    "--retrain",
    is_flag=True,
    help="Encode all texts again and compress them as a fresh build would; takes about as long.",
)
@options.model
@options.timeout
@options.threads
def compact(
    folder: Path,
    bm25: bool,
    language: str | None,
    bi_encoder: bool,
    retrain: bool,
    model: str | None,
    timeout: float,
    threads: int | None,
) -> None:
    """Merge an index's segments and let go of what was deleted. Searches go on meanwhile.

    Writes merge small segments by themselves; this merges all there are.
    """
    from plait import Index

    if language and not bm25:
        raise click.BadParameter("--language belongs to --bm25")
    with Index.open(folder, model=model, timeout=timeout) as opened, progress_bars() as progress:
        if bm25 and opened.stats().bm25 is None:
            opened.add_bm25(options.bm25_of(language), threads=threads, progress=progress)
            note(f"counted the words of {counted(len(opened), 'document')}")
        if bi_encoder and opened.stats().bytes_bi_encoder is None:
            opened.add_bi_encoder(threads=threads, progress=progress)
            note(f"made the single vectors of {counted(len(opened), 'document')}")
        done = opened.compact(retrain=retrain, threads=threads, progress=progress)
        after = opened.stats()
    if after.codecs > 1 and after.encoder:
        note(
            f"{folder} has {after.codecs} codecs, each with segments of its own: --retrain encodes all texts "
            f"again and makes one, which fits better and is faster to search"
        )
    if done.retrained:
        did = f"encoded and compressed {counted(done.retrained, 'document')} anew"
    elif done.merges:
        did = f"merged {counted(done.segments_before, 'segment')} into {done.segments_after:,}"
    else:
        click.echo(f"nothing to merge: {folder} has {counted(done.segments_after, 'segment')}")
        return
    click.echo(f"{did}; {counted(done.deleted, 'deleted document')} gone")


@click.command(cls=options.Command)
@options.folder
@options.as_json("Print one JSON object for each problem.")
def verify(folder: Path, as_json: bool) -> None:
    """Check every checksum and every cross-reference of an index, and name what is broken.

    Reads all of it. Remains of a writer that died are harmless. The exit code is 1 if there is anything else.
    """
    from plait.store import verify as verify_files

    problems = verify_files(folder)
    for problem in problems:
        if as_json:
            print_json(dataclasses.asdict(problem))
        else:
            click.echo(f"{'harmless: ' if problem.harmless else ''}{problem}")
    broken = sum(not problem.harmless for problem in problems)
    if broken:
        note(f"error: {counted(broken, 'problem')} in {folder}: `plait repair` saves what can be saved")
        raise click.exceptions.Exit(1)
    if not as_json:
        click.echo(f"{folder} is sound")


@click.command(cls=options.Command)
@options.argument("source", "DIR", "The damaged index's folder.", type=Path)
@options.argument("destination", "DEST", "The new index's folder, which must not exist yet.", type=Path)
@click.option("--model", metavar="DIR", help="The checkpoint of the index, if it has moved.")
@options.threads
@options.as_json("Print one JSON object.")
def repair(source: Path, destination: Path, model: str | None, threads: int | None, as_json: bool) -> None:
    """Save what can be saved of a damaged index into a new one, and list what is lost.

    Documents whose vectors are lost are encoded again if their text is there, and the checkpoint. The damaged
    index is not touched. The exit code is 1 if documents are lost.
    """
    from plait import Index

    with progress_bars() as progress:
        done = Index.repair(source, destination, model=model, threads=threads, progress=progress)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        _print_repair(done)
    if done.lost or done.unnamed:
        note(f"error: {counted(len(done.lost) + done.unnamed, 'document')} could not be saved")
        raise click.exceptions.Exit(1)


def _print_repair(done: RepairReport) -> None:
    for damage in done.damage:
        click.echo(f"damaged: {damage}")
    click.echo(f"saved {counted(done.saved, 'document')}")
    if done.encoded_again:
        click.echo(f"encoded {counted(len(done.encoded_again), 'document')} again")
    for key in done.lost:
        click.echo(f"lost: {key}")
    if done.unnamed:
        click.echo(f"lost: {counted(done.unnamed, 'document')} whose ids are gone")


@click.command(cls=options.Command)
@options.folder
@options.argument("destination", "DEST", "The copy's folder, which must not exist yet.", type=Path)
@click.option(
    "--hard-links", is_flag=True, help="Share the segments' files on the same disk instead of copying them."
)
def backup(folder: Path, destination: Path, hard_links: bool) -> None:
    """Copy an index, while others search it and write to it.

    One committed state is copied. A copy that was interrupted is no index.
    """
    from plait.store import backup as copy_index

    with progress_bars() as progress:
        copy_index(folder, destination, hard_links=hard_links, progress=progress)
    click.echo(f"copied {folder} to {destination}")


@click.command(cls=options.Command)
@options.folder
@click.option(
    "-o",
    "--output",
    type=Path,
    metavar="PATH",
    help="The file to write; for colbert the folder.",
    show_default="standard output",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "colbert"]),
    default="jsonl",
    help="JSON lines of id, text and metadata, or an index that colbert-ai and RAGatouille open.",
    show_default=True,
)
@click.option("--vectors", is_flag=True, help="Write the token vectors as well, as they are stored.")
@click.option(
    "--nbits",
    type=int,
    metavar="N",
    help="For colbert: bits per dimension; codes are made anew if the index has others.",
    show_default="those of the index, or 4",
)
@options.threads
def export(
    folder: Path, output: Path | None, form: str, vectors: bool, nbits: int | None, threads: int | None
) -> None:
    """Write all documents of an index: in a form that `plait index` reads, or as an index of colbert-ai."""
    from plait import Index
    from plait.importers import export_colbert

    if form == "colbert":
        if output is None or vectors:
            raise click.BadParameter("--format colbert needs -o DIR, and takes no --vectors")
        with progress_bars() as progress:
            count = export_colbert(folder, output, nbits=nbits, threads=threads, progress=progress)
        click.echo(f"wrote {counted(count, 'document')} to {output}")
        return
    with Index.open(folder) as opened, progress_bars() as progress:
        count = opened.export(output or sys.stdout, vectors=vectors, progress=progress)
    if output:
        click.echo(f"wrote {counted(count, 'document')} to {output}")
