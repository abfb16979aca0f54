"""Commands that look after an index as a whole: compact."""

from __future__ import annotations

from pathlib import Path

import click

from plait.cli import options
from plait.cli.output import counted
from plait.cli.progress import progress_bars


@click.command(cls=options.Command)
@options.folder
@options.threads
def compact(folder: Path, threads: int | None) -> None:
    """Merge an index's segments and let go of what was deleted. Searches go on meanwhile.

    Writes merge small segments by themselves; this merges all there are.
    """
    from plait import Index

    with Index.open(folder) as opened, progress_bars() as progress:
        done = opened.compact(threads=threads, progress=progress)
    if not done.merges:
        click.echo(f"nothing to do: {folder} has {counted(done.segments_after, 'segment')}")
        return
    click.echo(
        f"merged {counted(done.segments_before, 'segment')} into {done.segments_after:,}; "
        f"{counted(done.deleted, 'deleted document')} gone"
    )
