"""The command that puts methods side by side on a corpus: compare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from plait.cli import options
from plait.cli.output import note, print_json
from plait.cli.progress import progress_bars


@click.command(cls=options.Command)
@options.source
@click.option("--queries", metavar="FILE", help="Queries: .jsonl, .tsv, or a folder in BEIR's form.")
@click.option(
    "--qrels", metavar="FILE", help="Judgements: BEIR's .tsv, TREC's form, or a folder in BEIR's form."
)
@click.option(
    "--methods",
    metavar="NAMES",
    multiple=True,
    help="Methods, with commas between them: bm25, bi-encoder, 'exact MaxSim', colbert, or pipelines such as "
    "'bm25:1000 > colbert:100'.",
    show_default="all that there are",
)
@click.option(
    "--baseline",
    metavar="NAME",
    help="The method that the others are tested against.",
    show_default="the first",
)
@options.new_model
@click.option(
    "--cross-encoder",
    metavar="CHECKPOINT",
    help="A cross-encoder (a folder, hub name, or minilm if it is installed); adds methods that end with it.",
)
@options.level
@click.option(
    "--exact/--no-exact",
    default=None,
    help="Search by exact MaxSim on the original vectors as well, which are held in memory.",
    show_default="if they take less than 1 GiB",
)
@click.option(
    "--metrics",
    metavar="NAMES",
    multiple=True,
    help="Metrics, with commas between them; the first one is on the charts.",
    show_default="nDCG@10,MRR@10,Recall@100",
)
@options.results(None, "as many as the metrics look at")
@click.option(
    "-o",
    "--output",
    type=Path,
    metavar="DIR",
    help="Write the report there: Markdown, CSV, JSON, charts, runs, values of queries.",
)
@click.option(
    "--work",
    type=Path,
    metavar="DIR",
    help="Keep there what is built and measured; what is there is used again.",
    show_default="a temporary folder",
)
@click.option(
    "--most-queries",
    type=options.COUNT,
    metavar="N",
    default=1000,
    help="Of more judged queries, ask so many, chosen at random.",
    show_default=True,
)
@click.option(
    "--known-items",
    type=options.COUNT,
    metavar="N",
    default=300,
    help="Without judgements: how many queries to make of the corpus.",
    show_default=True,
)
@click.option("--seed", type=int, metavar="N", default=0, help="Of choices and tests.", show_default=True)
@options.as_json("Print JSON.")
@options.threads
@options.skip_bad_lines
def compare(
    source: str,
    queries: str | None,
    qrels: str | None,
    methods: tuple[str, ...],
    metrics: tuple[str, ...],
    output: Path | None,
    known_items: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Compare BM25, bi-encoder, ColBERT, their fusions and cascades on the documents in SOURCE.

    Builds what is needed, asks all judged queries, and shows relevance, latency, size and build time of each
    method, with tests of whether differences could be chance. A SOURCE in BEIR's form has its queries and
    judgements with it. Without judgements, known-item queries are made of the corpus, which say less: see
    docs/comparing.md.
    """
    from plait.comparison import compare as compared
    from plait.evaluate import DEFAULT_METRICS

    if output is not None and output.exists() and not output.is_dir():
        raise click.BadParameter(f"--output needs a folder, and {output} is a file")
    with progress_bars() as progress:
        report = compared(
            source,
            queries,
            qrels,
            methods=_listed(methods) or None,
            metrics=_listed(metrics) or DEFAULT_METRICS,
            made_queries=known_items,
            progress=progress,
            **given,
        )
    if report.known_items:
        note(f"warning: {report.known_items}")
    if as_json:
        print_json(report.as_json())
    else:
        click.echo(str(report), nl=False)
    if output is not None:
        written = report.write(output)
        note(f"wrote {len(written)} files to {output}: see {written[0]}")


def _listed(names: tuple[str, ...]) -> list[str]:
    """Split at commas, except inside parentheses."""
    found = (name.strip() for given in names for name in re.split(r",(?![^(]*\))", given))
    return [name for name in found if name]
