"""Commands that ask an index: search, inspect."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plait.cli import options
from plait.cli.output import print_hits, print_json, print_staged, print_stats
from plait.cli.pipelines import pipeline_of
from plait.cli.progress import progress_bars

if TYPE_CHECKING:
    from plait import Index, Pipeline

#: Hits of a search without a pipeline.
DEFAULT_K = 10


@click.command(cls=options.Command)
@options.folder
@options.argument("query", "[QUERY]", "The question, in quotes.", required=False)
@options.results(None, "10, or what the pipeline passes on")
@options.as_json(
    "Print one JSON object per result; with --pipeline, one that has them all and their timings."
)
@click.option(
    "--queries",
    metavar="FILE",
    help="Queries: .jsonl (_id, text), .tsv (id<TAB>text), or a folder in BEIR's form.",
)
@options.run_file
@options.filter_
@options.only_ids
@options.pipeline
@options.budget
@options.cross_encoder
@options.nprobe
@options.ndocs
@options.scan
@options.recall_target
@options.model
@options.threads
def search(
    folder: Path,
    query: str | None,
    k: int | None,
    as_json: bool,
    queries: str | None,
    run: Path | None,
    filter: dict[str, Any] | None,
    ids: tuple[str, ...],
    pipeline: str | None,
    budget: float | None,
    cross_encoder: str | None,
    model: str | None,
    threads: int | None,
    **effort: Any,
) -> None:
    """Search with one QUERY, or with all of --queries into --run."""
    from plait import Index

    if (query is None) == (queries is None):
        raise click.BadParameter("give either a QUERY or --queries FILE")
    if (queries is None) != (run is None):
        raise click.BadParameter("--queries FILE and --run FILE belong together")
    if queries is not None and as_json:
        raise click.BadParameter("--json is for a single QUERY; --queries are written to --run")
    how: dict[str, Any] = {"threads": threads}
    if filter is not None:
        how["filter"] = filter
    if ids:
        how["ids"] = list(ids)
    with Index.open(folder, model=model) as opened:
        staged = pipeline_of(opened, effort, pipeline=pipeline, budget=budget, cross_encoder=cross_encoder)
        if staged is None:
            k = DEFAULT_K if k is None else k
            how |= effort_of(opened, k, **effort)
        searcher = opened if staged is None else staged
        if queries is not None and run is not None:
            _search_file(searcher, queries, run, k, how)
        elif staged is not None:
            print_staged(staged.search(query or "", k, **how), as_json=as_json)
        else:
            print_hits(opened.search(query or "", k or DEFAULT_K, **how), as_json=as_json)


def _search_file(
    searcher: Index | Pipeline, queries: str, run: Path, k: int | None, how: dict[str, Any]
) -> None:
    from plait.evaluate import run_of, write_run
    from plait.sources import read_queries

    asked = read_queries(queries)
    require_writable(asked)
    with progress_bars() as progress:
        hits = searcher.search_all(list(asked.values()), k, progress=progress, **how)  # type: ignore[arg-type]
    write_run(run, run_of(asked, hits))
    click.echo(f"wrote the results of {len(asked):,} queries to {run}")


@click.command(cls=options.Command)
@options.folder
@options.as_json("Print JSON.")
@click.option("--recall", is_flag=True, help="Measure how much of a full scan's best k the search finds.")
@options.results()
@click.option(
    "--queries", metavar="FILE", help="Queries for --recall.", show_default="made from stored documents"
)
def inspect(folder: Path, as_json: bool, recall: bool, k: int, queries: str | None) -> None:
    """Show what an index holds and the room it takes."""
    from plait import Index
    from plait.sources import read_queries

    with Index.open(folder) as opened:
        shown = dataclasses.asdict(opened.stats())
        if recall:
            asked = None if queries is None else list(read_queries(queries).values())
            report = dataclasses.asdict(opened.recall(asked, k))
            shown |= (
                {"recall": report} if as_json else {f"recall_{name}": value for name, value in report.items()}
            )
    if as_json:
        print_json(shown)
    else:
        print_stats(shown)


def require_writable(queries: Iterable[str]) -> None:
    """Report an id that a TREC run can't hold, before the long work."""
    from plait.evaluate import write_run

    write_run(os.devnull, {key: {"a-document": 0.0} for key in queries})


def effort_of(
    index: Index,
    k: int,
    nprobe: int | None,
    ndocs: int | None,
    scan: bool | None,
    recall_target: float | None,
) -> dict[str, Any]:
    """How far to look, as ``Index.search`` takes it: the defaults for k with what was given put in."""
    given = {"nprobe": nprobe, "ndocs": ndocs, "scan": scan}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if recall_target is not None:
        if changed:
            raise click.BadParameter("give --recall-target, or --nprobe, --ndocs and --scan, not both")
        return {"recall_target": recall_target}
    if not changed:
        return {}
    from plait import SearchParams

    return {"params": dataclasses.replace(SearchParams.for_k(k, len(index)), **changed)}
