"""The command that takes over an index of another tool: import."""

from __future__ import annotations

from pathlib import Path

import click

from plait.cli import options
from plait.cli.corpus import clear_remains
from plait.cli.output import counted, note
from plait.cli.progress import progress_bars


@click.command("import", cls=options.Command)
@options.argument("source", "SOURCE", "The folder of the other tool's index; it is only read.", type=Path)
@click.option("-o", "--output", type=Path, metavar="DIR", required=True, help="The new index's folder.")
@click.option(
    "--model",
    metavar="CHECKPOINT",
    help="The checkpoint that the vectors came from: it is remembered, and texts are encoded with it.",
)
@click.option(
    "--texts",
    type=Path,
    metavar="FILE",
    help="The texts, if SOURCE has none: collection.tsv, or .json with a list, in the order of the index.",
)
@click.option("--id-field", metavar="NAME", help="The key in the tool's metadata that holds ids.")
@click.option("--text-field", metavar="NAME", help="The key in the tool's metadata that holds texts.")
@options.threads
def import_(
    source: Path,
    output: Path,
    model: str | None,
    texts: Path | None,
    id_field: str | None,
    text_field: str | None,
    threads: int | None,
) -> None:
    """Take over an index of colbert-ai, RAGatouille, PyLate, fast-plaid or next-plaid.

    Its codes are kept as they are, so scores are those of the tool's own rescoring. Neither torch nor the
    tool is needed, and no pickle is run. After an error there is no index.
    """
    from plait.importers import import_index

    clear_remains(output)
    with (
        progress_bars() as progress,
        import_index(
            source,
            output,
            model=model,
            texts=texts,
            id_field=id_field,
            text_field=text_field,
            threads=threads,
            progress=progress,
        ) as made,
    ):
        documents, origin = len(made), made.setting("imported") or {}
    click.echo(f"imported {counted(documents, 'document')} of {origin.get('tool')} into {output}")
    if model is None:
        note(
            f"it takes vectors only; to ask with texts give --model, the checkpoint of its vectors "
            f"({origin.get('checkpoint') or 'not named in the index'})"
        )
