"""Commands that ask an index: search, inspect, evaluate."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plait.cli.corpus import Folder, Threads
from plait.cli.output import note, print_hits, print_json, print_scores, print_stats
from plait.cli.progress import progress_bars

if TYPE_CHECKING:
    from plait.search import SearchParams

Queries = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Queries: .jsonl (_id, text), .tsv (id<TAB>text), or a folder in BEIR's form."
    ),
]
K = Annotated[int, typer.Option("-k", min=1, metavar="N", help="Results per query.")]
RunFile = Annotated[
    Path | None, typer.Option("--run", metavar="FILE", help="Write the results as a TREC run.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Nprobe = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Centroids visited per query token.", show_default="chosen for k"),
]
Ndocs = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Documents rescored.", show_default="chosen for k")
]
Scan = Annotated[
    bool | None,
    typer.Option(
        "--scan/--no-scan", help="Score every document, or never.", show_default="by size of the index"
    ),
]


def search(
    folder: Folder,
    query: Annotated[str | None, typer.Argument(metavar="QUERY", help="The question, in quotes.")] = None,
    k: K = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per result.")] = False,
    queries: Queries = None,
    run: RunFile = None,
    nprobe: Nprobe = None,
    ndocs: Ndocs = None,
    scan: Scan = None,
    threads: Threads = None,
) -> None:
    """Search with one QUERY, or with all of --queries into --run."""
    from plait import Index

    if (query is None) == (queries is None):
        raise typer.BadParameter("give either a QUERY or --queries FILE")
    if (queries is None) != (run is None):
        raise typer.BadParameter("--queries FILE and --run FILE belong together")
    if queries is not None and as_json:
        raise typer.BadParameter("--json is for a single QUERY; --queries are written to --run")
    params = _params(k, nprobe, ndocs, scan)
    with Index.open(folder) as opened:
        if query is not None:
            print_hits(opened.search(query, k, params=params, threads=threads), as_json=as_json)
    if queries is not None and run is not None:
        _search_file(folder, queries, run, k, params, threads)


def _search_file(
    folder: Path, queries: str, run: Path, k: int, params: SearchParams | None, threads: int | None
) -> None:
    from plait import Index
    from plait.evaluate import run_of, write_run
    from plait.sources import read_queries

    asked = read_queries(queries)
    with Index.open(folder) as opened, progress_bars() as progress:
        hits = opened.search_all(list(asked.values()), k, params=params, threads=threads, progress=progress)
    write_run(run, run_of(asked, hits))
    typer.echo(f"wrote the results of {len(asked):,} queries to {run}")


def inspect(
    folder: Folder,
    as_json: AsJson = False,
    recall: Annotated[
        bool,
        typer.Option("--recall", help="Measure how much of a full scan's best k the search finds."),
    ] = False,
    k: K = 10,
    queries: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Queries for --recall.", show_default="made from stored documents"),
    ] = None,
) -> None:
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


def evaluate(
    folder: Folder,
    queries: Annotated[
        str, typer.Option(metavar="FILE", help="Queries: .jsonl, .tsv, or a folder in BEIR's form.")
    ],
    qrels: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Judgements: BEIR's .tsv, TREC's form, or a folder in BEIR's form."
        ),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            help="Metrics, with commas between them.",
            show_default="nDCG@10,MRR@10,Recall@100",
        ),
    ] = None,
    as_json: AsJson = False,
    run: RunFile = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k", min=1, metavar="N", help="Results per query.", show_default="as many as the metrics look at"
        ),
    ] = None,
    nprobe: Nprobe = None,
    ndocs: Ndocs = None,
    scan: Scan = None,
    threads: Threads = None,
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
    k = k or depth(names)
    params = _params(k, nprobe, ndocs, scan)
    with Index.open(folder) as opened, progress_bars() as progress:
        hits = opened.search_all(list(asked.values()), k, params=params, threads=threads, progress=progress)
    found = run_of(asked, hits)
    if run is not None:
        write_run(run, found)
    print_scores(values_of(judgements, found, names), len(judgements), as_json=as_json)
    if len(asked) < len(judgements):
        note(f"judged, but not in {queries}, and counted as 0: {len(judgements) - len(asked):,}")


def _names(metrics: list[str] | None) -> list[str]:
    """Split at commas and spaces, except inside parentheses."""
    found = (name for given in metrics or [] for name in re.split(r"[,\s]+(?![^(]*\))", given))
    return [name for name in found if name]


def _params(k: int, nprobe: int | None, ndocs: int | None, scan: bool | None) -> SearchParams | None:
    """Replace the defaults for k by what was given; None when nothing was."""
    given = {"nprobe": nprobe, "ndocs": ndocs, "scan": scan}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not changed:
        return None
    from plait import SearchParams

    return dataclasses.replace(SearchParams.for_k(k), **changed)
