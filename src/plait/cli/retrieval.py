"""Commands that ask an index: search, inspect, evaluate."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plait.cli import options
from plait.cli.output import note, print_hits, print_json, print_scores, print_stats
from plait.cli.progress import progress_bars

if TYPE_CHECKING:
    from plait import Index


@click.command(cls=options.Command)
@options.folder
@options.argument("query", "[QUERY]", "The question, in quotes.", required=False)
@options.results()
@options.as_json("Print one JSON object per result.")
@click.option(
    "--queries",
    metavar="FILE",
    help="Queries: .jsonl (_id, text), .tsv (id<TAB>text), or a folder in BEIR's form.",
)
@options.run_file
@options.filter_
@options.only_ids
@options.nprobe
@options.ndocs
@options.scan
@options.recall_target
@options.model
@options.threads
def search(
    folder: Path,
    query: str | None,
    k: int,
    as_json: bool,
    queries: str | None,
    run: Path | None,
    filter: dict[str, Any] | None,
    ids: tuple[str, ...],
    nprobe: int | None,
    ndocs: int | None,
    scan: bool | None,
    recall_target: float | None,
    model: str | None,
    threads: int | None,
) -> None:
    """Search with one QUERY, or with all of --queries into --run."""
    from plait import Index

    if (query is None) == (queries is None):
        raise click.BadParameter("give either a QUERY or --queries FILE")
    if (queries is None) != (run is None):
        raise click.BadParameter("--queries FILE and --run FILE belong together")
    if queries is not None and as_json:
        raise click.BadParameter("--json is for a single QUERY; --queries are written to --run")
    with Index.open(folder, model=model) as opened:
        asked = {"threads": threads, **_effort(opened, k, nprobe, ndocs, scan, recall_target)}
        if filter is not None:
            asked["filter"] = filter
        if ids:
            asked["ids"] = list(ids)
        if query is not None:
            print_hits(opened.search(query, k, **asked), as_json=as_json)
    if queries is not None and run is not None:
        _search_file(folder, model, queries, run, k, asked)


def _search_file(
    folder: Path, model: str | None, queries: str, run: Path, k: int, how: dict[str, Any]
) -> None:
    from plait import Index
    from plait.evaluate import run_of, write_run
    from plait.sources import read_queries

    asked = read_queries(queries)
    _require_writable(asked)
    with Index.open(folder, model=model) as opened, progress_bars() as progress:
        hits = opened.search_all(list(asked.values()), k, progress=progress, **how)
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


@click.command(cls=options.Command)
@options.folder
@click.option(
    "--queries", metavar="FILE", required=True, help="Queries: .jsonl, .tsv, or a folder in BEIR's form."
)
@click.option(
    "--qrels",
    metavar="FILE",
    required=True,
    help="Judgements: BEIR's .tsv, TREC's form, or a folder in BEIR's form.",
)
@click.option(
    "--metrics",
    metavar="NAMES",
    multiple=True,
    help="Metrics, with commas between them.",
    show_default="nDCG@10,MRR@10,Recall@100",
)
@options.as_json("Print JSON.")
@options.run_file
@options.results(None, "as many as the metrics look at")
@options.nprobe
@options.ndocs
@options.scan
@options.recall_target
@options.threads
def evaluate(
    folder: Path,
    queries: str,
    qrels: str,
    metrics: tuple[str, ...],
    as_json: bool,
    run: Path | None,
    k: int | None,
    nprobe: int | None,
    ndocs: int | None,
    scan: bool | None,
    recall_target: float | None,
    threads: int | None,
) -> None:
    """Search with all judged queries and show the mean of each metric.

    The conventions are trec_eval's: a judged query without results counts as 0.
    """
    from plait import Index
    from plait.evaluate import DEFAULT_METRICS, depth, judged_queries, read_qrels, run_of, write_run
    from plait.evaluate import evaluate as values_of
    from plait.sources import read_queries

    names = _names(metrics) or DEFAULT_METRICS
    judgements = read_qrels(qrels)
    values_of(judgements, {}, names)  # a wrong name is reported before the long work
    asked = judged_queries(read_queries(queries), judgements)
    if run is not None:
        _require_writable(asked)
    k = k or depth(names)
    with Index.open(folder) as opened, progress_bars() as progress:
        effort = _effort(opened, k, nprobe, ndocs, scan, recall_target)
        hits = opened.search_all(list(asked.values()), k, threads=threads, progress=progress, **effort)
    found = run_of(asked, hits)
    if run is not None:
        write_run(run, found)
    print_scores(values_of(judgements, found, names), len(judgements), as_json=as_json)
    if len(asked) < len(judgements):
        note(f"judged, but not in {queries}, and counted as 0: {len(judgements) - len(asked):,}")


def _require_writable(queries: Iterable[str]) -> None:
    """Report an id that a TREC run can't hold, before the long work."""
    from plait.evaluate import write_run

    write_run(os.devnull, {key: {"a-document": 0.0} for key in queries})


def _names(metrics: tuple[str, ...]) -> list[str]:
    """Split at commas and spaces, except inside parentheses."""
    found = (name for given in metrics for name in re.split(r"[,\s]+(?![^(]*\))", given))
    return [name for name in found if name]


def _effort(
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
